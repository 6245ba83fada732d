"""The study from its configuration to the tables of the run folder, seed by seed and stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data import pairs as sources
from jaxsoil.evaluation.results import write_results
from jaxsoil.runs import tracking
from jaxsoil.runs.errors import UsageError
from jaxsoil.runs.files import write_arrays, write_csv, write_parquet
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.studies.multifidelity import reliability, stages
from jaxsoil.studies.multifidelity.config import SEEDS, MultifidelityConfig, strategies_for
from jaxsoil.studies.multifidelity.curves import run_curves
from jaxsoil.studies.multifidelity.describe import data_name, describe, settings
from jaxsoil.studies.multifidelity.inputs import read_inputs
from jaxsoil.studies.multifidelity.plan import plan
from jaxsoil.studies.multifidelity.rows import split_rows
from jaxsoil.studies.multifidelity.stages import Prepared
from jaxsoil.studies.multifidelity.strategies import SeedTables, run_strategies
from jaxsoil.studies.multifidelity.summaries import summaries
from jaxsoil.studies.multifidelity.tables import OWN, SINGLE, TEST, refuse_earlier, result_rows
from jaxsoil.training.checkpoints import Checkpoints

__all__ = ["headline", "plan", "prepare", "run"]

FLOATS = "%.9g"
"""Float format of the tables in text."""

GATHERED = (
    "history", "convergence", "components", "latents", "latent_sets", "distances", "extremes", "limits", "conversion",
    "conversion_scores", "calibration", "curves", "internal",
)  # fmt: skip
"""Tables of the pieces that become files of the run."""


def prepare(config: MultifidelityConfig) -> Prepared:
    """Loads and checks the data and assigns the rows of all replicates to their roles.

    Raises:
      DataError: data that do not fit together, or too few of them.
      UsageError: a number of seeds for data whose fields are the replicates.
    """
    twin = config.data == sources.TWIN
    complete = twin if config.complete is None else config.complete
    if config.data == sources.FIELDS_OUT:
        # Each field is held out once: the number of a replicate is that of its field, and not a seed's.
        fields = sources.held_out_fields()
        if config.seeds is not None:
            raise UsageError(
                f"--seeds {config.seeds} has no meaning with --data {config.data}: its {len(fields)} fields are the "
                "replicates, each held out once. Leave --seeds out."
            )
        names = [f"{config.data}/{field}" for field in fields]
        loaded = [read_inputs(sources.load(name), complete=complete) for name in names]
        listed = "; ".join(f"{number}: {name.split('/')[1]}" for number, name in enumerate(names))
        notes = (
            f"Every field is held out once, and the number of a seed is that of the field: {listed}. Differences "
            "between seeds are differences between fields.",
        )
    else:
        data = sources.load(config.data, config.twin) if twin else sources.load(config.data)
        loaded = [read_inputs(data, complete=complete)] * (SEEDS if config.seeds is None else config.seeds)
        notes = ()
    seeds = []
    for number, inputs in enumerate(loaded):
        data = inputs.data
        rows = split_rows(
            data.pretrain.samples,
            data.labelled,
            data.paired_mir if inputs.paired else None,
            number,
            validation=config.validation,
            watch=config.properties.watch,
        )
        seeds.append(stages.Seed(number, inputs, rows))
    return Prepared(tuple(seeds), notes)


def run(config: MultifidelityConfig, folder: RunFolder, prepared: Prepared) -> None:
    """Runs all stages of all seeds and writes the run folder; finished pieces are not computed again."""
    refuse_earlier(folder.path)
    content = folder.read_json("config.json")
    content |= settings(config, prepared.first)
    folder.write_json("config.json", content)
    folder.write_json("data.json", describe(prepared))
    _announce(prepared, content)
    with tracking.start(folder.path, folder.wandb, content["config"]) as tracker:
        session = _Session(config, folder, tracker)
        for seed in prepared.seeds:
            session.run_seed(seed)
        if config.internal and prepared.first.paired:
            session.get("internal", "internal", lambda: _internal(config, prepared))
        results = session.write(prepared)
        # Of all sessions of the run: a piece knows what it took.
        session.timing["total_s"] = sum(session.timing.values())
        folder.write_json("timing.json", {name: round(value, 3) for name, value in session.timing.items()})
        tracker.summary(headline(results))
    print("  " + ", ".join(f"{name.removesuffix('_s')} {value:.0f} s" for name, value in session.timing.items()))


def headline(results: pd.DataFrame) -> dict[str, float]:
    """Mean CCC over properties and seeds of each strategy on the test set, for the tracker."""
    chosen = (results["split"] == TEST) & (results["task"] != SINGLE) & (results["metric"] == "ccc")
    means = pd.Series(results[chosen].groupby("model")["value"].mean())
    return {f"ccc/{name}": float(value) for name, value in means.items()}


class _Session:
    """Makes or reads the finished pieces of a run and gathers their tables and arrays."""

    def __init__(self, config: MultifidelityConfig, folder: RunFolder, tracker: tracking.Tracker) -> None:
        self.config, self.folder, self.tracker = config, folder, tracker
        self.pieces = Pieces(folder.path / "parts")
        self.gathered: list[Piece] = []
        self.arrays: dict[str, dict[str, Any]] = {}
        self.timing: dict[str, float] = {}

    def get(self, name: str, stage: str, make: Callable[[], Piece]) -> Piece:
        """Makes or reads a piece; its time is added to that of its stage, its epochs go to the log."""
        there = self.pieces.exists(name)
        part = self.pieces.get(name, make)
        self.timing[f"{stage}_s"] = self.timing.get(f"{stage}_s", 0.0) + part.seconds
        self.gathered.append(part)
        for row in _records(part):
            self.tracker.log(row)
        print(f"  {name}: {'kept' if there else f'{part.seconds:.1f} s'}")
        return part

    def run_seed(self, seed: stages.Seed) -> None:
        """All stages of one seed."""
        config, name = self.config, f"seed{seed.number}"
        wanted = strategies_for(config.strategies, seed.inputs.paired)
        pretrained = conversion = fno = None
        if any(strategy.needs_stage1 for strategy in wanted):
            first = self._stage1(seed, name)
            pretrained = stages.restored_stage1(config, seed, first)
            if pretrained.collapsed:
                print(f"  {name}-stage1: {pretrained.collapsed}")
        if any(strategy.needs_conversion for strategy in wanted):
            assert pretrained is not None
            part = self.get(f"{name}-stage2", "stage2", lambda: stages.stage2(config, seed, pretrained))
            conversion = stages.restored_stage2(config, seed, part)
        if any(strategy.needs_operator for strategy in wanted):
            fno = self.get(f"{name}-fno", "stage2", lambda: stages.stage2_fno(config, seed))
        views = stages.views_of(config, seed, pretrained, conversion, fno)
        tables = SeedTables(seed.inputs, seed.rows, seed.number)
        self.get(
            f"{name}-stage3", "stage3", lambda: run_strategies(config.properties, config.strategies, tables, views)
        )
        if pretrained is not None:
            part = self.get(
                f"{name}-reliability",
                "reliability",
                lambda: reliability.reliability(seed, pretrained, conversion, views),
            )
            if seed.number == 0:
                self.arrays = _split_arrays(part.arrays)
                if "converted" in self.arrays:
                    self.arrays["converted"]["ids"] = np.asarray(seed.inputs.ids("test"), dtype=np.str_)
        if pretrained is not None and config.curves.labels:
            sizes, models = config.curves, config.properties
            self.get(
                f"{name}-curves",
                "curves",
                lambda: run_curves(sizes, models, seed.inputs, seed.rows, views["latents"], seed.number),
            )

    def _stage1(self, seed: stages.Seed, name: str) -> Piece:
        checkpoints = Checkpoints(self.folder.path / "checkpoints" / f"{name}-stage1")
        with checkpoints:
            part = self.get(f"{name}-stage1", "stage1", lambda: stages.stage1(self.config, seed, checkpoints))
        checkpoints.remove()
        return part

    def write(self, prepared: Prepared) -> pd.DataFrame:
        """Writes the tables and arrays of the run folder and returns the results."""
        path = self.folder.path
        predictions = self._joined("predictions")
        write_parquet(path / "predictions.parquet", predictions)
        study, data = self.folder.experiment, data_name(prepared)
        results = result_rows(predictions, prepared.units, prepared.regions, study=study, data=data)
        write_results(path / "results.csv", results, OWN)
        tables = {name: self._joined(name) for name in GATHERED}
        for name, frame in (tables | summaries(results, predictions)).items():
            if len(frame):
                write_csv(path / f"{name}.csv", frame, float_format=FLOATS)
        for name, arrays in self.arrays.items():
            write_arrays(path / f"{name}.npz", **arrays)
        return results

    def _joined(self, name: str) -> pd.DataFrame:
        frames = [part.tables[name] for part in self.gathered if name in part.tables and len(part.tables[name])]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _split_arrays(arrays: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Arrays "file/name" by file."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in arrays.items():
        file, name = key.split("/")
        found.setdefault(file, {})[name] = value
    return found


def _records(part: Piece) -> list[dict[str, Any]]:
    """Records for the tracker: every epoch of the trainings."""
    rows = part.tables["history"].to_dict("records") if "history" in part.tables else []
    return [
        {"trial": f"{row['stage']}/{row['label']}/seed{row['seed']}", "epoch": int(row["epoch"])}
        | {str(name): value for name, value in row.items() if isinstance(value, float)}
        for row in rows
    ]


def _internal(config: MultifidelityConfig, prepared: Prepared) -> Piece:
    return Piece(tables={"internal": reliability.internal_rows(prepared.first, config.internal)})


def _announce(prepared: Prepared, content: dict[str, Any]) -> None:
    data = prepared.first.data
    print(f"{data.name}: {data.pretrain}, {len(data.labelled)} labelled, {len(data.paired_mir)} pairs, "
          f"{len(data.test_mir)} test samples, {len(prepared.seeds)} replicates")  # fmt: skip
    for note in prepared.notes:
        print(f"  {note}")
    for field, ours, paper in content["differs_from_paper"]:
        print(f"  differs from the paper: {field} = {ours} (paper: {paper})")
