"""A reconstruction study from its trials to the files of the run folder: networks and baselines on the same splits."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxsoil.runs import processes, progress
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.mirror import Inputs
from jaxsoil.runs.tracking import Silent, Tracker
from jaxsoil.studies.reconstruction.config import PAPER, StudyConfig, convergence_sentence, settings_of
from jaxsoil.studies.reconstruction.objectives import make_losses
from jaxsoil.studies.reconstruction.prepare import StudyInputs, describe, differences
from jaxsoil.studies.reconstruction.summaries import Summary, write
from jaxsoil.studies.reconstruction.tables import Tables
from jaxsoil.studies.reconstruction.train import Networks, add_baseline, add_networks, shared_data
from jaxsoil.training import cost
from jaxsoil.training.grid import make_groups


def plan_study(config: StudyConfig, prepared: StudyInputs) -> str:
    """Describes what a study would cost, without running it: trials, operations, bytes, memory and time.

    Operations are counted of one step, bytes from shapes; the time is that of a few steps, timed here, times their
    number.
    """
    library, train, devices = prepared.library, config.train, config.devices
    data, minerals = shared_data(library, prepared.minerals, train.perturbed > 0.0)
    bands, splits = library.spectra.n_bands, len(prepared.splits)
    groups = make_groups(prepared.trials, train, devices, config.components, bands, minerals)
    costs = [cost.estimate(group, data, train, devices, make_losses(group.trials)) for group in groups]
    baselines = [(name, splits * len(settings_of(config, name))) for name in config.baselines]
    title = f"{library.name}: {len(library)} spectra x {bands} bands, {splits} splits, {config.seeds} seeds"
    return "\n".join(
        [title, "", *cost.table(costs, baselines, "baselines, evaluation and checkpoints", train.precision)]
    )


def networks(config: StudyConfig, prepared: StudyInputs) -> list[list[Networks]]:
    """What the study trains, as one chain of one stage (:mod:`jaxsoil.training.shared`)."""
    how = config.train, config.devices, config.components
    return [[Networks(prepared.library, prepared.minerals, prepared.trials, *how)]]


def run_study(
    config: StudyConfig,
    run: RunFolder,
    prepared: StudyInputs,
    paper: Mapping[str, Any] = PAPER,
    summaries: Sequence[Summary] = (),
    also: Callable[[Tables, Tracker | Silent, dict[str, float]], None] | None = None,
) -> None:
    """Trains all trials and baselines and writes the run folder's files; what is already there is not run again.

    Args:
      paper: the publication's settings by field, to state what differs.
      summaries: numbers over regions that are written at the end.
      also: what else is trained, from the run's tables, its tracker and the seconds of its parts.
    """
    statement = {
        "differs_from_paper": differences(config, prepared.library, paper, prepared.minerals),
        "convergence": convergence_sentence(config.train),
    }
    size = f"{len(prepared.splits)} splits"
    progress.expect(count_trials(config, prepared), run.path.name)
    data = describe(prepared.library, prepared.minerals)
    with recording(config, run, prepared, statement, data, size, summaries) as (tables, tracker, timing):
        for name in config.baselines:
            with timed(timing, name):
                add_baseline(tables, name, config)
        for (one,) in networks(config, prepared):
            add_networks(tables, one, tracker, timing)
        tables.add_ensembles()
        if also is not None:
            also(tables, tracker, timing)


def count_trials(config: StudyConfig, prepared: StudyInputs) -> dict[str, int]:
    """Fits of each baseline, and trials of each network."""
    found = {name: len(prepared.splits) * len(settings_of(config, name)) for name in config.baselines}
    return found | Counter(trial.name for trial in prepared.trials)


@contextlib.contextmanager
def timed(timing: dict[str, float], name: str) -> Iterator[None]:
    """Adds the seconds of a block to ``timing``, under ``name`` with "_s" behind it."""
    began = time.perf_counter()
    yield
    timing[f"{name}_s"] = timing.get(f"{name}_s", 0.0) + time.perf_counter() - began


@contextlib.contextmanager
def recording(
    config: StudyConfig,
    run: RunFolder,
    prepared: StudyInputs,
    statement: Mapping[str, Any],
    data: Mapping[str, Any],
    size: str,
    summaries: Sequence[Summary],
) -> Iterator[tuple[Tables, Tracker | Silent, dict[str, float]]]:
    """Opens a run: states what it is, yields its tables, its tracker and the seconds of its parts, which are to be
    filled, and writes tables, ``summaries`` and times at the end.

    Args:
      statement: added to config.json, "differs_from_paper" among it.
      data: content of data.json.
      size: how much is trained, in words.
    """
    started, library = time.perf_counter(), prepared.library
    tables = Tables(run, library, prepared.splits, config.train.seed, prepared.minerals)
    if not processes.leads():
        # It trains its share; process 0 writes.
        yield tables, Silent(), {}
        return
    own = {model: settings_of(config, model)[0] for model in (*config.baselines, *config.networks)}
    content = run.read_json("config.json") | statement | {"settings": own}
    run.write_json("config.json", content)
    run.write_json("data.json", data)
    progress.say(f"{library.name}: {len(library)} spectra x {library.spectra.n_bands} bands, {size}")
    for field, ours, published in statement["differs_from_paper"]:
        progress.say(f"  differs from the paper: {field} = {ours} (paper: {published})")
    timing = {"compile_s": 0.0}
    inputs = Inputs.of(library.spectra, library.groups.get("region", library.name))
    with run.track(content["config"], inputs) as tracker:
        yield tables, tracker, timing
        tables.write()
        write(run.path, summaries)
        timing["total_s"] = time.perf_counter() - started
        run.write_json("timing.json", {name: round(value, 3) for name, value in timing.items()})
        tracker.summary(tables.headline())
    progress.say("  " + ", ".join(f"{name[:-2]} {value:.1f} s" for name, value in timing.items()))
