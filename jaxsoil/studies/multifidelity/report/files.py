"""The run folder of the multi-fidelity study and its ablations as their reports see it."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from jaxsoil.data.properties import LABELS
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import RunContents, RunFiles, where
from jaxsoil.report.tables import number, with_interval
from jaxsoil.runs.tables import Columns, damaged
from jaxsoil.studies.multifidelity.config import STRATEGY
from jaxsoil.studies.multifidelity.replicates import TEST
from jaxsoil.studies.multifidelity.report.published import PROPERTIES
from jaxsoil.studies.multifidelity.tables import MULTI, NO_TASK, OWN, averaged, main_task, of_main_task

TERMS = {
    "loss": "training",
    "validation_loss": "validation",
    "reconstruction": "reconstruction",
    "kl": "KL",
    "mir": "MIR",
    "nir": "NIR",
}
"""Terms of history.csv that are drawn, with their names; a stage has some of them."""

_CSV = {
    "averages": Columns(text="strategy task set metric", whole="seed", number="value"),
    "differences": Columns(
        text="first second property", whole="n", number="mean low high", optional="low_samples high_samples"
    ),
    "task_differences": Columns(text="strategy property", whole="n", number="mean low high"),
    "orders": Columns(text="property ours theirs crossed", number="tau"),
    "texture_sums": Columns(text="strategy", whole="n", number="mean sd min max gap p1 p25 p50 p75 p99"),
    "history": Columns(text="stage label", whole="seed epoch", optional=tuple(TERMS)),
    "convergence": Columns(text="stage label", whole="seed epochs", flag="converged alive"),
    "components": Columns(text="strategy property", whole="seed components"),
    "latents": Columns(whole="seed latent", number="kl", flag="active"),
    "latent_sets": Columns(text="set", whole="seed n", number="size sd r r_low r_high"),
    "distances": Columns(text="space set id", whole="seed", number="distance limit"),
    "extremes": Columns(text="space set", whole="seed", number="median beyond"),
    "limits": Columns(text="space", whole="seed dof", number="d0 alpha limit"),
    "conversion": Columns(
        text="set", whole="seed", number="wavenumber mean_difference sd_difference sd_predicted coverage_90 rmse"
    ),
    "conversion_scores": Columns(
        text="set", whole="seed", number="rmse rmse_of_mean widening size sd_difference sd_predicted coverage_90"
    ),
    "calibration": Columns(text="set", whole="seed", number="nominal low mean high"),
    "internal": Columns(text="set range property", whole="repetition", number="ccc rpiq"),
    "held_out_parts": Columns(text="split strategy task property", whole="n", number="ccc r2 rmse bias ccc_log"),
    "reference": Columns(text="split range property", whole="n", number="components ccc r2 rmse ccc_log"),
    "curves": Columns(text="strategy property", whole="labels seed draw", number="ccc rpiq"),
    "reconstruction": Columns(text="set", whole="seed n", number="vae pca"),
    "instruments": Columns(text="strategy", whole="seed draws", number="sd ccc"),
    "instrument_differences": Columns(text="first second", whole="n", number="sd mean low high"),
}
_ARRAYS = {"latent": ("train",), "xi": ("wavenumber", "xi"), "converted": ("wavenumber", "observed", "converted")}
FILES = RunFiles(csv=_CSV, arrays=_ARRAYS, optional=("data", "timing", *_CSV, *_ARRAYS), results=OWN)
"""All but results.csv are optional: which stages a run has follows from its strategies and its data."""


@dataclass(frozen=True, eq=False)
class MultifidelityRun(RunContents):
    """Contents of the run folder."""

    @property
    def strategies(self) -> list[str]:
        """Strategies with scores: Appendix B's in its order, then ours."""
        return in_order(self.results["model"], STRATEGY)

    @property
    def properties(self) -> list[str]:
        """Properties with scores, in Appendix B's order."""
        return in_order(self.results["property"], PROPERTIES)

    @property
    def averaged(self) -> list[str]:
        """Those of them that a mean over properties is over."""
        every = averaged(where(self.results, split=TEST))
        return [name for name in self.properties if name in every]

    @functools.cached_property
    def units(self) -> dict[str, str]:
        """Property -> the run's unit, otherwise the paper's."""
        errors = where(self.results, metric="rmse")
        printed = {name: unit for name, (_, unit) in PROPERTIES.items()}
        return printed | dict(zip(errors["property"], errors["unit"], strict=True))

    @property
    def titles(self) -> dict[str, str]:
        """Property -> name and unit, none for pH."""
        return {name: label(name) if unit == "1" else f"{label(name)} ({unit})" for name, unit in self.units.items()}

    def from_paper(self, name: str) -> float:
        """What a printed value of a property is multiplied by to be in the run's unit: 10 for g/kg beside %."""
        printed = PROPERTIES[name][1] if name in PROPERTIES else ""
        return 10.0 if (printed, self.units.get(name)) == ("%", "g/kg") else 1.0

    @property
    def task(self) -> str:
        """The task that stands in the tables."""
        return main_task(self.results["task"])

    @property
    def networks(self) -> str:
        """How networks were trained, as it follows in a title; empty where there are none."""
        if set(self.results["task"]) == {NO_TASK}:
            return ""
        return ", networks multi-task" if self.task == MULTI else ", networks single-task"

    def scores(self, split: str = TEST) -> pd.DataFrame:
        """Results on a set, ``strategy, property, metric, seed, value``, and whether a strategy is ``doubtful``.

        They are of the task of the tables and of the models that have none.
        """
        named = self.results.rename(columns={"model": "strategy", "split": "set"})
        return self.with_doubts(of_main_task(named, split))

    def averages(self) -> pd.DataFrame:
        """Means over properties on the test set, ``strategy, metric, seed, value, doubtful``."""
        return self.with_doubts(of_main_task(self.tables["averages"]))

    def with_doubts(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table, and whether the ``strategy`` of each row is ``doubtful``."""
        doubtful = {name: bool(self.doubtful(name)) for name in set(table["strategy"])}
        return table.assign(doubtful=[doubtful[name] for name in table["strategy"]])

    @property
    def replicates(self) -> str:
        """How many trainings a number is taken over, in words: seeds, or held-out parts of the data."""
        judged = self.results[self.results["split"] == TEST]
        count = pd.Series(judged["seed"]).nunique()
        if pd.Series(judged["region"]).nunique() > 1:
            return f"{count} held-out parts of the data"
        return f"{count} seed" + ("s" if count != 1 else "")

    def doubtful(self, strategy: str) -> list[str]:
        """Trainings behind a strategy that did not converge, named; those of stages 1 and 2 where it needs them."""
        if "convergence" not in self.tables:
            return []
        rows = where(self.tables["convergence"], converged=False).to_dict("records")
        own = f"{STRATEGY[strategy].model}/{self.task}"
        return [
            f"{row['stage']} {row['label']}, seed {row['seed']}"
            for row in rows
            if row["label"] in STRATEGY[strategy].needs
            or (row["stage"] == "stage3" and f"{row['label']}/".startswith(f"{own}/"))
        ]


def label(name: str) -> str:
    """Name of a property as printed."""
    return LABELS.get(name, name)


def interval(row: Mapping[str, Any]) -> str:
    """``mean [low, high]`` of a paired difference; the mean alone where there is no interval."""
    return with_interval(row["mean"], row["low"], row["high"])


def over_samples(row: Mapping[str, Any]) -> str:
    """``[low, high]`` of a paired difference over test samples; "unknown" where it was not computed."""
    low, high = (row.get(name, math.nan) for name in ("low_samples", "high_samples"))
    return f"[{number(low)}, {number(high)}]" if math.isfinite(low) else "unknown"


def clear(row: Mapping[str, Any]) -> bool:
    """Whether a difference keeps its sign over seeds, and over test samples where these were drawn again."""
    ends = [(row["low"], row["high"])]
    if math.isfinite(row.get("low_samples", math.nan)):
        ends.append((row["low_samples"], row["high_samples"]))
    return all(low > 0.0 for low, _ in ends) or all(high < 0.0 for _, high in ends)


PROSE = Prose("jaxsoil.studies.multifidelity.report", "report", interval=interval, over_samples=over_samples)
"""The sentences of the reports."""


def in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
    """Distinct names, those of ``order`` first."""
    present = dict.fromkeys(names)
    known = [name for name in order if name in present]
    return known + [name for name in present if name not in known]


def first_seed(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Rows of the first seed whose columns have the given values."""
    return where(table, seed=table["seed"].min(), **values)


def groups(table: pd.DataFrame, name: str, order: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
    """Rows by the value of a text column, those of ``order`` first."""
    return {value: where(table, **{name: value}) for value in in_order(table[name], order)}


def read_run(folder: str | os.PathLike[str]) -> MultifidelityRun:
    """Reads a finished run of multifidelity, ilr or fno.

    DataError: config.json, env.json or results.csv is missing, a file is damaged, or the run of an earlier version.
    """
    run = MultifidelityRun.of(FILES.read(folder))
    if run.results.empty:
        raise damaged(run.path / "results.csv", "there are no scores")
    unknown = [name for name in run.strategies if name not in STRATEGY]
    if unknown:
        raise damaged(run.path / "results.csv", "column model: not a strategy of this study", unknown[0])
    return run
