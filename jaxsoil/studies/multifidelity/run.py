"""The study from its configuration to the tables of the run folder, seed by seed and stage by stage."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd

from jaxsoil.data import pairs as sources
from jaxsoil.data.scans import MultifidelityData
from jaxsoil.evaluation.results import write_results
from jaxsoil.runs import progress
from jaxsoil.runs.errors import UsageError
from jaxsoil.runs.files import write_arrays, write_csv, write_parquet
from jaxsoil.runs.folder import RunFolder, refuse_earlier
from jaxsoil.runs.mirror import Inputs
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.runs.tracking import Tracker
from jaxsoil.studies.multifidelity import stages
from jaxsoil.studies.multifidelity.bundling import write_bundles
from jaxsoil.studies.multifidelity.config import PAPER, SEEDS, STRATEGY, MultifidelityConfig, strategies_for
from jaxsoil.studies.multifidelity.describe import data_name, describe, settings, sizes_in_words
from jaxsoil.studies.multifidelity.instruments import instrument_differences, run_instruments
from jaxsoil.studies.multifidelity.measured import fit_whole, held_out_scores, prepare_parts, reference, ways
from jaxsoil.studies.multifidelity.plan import plan
from jaxsoil.studies.multifidelity.reliability import internal, reliability
from jaxsoil.studies.multifidelity.replicates import TEST, Replicate, Replicates, SpectraSets, read_sets, replicate_of
from jaxsoil.studies.multifidelity.strategies import run_curves, run_strategies
from jaxsoil.studies.multifidelity.tables import OWN, SINGLE, joined, result_rows, summaries
from jaxsoil.training.checkpoints import Checkpoints

__all__ = ["headline", "plan", "prepare", "run"]

FLOATS = "%.9g"
"""Float format of the tables in text."""

TWINS = "Seeds stand on {} twins in turn: on other soils, laboratories and test sets, not only other trainings."

GATHERED = (
    "history", "convergence", "components", "latents", "latent_sets", "distances", "extremes", "limits", "conversion",
    "conversion_scores", "calibration", "curves", "internal", "instruments", "reconstruction", "reference",
)  # fmt: skip
"""Tables of the pieces that become files of the run."""


def prepare(config: MultifidelityConfig) -> Replicates:
    """Loads and checks the data and assigns the rows of all replicates to their roles.

    Raises:
      DataError: data that do not fit together, or too few of them.
      UsageError: a number of seeds for data whose fields are the replicates; strategies that all need near-infrared,
        for data that have none.
    """
    made = _replicates(config)
    if not strategies_for(config.strategies, made.first.paired):
        able = ", ".join(name for name, one in STRATEGY.items() if not one.needs_pairs)
        raise UsageError(
            f"--strategies {' '.join(config.strategies)}: all of them start from near-infrared, which {config.data} "
            f"lacks. Give some of {able}, or data with pairs (docs/own_data.md)."
        )
    return made


def _replicates(config: MultifidelityConfig) -> Replicates:
    """The replicates of the data, whichever kind they are; see :func:`prepare`."""
    if (pairs := sources.measured_pairs(config.data)) is not None:
        return prepare_parts(config, pairs)
    twin, notes = config.data == sources.TWIN, ()
    complete = twin if config.complete is None else config.complete
    if config.data == sources.FIELDS_OUT:
        # Each field is held out once: the number of a replicate is that of its field, and not a seed's.
        fields = sources.held_out_fields()
        if config.seeds is not None:
            raise UsageError(
                f"--seeds {config.seeds} has no meaning with --data {config.data}: its {len(fields)} fields are the "
                "replicates, each held out once. Leave --seeds out."
            )
        loaded = [read_sets(sources.load(f"{config.data}/{field}"), complete=complete) for field in fields]
        listed = "; ".join(f"{number}: {field}" for number, field in enumerate(fields))
        notes = (
            f"Every field is held out once, and the number of a seed is that of the field: {listed}. Differences "
            "between seeds are differences between fields.",
        )
    else:
        count = SEEDS if config.seeds is None else config.seeds
        made = _twins(config, count) if twin else [sources.load(config.data)]
        sets = [read_sets(data, complete=complete) for data in made]
        loaded = [sets[number % len(sets)] for number in range(count)]
        if len(sets) > 1:
            notes = (TWINS.format(len(sets)),)
    validation = PAPER["validation"] if config.validation is None else config.validation
    shares = {"validation": validation, "watch": config.properties.watch}
    each = tuple(replicate_of(sets, number, **shares) for number, sets in enumerate(loaded))
    return Replicates(each, notes, validation=validation)


def _twins(config: MultifidelityConfig, replicates: int) -> list[MultifidelityData]:
    """The twins that ``replicates`` stand on; UsageError where fewer than one is asked for."""
    if config.twins < 1:
        raise UsageError(f"--twins {config.twins}: ask for at least one.")
    seeds = range(config.twin.seed, config.twin.seed + min(config.twins, replicates))
    return [sources.load(config.data, dataclasses.replace(config.twin, seed=seed)) for seed in seeds]


def run(config: MultifidelityConfig, folder: RunFolder, prepared: Replicates) -> None:
    """Runs all stages of all replicates and writes the run folder; finished pieces are not computed again."""
    refuse_earlier(folder.path)
    content = folder.read_json("config.json")
    content |= settings(dataclasses.replace(config, validation=prepared.validation), prepared.first)
    folder.write_json("config.json", content)
    folder.write_json("data.json", describe(prepared))
    progress.say(sizes_in_words(prepared), *prepared.notes, sep="\n  ")
    for field, ours, paper in content["differs_from_paper"]:
        progress.say(f"  differs from the paper: {field} = {ours} (paper: {paper})")
    with folder.track(content["config"], _inputs(prepared.first)) as tracker:
        session = _Session(config, folder, tracker)
        progress.expect(count_pieces(config, prepared), unit="parts")
        for replicate in prepared.each:
            session.run_replicate(replicate)
        if (whole := prepared.whole) is not None:
            session.networks = dict(session.get("handed-on", "handed on", lambda: fit_whole(config, whole)).trees)
            session.get("reference", "reference", lambda: reference(config, prepared))
        elif config.internal and prepared.first.paired:
            session.get("internal", "internal", lambda: internal(prepared.first, config.internal))
        results = session.write(prepared)
        write_bundles(config, folder, prepared, results, session.networks)
        # Of all sessions of the run: a piece knows what it took.
        session.timing["total_s"] = sum(session.timing.values())
        folder.write_json("timing.json", {name: round(value, 3) for name, value in session.timing.items()})
        tracker.summary(headline(results))
    progress.say("  " + ", ".join(f"{name.removesuffix('_s')} {value:.0f} s" for name, value in session.timing.items()))


def _inputs(sets: SpectraSets) -> Inputs:
    """A few spectra of each set, for the tracker."""
    data = sets.data
    libraries = {f"{part}, MIR": sets.library(part) for part in sets.mir}
    if sets.paired:
        libraries |= {"pairs, NIR": data.paired_nir, "test, NIR": data.test_nir}
    found = [Inputs.of(library.spectra, name) for name, library in libraries.items()]
    return Inputs({name: both for one in found for name, both in one.spectra.items()}, found[0].label)


def headline(results: pd.DataFrame) -> dict[str, float]:
    """Mean CCC over properties and seeds of each strategy on the test set, for the tracker."""
    chosen = (results["split"] == TEST) & (results["task"] != SINGLE) & (results["metric"] == "ccc")
    means = pd.Series(results[chosen].groupby("model")["value"].mean())
    return {f"ccc/{name}": float(value) for name, value in means.items()}


def count_pieces(config: MultifidelityConfig, prepared: Replicates) -> dict[str, int]:
    """Pieces of each stage that a run makes or reads."""
    found: Counter[str] = Counter()
    for replicate in prepared.each:
        wanted = strategies_for(config.strategies, replicate.sets.paired)
        needed = {training for strategy in wanted for training in strategy.needs}
        found["stage1"] += "vae" in needed
        found["stage2"] += ("nir encoder" in needed) + ("FNO" in needed)
        found["stage3"] += 1
        if "vae" in needed and replicate.judge == TEST:
            found["reliability"] += 1
            found["curves"] += bool(config.curves.labels)
            found["instruments"] += bool(config.instruments.curves)
    if prepared.whole is not None:
        found.update(("handed on", "reference"))
    elif config.internal and prepared.first.paired:
        found["internal"] += 1
    return dict(found)


class _Session:
    """Makes or reads the finished pieces of a run and gathers their tables and arrays."""

    def __init__(self, config: MultifidelityConfig, folder: RunFolder, tracker: Tracker) -> None:
        self.config, self.folder, self.tracker = config, folder, tracker
        self.pieces = Pieces(folder.path / "parts")
        self.gathered: list[Piece] = []
        self.arrays: dict[str, Any] = {}
        self.networks: dict[str, Any] = {}
        self.timing: dict[str, float] = {}

    def get(self, name: str, stage: str, make: Callable[[], Piece]) -> Piece:
        """Makes or reads a piece; its time is added to that of its stage, its epochs go to the log."""
        there = self.pieces.exists(name)
        part = self.pieces.get(name, make)
        self.timing[f"{stage}_s"] = self.timing.get(f"{stage}_s", 0.0) + part.seconds
        self.gathered.append(part)
        for row in part.tables["history"].to_dict("records") if "history" in part.tables else ():
            values: dict[str, Any] = {str(term): value for term, value in row.items() if isinstance(value, float)}
            trial = f"{row['stage']}/{row['label']}/seed{row['seed']}"
            self.tracker.log({"trial": trial, "epoch": int(row["epoch"]), **values})
        progress.reach(stage, name, kept=there)
        progress.say(f"  {name}: {'kept' if there else f'{part.seconds:.1f} s'}")
        return part

    def run_replicate(self, replicate: Replicate) -> None:
        """All stages of one replicate."""
        config, name = self.config, f"seed{replicate.number}"
        wanted = strategies_for(config.strategies, replicate.sets.paired)
        needed = {training for strategy in wanted for training in strategy.needs}
        pretrained = conversion = fno = None
        if "vae" in needed:
            with Checkpoints(self.folder.path / "checkpoints" / f"{name}-stage1") as kept:
                part = self.get(f"{name}-stage1", "stage1", lambda: stages.stage1(config, replicate, kept))
            kept.remove()
            pretrained = stages.restored_stage1(config, replicate, part)
            if pretrained.collapsed:
                progress.say(f"  {name}-stage1: {pretrained.collapsed}")
        if "nir encoder" in needed:
            assert pretrained is not None
            part = self.get(f"{name}-stage2", "stage2", lambda: stages.stage2(config, replicate, pretrained))
            conversion = stages.restored_stage2(config, replicate, part)
        if "FNO" in needed:
            fno = self.get(f"{name}-fno", "stage2", lambda: stages.stage2_fno(config, replicate))
        views = stages.views_of(config, replicate, pretrained, conversion, fno)
        models = config.properties
        if replicate.judge != TEST and "multi" in models.tasks:
            # Parts held out in a second way stand in one table, which has one network for all properties.
            models = dataclasses.replace(models, tasks=("multi",))
        part = self.get(f"{name}-stage3", "stage3", lambda: run_strategies(models, replicate, config.strategies, views))
        stage3, self.networks = part, self.networks or dict(part.trees)
        if pretrained is None or replicate.judge != TEST:
            return
        part = self.get(
            f"{name}-reliability", "reliability", lambda: reliability(replicate, pretrained, conversion, views)
        )
        self.arrays |= part.trees
        if config.curves.labels:
            self.get(f"{name}-curves", "curves", lambda: run_curves(config.curves, models, replicate, views))
        if config.instruments.curves:
            sweep = functools.partial(run_instruments, config.instruments, models, replicate, pretrained, stage3)
            self.get(f"{name}-instruments", "instruments", sweep)

    def write(self, prepared: Replicates) -> pd.DataFrame:
        """Writes the tables and arrays of the run folder and returns the results."""
        path, tables = self.folder.path, joined(part.tables for part in self.gathered)
        write_parquet(path / "predictions.parquet", tables["predictions"])
        study, data = self.folder.experiment, data_name(prepared)
        results = result_rows(tables["predictions"], prepared.units, prepared.regions, study=study, data=data)
        write_results(path / "results.csv", results, OWN)
        gathered = {name: tables[name] for name in GATHERED if name in tables}
        if prepared.whole is not None:
            gathered["held_out_parts"] = held_out_scores(tables["predictions"], ways(prepared))
        if "instruments" in gathered:
            gathered["instrument_differences"] = instrument_differences(gathered["instruments"])
        for name, frame in (gathered | summaries(results, tables["predictions"])).items():
            if len(frame):
                write_csv(path / f"{name}.csv", frame, float_format=FLOATS)
        for name, arrays in self.arrays.items():
            write_arrays(path / f"{name}.npz", **arrays)
        return results
