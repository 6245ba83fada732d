"""A sweep in its folder: which points it has, how they are run, what they leave."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import shlex
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxsoil import experiments
from jaxsoil.runs import lock, progress
from jaxsoil.runs.errors import DataError, UsageError, did_you_mean, intact
from jaxsoil.runs.files import read_json, write_json, write_text_atomic
from jaxsoil.runs.folder import RunFolder, create, refuse_or_accept
from jaxsoil.sweep import sharing
from jaxsoil.sweep.execute import FAILED, FINISHED, IN_USE, STOPPED, Job, run_job, status
from jaxsoil.sweep.points import MOST, Point, described, field_of, make_points, product

FILE = "sweep.json"
"""The file that makes a folder a sweep's."""
_FUNCTION = "sweep_"

Launch = Callable[[Sequence[Job], Callable[[Job, dict[str, Any]], None]], str]
"""Runs some points and says of each what became of it; returns what stopped it before the end, or ""."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Points of one experiment below one folder.

    Args:
      folder: of the sweep.
      experiment, experiments: name of the experiment and the folder of its file.
      size, words: what all points share on the command line: "smoke", "paper" or "", and fields.
      name: as typed, such as "width,lr".
      config: the configuration that the points start from.
      points: all of them, in order.
      wandb: how each point is tracked.
    """

    folder: Path
    experiment: str
    experiments: Path
    size: str
    words: tuple[str, ...]
    name: str
    config: Any
    points: tuple[Point, ...]
    wandb: Any = "auto"

    @property
    def jobs(self) -> list[Job]:
        """The points as text, in order."""
        shared = (str(self.folder), self.experiment, str(self.experiments), self.size, self.words)
        return [Job(*shared, point.name, point.overrides, self.wandb) for point in self.points]

    @property
    def fields(self) -> list[str]:
        """The fields that any point sets."""
        return list(dict.fromkeys(field for point in self.points for field in point.overrides))

    def differing(self) -> list[str]:
        """The fields in which points differ."""
        return [name for name in self.fields if len({str(field_of(p.config, name)) for p in self.points}) > 1]

    def settings(self) -> list[dict[str, Any]]:
        """Of each point the value of every field of the sweep."""
        return [{field: field_of(point.config, field) for field in self.fields} for point in self.points]

    def plan(self, share: bool = True) -> str:
        """The points in words; ``share``: also which of them train together."""
        lines = [f"  {i:3}  {described(point.overrides)}" for i, point in enumerate(self.points)]
        if share:
            study = experiments.load(self.experiment, self.experiments).study_module()
            for alike in sharing.alike([point.config for point in self.points], study):
                named = ", ".join(map(str, alike))
                lines.append(f"The networks of points {named} are trained in programs that they share.")
        return "\n".join([f"{self.experiment}, sweep {self.name}: {len(self.points)} points in {self.folder}", *lines])

    def open(self, arguments: Sequence[str], resume: bool, overwrite: bool) -> None:
        """Makes the folder of the sweep, or checks that it may go on in it; points may be added to those it has.

        Raises:
          UsageError: the folder may not be used, a worker is in one of its points, it holds another sweep, or what the
            points start from is not what the folder was made with.
        """
        run = RunFolder(self.folder, self.experiment, self.wandb)
        content = {"experiment": self.experiment, "config": dataclasses.asdict(self.config)}
        if self.folder.is_dir() and (self.folder / "config.json").exists() and not (self.folder / FILE).exists():
            raise UsageError(f"{self.folder} holds a run and no sweep: choose another folder with --workdir.")
        refuse_or_accept(run, content, resume, overwrite)
        if overwrite:
            # Also those of points that the sweep has no more.
            for folder in {job.folder for job in self.jobs}.union((self.folder / "points").glob("[!.]*")):
                lock.refuse_running(folder)
        else:
            self._refuse_other()
        if overwrite and self.folder.exists():
            shutil.rmtree(self.folder)
        # First: killed between the two with config.json alone it would be the folder of a run.
        write_json(self.folder / FILE, self.statement())
        create(run, content, arguments, False)

    def _refuse_other(self) -> None:
        """Refuses the folder of another sweep, whose tables would be lost; says how many points are no more in it."""
        before, gone = dict[str, Any](), set[str]()
        with contextlib.suppress(FileNotFoundError, DataError, KeyError, TypeError):  # A damaged one is written anew.
            before = read_json(self.folder / FILE)
            gone = {str(point["name"]) for point in before["points"]} - {point.name for point in self.points}
        held = str(before.get("experiment", self.experiment)), str(before.get("name", self.name))
        if held[0] != self.experiment or (gone and held[1] != self.name):
            raise UsageError(
                f"{self.folder} holds the sweep '{held[1]}' of {held[0]}: give that one with --resume, another folder "
                "with --workdir, or --overwrite in place of --resume."
            )
        if gone:
            progress.say(f"No more in the sweep, and left out of its tables: {len(gone)} points in {self.folder}.")

    def statement(self) -> dict[str, Any]:
        """Content of sweep.json."""
        shared = {name: getattr(self, name) for name in ("experiment", "size", "words", "name", "fields")}
        points = [{"name": point.name, "overrides": dict(point.overrides)} for point in self.points]
        return {**shared, "experiments": str(self.experiments), "points": points}


def functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The sweeps of an experiment's file, or of a user's own, by name."""
    named = {name.removeprefix(_FUNCTION): made for name, made in vars(module).items() if name.startswith(_FUNCTION)}
    return {name: made for name, made in named.items() if callable(made)}


def find(named: str, experiment: str, folder: Path) -> list[dict[str, Any]]:
    """The overrides of the points of some sweeps, as ``--sweep`` names them.

    Args:
      named: names of sweeps of the experiment's file, with commas between them; one in another file is
        ``path/to/file.py:NAME``. Several give every combination of their points.
      experiment, folder: name of the experiment and the folder of its file.

    Raises:
      UsageError: no such sweep or file, or an error in it; as :func:`jaxsoil.sweep.points.product`.
    """
    found = {}
    for word in map(str.strip, named.split(",")):
        path, _, name = word.rpartition(":")
        if path:
            if not (Path(path).is_file() and path.endswith(".py")):
                raise UsageError(
                    f"There is no file {path} of Python with the sweep '{name}': give --sweep FILE.py:NAME."
                )
            try:
                module = experiments.import_file(Path(path), f"sweep_file_{Path(path).stem}")
            except Exception as error:
                raise UsageError(f"{path} is no file of Python that runs ({_shown(error)}): correct it.") from error
        elif name.endswith(".py"):
            raise UsageError(f"--sweep {name}: name one of its sweeps too, {name}:NAME.")
        else:
            module = experiments.load_file(experiment, folder)
        known = functions(module)
        if name not in known:
            hint = did_you_mean(name, known) if known else "Its file has no function sweep_NAME."
            raise UsageError(f"{path or experiment} has no sweep '{name}'. {hint}")
        if word in found:
            raise UsageError(f"--sweep {named}: name each sweep once.")
        try:
            found[word] = list(itertools.islice(known[name](), MOST + 1))
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(
                f"The sweep '{word}' gives no points ({_shown(error)}): its function takes nothing and yields mappings "
                "of fields to values."
            ) from error
    return product(found)


def _shown(error: Exception) -> str:
    """An error of a user's file with the line that it comes from."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    own = last.filename != __file__ and not last.filename.startswith("<")  # Else the message names what it is about.
    return f"{type(error).__name__}: {error}" + (f"; {Path(last.filename).name}, line {last.lineno}" if own else "")


def make(
    named: str, experiment: str, folder: Path, size: str, words: Sequence[str], config: Any, target: Path, wandb: Any
) -> Sweep:
    """A sweep with its points checked; nothing is written.

    Raises:
      UsageError: as :func:`find` and :func:`jaxsoil.sweep.points.make_points`.
    """
    points = tuple(make_points(config, find(named, experiment, folder)))
    return Sweep(target, experiment, folder.absolute(), size, tuple(words), named, config, points, wandb)


def reopen(folder: Path) -> Sweep:
    """The sweep of a folder, from its sweep.json; the experiment's file must be where it was.

    Raises:
      DataError: sweep.json is damaged.
    """
    again = "Give the command of the sweep again with --resume."
    said = read_json(folder / FILE, remedy=again)
    with intact("this does not describe a sweep", source=folder / FILE, remedy=again):
        name, size, words = (said[key] for key in ("experiment", "size", "words"))
        where, swept = Path(said["experiments"]), said["name"]
        overrides = [dict(point["overrides"]) for point in said["points"]]
    config = experiments.configure(experiments.load(name, where), name, size, words)
    return Sweep(folder, name, where, size, tuple(words), swept, config, tuple(make_points(config, overrides)))


def chosen(sweep: Sweep, named: str) -> list[Job]:
    """Some points of a sweep, by number from 0 or by name, with commas between them; "": all of them.

    Raises:
      UsageError: there is no such point.
    """
    jobs = sweep.jobs
    by_name = {job.name: job for job in jobs} | {str(i): job for i, job in enumerate(jobs)}
    words = [word for word in named.split(",") if word]
    wrong = next((word for word in words if word not in by_name), None)
    if wrong is not None:
        raise UsageError(f"--point {wrong}: this sweep has the points 0 to {len(jobs) - 1}; --plan lists them.")
    return [by_name[word] for word in words] or jobs


def run(sweep: Sweep, jobs: Sequence[Job], launch: Launch, again: bool = True) -> int:
    """Runs points that are not finished and writes the tables of the sweep; returns the exit status.

    0: all the points asked for are finished or were stopped early, or other workers run them; 1: some failed, or the
    launcher stopped.

    Args:
      sweep: the sweep.
      jobs: those of its points that are wanted.
      launch: runs them.
      again: go on with points that were stopped early.
    """
    over = {FINISHED} if again else {FINISHED, STOPPED}
    open_jobs, began = [job for job in jobs if status(job).get("status") not in over], time.monotonic()
    if len(open_jobs) < len(jobs):
        words = "finished" if again else "finished or stopped early"
        progress.say(f"{len(jobs) - len(open_jobs)} of {len(jobs)} points are {words} and are not run again.")
    outcomes: dict[str, str] = {}

    def told(job: Job, record: dict[str, Any]) -> None:
        outcomes[job.name] = record["status"]
        said = f"{record['seconds']:.1f} s" if record["status"] == FINISHED else record["error"]
        progress.say(f"[{len(outcomes)}/{len(open_jobs)}] {described(job.overrides)}: {record['status']}, {said}")

    try:
        stopped = launch(open_jobs, told) if open_jobs else ""
    finally:
        write_all(sweep)
    if all(status(job).get("status") == FINISHED for job in sweep.jobs):
        shutil.rmtree(sweep.folder / sharing.FOLDER, ignore_errors=True)
    counts = {kind: sum(kind == one for one in outcomes.values()) for kind in (FINISHED, STOPPED, FAILED, IN_USE)}
    words = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number)
    print(
        f"{sweep.name}: {words or 'nothing to run'}; {time.monotonic() - began:.0f} s. Table: {sweep.folder}/sweep.csv"
    )
    if stopped:
        print(f"error: {stopped} What was finished is kept; the same command with --resume goes on.")
    return int(bool(stopped) or counts[FAILED] > 0)


def write_all(sweep: Sweep) -> None:
    """Writes the tables of a sweep from what lies in its folder."""
    from jaxsoil.sweep.tables import write_tables

    write_tables(sweep.folder, sweep.jobs, sweep.settings())


def local(jobs: Sequence[Job], told: Callable[[Job, dict[str, Any]], None], share: bool = True) -> str:
    """Runs points one after the other in this process: equal programs are compiled once for all of them.

    Args:
      jobs: the points.
      told: called with each point and its record.
      share: before the first of several points that can, their networks are trained in programs that they share.
    """
    together = sharing.sets(jobs) if share else []
    for job in jobs:
        for some in [some for some in together if job in some]:
            together.remove(some)
            sharing.train(some)
        told(job, run_job(job))
    return ""


def export(sweep: Sweep, target: Path, command: Sequence[str]) -> None:
    """Writes a configuration for ``wandb sweep``, by which agents of W&B run the points of this sweep's folder.

    Each value of its one parameter, ``point``, is a point's name: values of any type and sets of points that are no
    grid stay what they are, and each agent writes the ordinary run folder of its point.

    Args:
      sweep: the sweep.
      target: the YAML file.
      command: words of the command that runs the sweep, without the interpreter and the file.
    """
    own = ["${env}", "${interpreter}", "${program}", *command, "--resume", "${args}"]
    lines = [
        f"# {sweep.experiment}, sweep {sweep.name}: start with `wandb sweep {shlex.quote(target.name)}`.",
        "program: experiments/run.py",
        f"name: {json.dumps(f'{sweep.experiment} {sweep.name}')}",
        "method: grid",
        "parameters:",
        "  point:",
        "    values:",
        *(f"      - {json.dumps(point.name)}" for point in sweep.points),
        "command:",
        *(f"  - {json.dumps(word)}" for word in own),
    ]
    write_text_atomic(target, "\n".join(lines) + "\n")
