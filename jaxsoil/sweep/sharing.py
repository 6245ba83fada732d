"""Points of a sweep whose networks are trained in programs that they share, before each point runs as any other run.

Which can is seen from their configurations: they differ in fields alone that the engine takes of each trial
(:func:`jaxsoil.training.config.per_trial`), and the study has ``networks(config, data)``, what it trains as chains of
stages (:mod:`jaxsoil.training.shared`). A point that runs then finds its trainings done, in its own folder. The folder
``shared`` of the sweep has what is not yet handed out, so that a sweep that is killed goes on where it was.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxsoil.runs import keys, lock, progress
from jaxsoil.runs.compiled import keep_compiled
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import read_json, remove_unfinished, write_json
from jaxsoil.runs.folder import create, refuse_or_accept
from jaxsoil.sweep.execute import Job, precision_of, statement

FOLDER = "shared"
"""Below the sweep's folder."""
_POINTS = "points.json"
_HOOK = "networks"

Points = list[tuple[Job, Any]]
"""Points with their chains."""


def alike(configs: Sequence[Any], study: Any) -> list[list[int]]:
    """Numbers of the points that share programs, in sets of two or more.

    Args:
      configs: of the points.
      study: the module of their study.
    """
    from jaxsoil.training.config import program_of

    if not hasattr(study, _HOOK):
        return []
    found: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        # What is measured is measured of one run, and states are kept where they are made.
        alone = "measured" in (config.devices.mapping, config.devices.steps) or getattr(config, "keep_states", False)
        if config.networks and not alone:
            found.setdefault(repr(program_of(config)), []).append(number)
    return [numbers for numbers in found.values() if len(numbers) > 1]


def sets(jobs: Sequence[Job]) -> list[list[Job]]:
    """Points that are to be trained together: those that were when the sweep was interrupted, then any others."""
    if len(jobs) < 2:
        return []
    by_name, found = {job.name: job for job in jobs}, []
    for file in sorted((Path(jobs[0].sweep) / FOLDER).glob(f"*/{_POINTS}")):
        with contextlib.suppress(DataError, OSError, KeyError, TypeError):
            names = read_json(file)["points"]
            if all(name in by_name for name in names):
                found.append([by_name.pop(name) for name in names])
    rest, configured = list(by_name.values()), [job.configured() for job in by_name.values()]
    if rest:
        numbers = alike([config for _, config in configured], configured[0][0].study_module())
        found += [[rest[i] for i in some] for some in numbers]
    return found


def train(jobs: Sequence[Job]) -> None:
    """Trains the networks of points together; what goes wrong is left to the run of each point.

    A point that another worker runs, that has begun by itself or that cannot be prepared is left out.

    Args:
      jobs: one of :func:`sets`.

    Raises:
      OSError: the disk refused a file.
    """
    from jaxsoil.training import floors, shared

    keep_compiled()
    with contextlib.ExitStack() as stack:
        points = _prepared(jobs, stack)
        folder = _folder(points)
        if not (folder / _POINTS).exists():
            points = [(job, chains) for job, chains in points if not shared.begun(job.folder, chains)]
            folder = _folder(points)
        if len(points) < 2:
            return
        write_json(folder / _POINTS, {"points": [job.name for job, _ in points]})
        mark = floors.marked()
        try:
            with _shown(points) as told:
                said = shared.train({job.folder: chains for job, chains in points}, folder, told)
        except OSError:
            raise
        except Exception as error:
            progress.say(f"The networks of {len(points)} points cannot be trained together ({error}): one by one.")
        else:
            with contextlib.suppress(DataError):  # A damaged file its own run names.
                _record(points, said, floors.reached(mark, precision_of(points[0][0].configured()[1])))
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # Other points may be in training.
            folder.parent.rmdir()


def _folder(points: Points) -> Path:
    """Where these points are trained together; of no points one that is not there."""
    names = [job.name for job, _ in points]
    mark = keys.mark("\n".join(names), 12)
    return Path(points[0][0].sweep if points else "") / FOLDER / mark


def _prepared(jobs: Sequence[Job], stack: contextlib.ExitStack) -> Points:
    """The points that can be trained here, with their folders, on one copy of the data; the stack holds their locks."""
    found: Points = []
    for job in jobs:
        # What is wrong with a point its own run says.
        with contextlib.suppress(Exception), contextlib.ExitStack() as own:
            (experiment, config), run = job.configured(), job.run
            own.enter_context(lock.held(job.folder))
            refuse_or_accept(run, statement(run, config), True, False)
            study = experiment.study_module()
            chains = study.networks(config, study.prepare(config))
            first = found[0][1] if found else chains
            pairs = [zip(mine, theirs, strict=True) for mine, theirs in zip(chains, first, strict=True)]
            chains = [[mine.on_data_of(theirs) for mine, theirs in pair] for pair in pairs]
            if chains and all(stage is not None and stage.trials for chain in chains for stage in chain):
                if (run.path / "env.json").exists():
                    remove_unfinished(run.path)
                create(run, statement(run, config), job.command, False, precision_of(config))
                found.append((job, chains))
                stack.enter_context(own.pop_all())
    return found


@contextlib.contextmanager
def _shown(points: Points) -> Iterator[Any]:
    """Says what is trained, with a line of progress; yields what trainings tell their epochs."""
    total = sum(len(stage.trials) for _, chains in points for chain in chains for stage in chain)
    progress.say(f"{len(points)} points train {total} networks in programs that they share.")
    keys: dict[Any, int] = {}

    def told(trial: Any, first: int, after: int, history: Any) -> None:
        progress.reach(_HOOK, str(keys.setdefault(trial, len(keys))), after / len(history))

    with progress.line(points[0][0].experiment):
        progress.expect({_HOOK: total}, unit=_HOOK)
        yield told


def _record(points: Points, said: dict[str, Any], reached: dict[str, Any]) -> None:
    """States in env.json of each point what its networks were trained with, and how long all of them took."""
    title = f"networks of {len(points)} points of a sweep, in programs that they share"
    for job, _ in points:
        known = job.run.read_json("env.json")
        floors = {"floors": known.get("floors", {}) | {title: reached}} if reached else {}
        shared = {"points": len(points), **said, "seconds": round(said["seconds"], 3)}
        job.run.write_json("env.json", known | floors | {"shared": shared})
