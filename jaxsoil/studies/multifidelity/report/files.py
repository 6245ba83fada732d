"""The run folder of the multi-fidelity study and its ablations as their reports see it."""

from __future__ import annotations

import functools
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.results import RESULT_COLUMNS
from jaxsoil.report import files
from jaxsoil.report.files import where
from jaxsoil.studies.multifidelity.report.published import PROPERTIES, STRATEGIES
from jaxsoil.studies.reconstruction.report.reading import Run

TEST, VALIDATION = "test", "validation"
MULTI, SINGLE, NO_TASK = "multi", "single", "-"

SAMPLES = "NIRtoMIR-SSL-MLP-samples"
REENCODED = "NIRtoMIR-SSL-MLP-reencoded"
MIR_ILR, NIR_ILR, FNO = "MIR-ILR-MLP", "NIRtoMIR-ILR-MLP", "NIRtoMIR-FNO-MLP"
EXTRA = (SAMPLES, REENCODED, MIR_ILR, NIR_ILR, FNO)
"""Strategies that Appendix B does not have."""

_CELL = ("set", "task", "strategy", "property")
_KEY = ["seed", "strategy", "task", "set", "property"]
_SCORES = (*_KEY, "n", "rmse", "me", "r2", "ccc", "rpiq")
_TABLES = {
    "history": ("stage", "seed", "epoch", "loss", "validation_loss"),
    "latents": ("seed", "latent", "kl", "active"),
    "distances": ("seed", "space", "set", "id", "distance", "limit", "extreme"),
    "limits": ("seed", "space", "d0", "dof", "alpha", "limit"),
    "conversion": ("seed", "set", "wavenumber", "mean_difference", "sd_difference", "sd_predicted", "coverage_90"),
    "internal": ("set", "range", "repetition", "property", "ccc", "rpiq"),
    "curves": ("labels", "seed", "strategy", "property", "ccc", "rpiq"),
    "components": ("seed", "strategy", "property", "components"),
    "convergence": ("seed", "stage", "label", "epochs", "converged"),
}
_ARRAYS = {
    "latent": ("train",),
    "xi": ("wavenumber", "xi"),
    "converted": ("wavenumber", "observed", "converted"),
}
_TERMS = ("reconstruction", "kl", "mir", "nir", "alpha", "loss", "validation_loss")
_TEXT = ("strategy", "task", "set", "property", "stage", "label", "id", "space", "range")


@dataclass(frozen=True, eq=False)
class MultifidelityRun:
    """Contents of the run folder.

    Attributes:
      run: config, environment, data and timing, for the sections that all reports share.
      scores: scores.csv, with ``r2_corr`` (squared correlation) where the predictions are there.
      predictions: predictions.parquet; None if absent.
      tables: the optional tables that are there, by name.
      arrays: the optional .npz files that are there, by name.
    """

    run: Run
    scores: pd.DataFrame
    predictions: pd.DataFrame | None = None
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    arrays: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.run.path

    @property
    def strategies(self) -> list[str]:
        """Strategies with scores: Appendix B's in its order, then ours."""
        return in_order(self.scores["strategy"].tolist(), (*STRATEGIES, *EXTRA))

    @property
    def properties(self) -> list[str]:
        """Properties with scores, in Appendix B's order."""
        return in_order(self.scores["property"].tolist(), tuple(PROPERTIES))

    @property
    def seeds(self) -> list[int]:
        """Seeds in order."""
        return sorted(int(seed) for seed in set(self.scores["seed"].tolist()))

    @property
    def task(self) -> str:
        """The task that stands in the tables: multi-task where there is any, as in the paper."""
        found = set(self.scores["task"].tolist())
        return MULTI if MULTI in found or SINGLE not in found else SINGLE

    def table(self, name: str) -> pd.DataFrame | None:
        """An optional table, None if it is absent or empty."""
        found = self.tables.get(name)
        return None if found is None or found.empty else found

    @functools.cached_property
    def _places(self) -> dict[tuple[str, ...], list[int]]:
        """Rows of the scores by set, task, strategy and property."""
        found: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, key in enumerate(zip(*(self.scores[name] for name in _CELL), strict=True)):
            found[key].append(place)
        return found

    def values(self, strategy: str, name: str, metric: str, which: str = TEST) -> np.ndarray:
        """A metric of a strategy and a property over seeds, of the task of the tables or of a model without one."""
        keys = ((which, task, strategy, name) for task in (self.task, NO_TASK))
        places = [place for key in keys for place in self._places.get(key, ())]
        return numbers(self.scores, metric)[places]

    def chosen(self, which: str = TEST, task: str | None = None) -> pd.DataFrame:
        """Scores on a set, of one task (by default that of the tables) and of the models that have none."""
        tasks = (task or self.task, NO_TASK)
        scores = self.scores
        mask = (scores["set"] == which).to_numpy(bool) & scores["task"].isin(tasks).to_numpy(bool)
        return pd.DataFrame(scores.loc[mask])

    @property
    def replicates(self) -> str:
        """How many trainings a number is taken over, in words: seeds, or held-out parts of the data."""
        roles = self.run.data.get("roles")
        names = {str(role.get("data")) for role in roles} if isinstance(roles, list) else set()
        if len(names) > 1:
            return f"{len(self.seeds)} held-out parts of the data"
        return f"{len(self.seeds)} seed" + ("s" if len(self.seeds) != 1 else "")

    def doubtful(self, strategy: str) -> list[str]:
        """Trainings behind a strategy that did not converge, named; those of stages 1 and 2 where it needs them."""
        if strategy not in self._doubtful:
            self._doubtful[strategy] = self._not_converged(strategy)
        return self._doubtful[strategy]

    @functools.cached_property
    def _doubtful(self) -> dict[str, list[str]]:
        return {}

    def _not_converged(self, strategy: str) -> list[str]:
        table = self.table("convergence")
        if table is None or strategy.endswith("-PLSR"):
            return []
        converted, models = strategy.startswith("NIRtoMIR"), property_models(strategy)
        found = []
        for row in table.to_dict("records"):
            stage, name = str(row["stage"]), str(row["label"])
            words = name.replace("/", " ").split()
            concerned = (
                ("1" in stage and (converted or "SSL" in strategy) and strategy != FNO)
                or ("2" in stage and converted and ("FNO" in stage + name) == (strategy == FNO))
                or (words[:1] and words[0] in models and words[1:2] in ([], [self.task]))
            )
            if concerned and not row["converged"]:
                found.append(f"{stage} {name}, seed {row['seed']}")
        return found


def property_models(strategy: str) -> tuple[str, ...]:
    """Names under which the property model of a strategy may have been trained: converted spectra meet MIR's."""
    if not strategy.startswith("NIRtoMIR"):
        return (strategy,)
    measured = strategy.removeprefix("NIRto").removesuffix("-samples").removesuffix("-reencoded").replace("-FNO", "")
    return (strategy, measured)


def in_order(names: Sequence[str], order: Sequence[str]) -> list[str]:
    """Distinct names, those of ``order`` first."""
    present = dict.fromkeys(str(name) for name in names)
    return [name for name in order if name in present] + [name for name in present if name not in order]


def numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A column as float64, (n,)."""
    return np.asarray(frame[name], dtype=np.float64)


def seed_means(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Mean of a column in each seed, in the order of the seeds; NaN are left out."""
    return np.array(
        [np.nanmean(numbers(part, name)) for _, part in sorted(split_by(frame, "seed"), key=lambda pair: pair[0])]
    )


def split_by(frame: pd.DataFrame, name: str) -> list[tuple[Any, pd.DataFrame]]:
    """Values of a column in the order of their first row, each with its rows."""
    return [(value, where(frame, **{name: value})) for value in dict.fromkeys(frame[name].tolist())]


def read_multifidelity_run(folder: str | os.PathLike[str]) -> MultifidelityRun:
    """Reads a finished run of multifidelity, ilr or fno.

    Raises:
      DataError: if config.json, env.json or scores.csv is missing, or any file is not what it should be.
    """
    path = Path(folder)
    empty = pd.DataFrame(columns=pd.Index(RESULT_COLUMNS))
    header = {name: files.read_json(path / f"{name}.json", optional=name in ("data", "timing")) for name in _HEADERS}
    predictions = _predictions(path / "predictions.parquet")
    arrays = {
        name: files.read_arrays(path / f"{name}.npz", keys)
        for name, keys in _ARRAYS.items()
        if (path / f"{name}.npz").is_file()
    }
    tables = {
        name: _frame(path / f"{name}.csv", keys) for name, keys in _TABLES.items() if (path / f"{name}.csv").is_file()
    }
    if "convergence" in tables:
        truth = tables["convergence"]["converged"].astype(str).str.lower().isin(("true", "1", "1.0"))
        tables["convergence"] = tables["convergence"].assign(converged=truth)
    return MultifidelityRun(
        run=Run(path, header["config"], header["env"], header["data"], header["timing"], empty),
        scores=_with_correlation(_scores(path / "scores.csv"), predictions),
        predictions=predictions,
        tables=tables,
        arrays=arrays,
    )


_HEADERS = ("config", "env", "data", "timing")


def _scores(path: Path) -> pd.DataFrame:
    frame = _frame(path, _SCORES)
    if frame.empty:
        raise files.damaged(path, "there are no scores")
    if frame.duplicated(_KEY).any():
        raise files.damaged(path, "a seed, strategy, task, set and property occurs twice")
    return frame


def _with_correlation(scores: pd.DataFrame, predictions: pd.DataFrame | None) -> pd.DataFrame:
    """Adds the squared correlation, which the printed R2 seems to be."""
    if "r2_corr" in scores.columns:
        return scores
    if predictions is None:
        return scores.assign(r2_corr=np.nan)
    rows = [
        (*(key if isinstance(key, tuple) else (key,)), metrics.summary(rows["observed"], rows["predicted"])["r2_corr"])
        for key, rows in predictions.dropna(subset=["observed"]).groupby(_KEY, sort=False)
    ]
    return scores.merge(pd.DataFrame(rows, columns=pd.Index([*_KEY, "r2_corr"])), on=_KEY, how="left")


def _predictions(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    frame = files.read_parquet(path, (*_KEY, "id", "observed", "predicted"))
    return frame.assign(**{name: frame[name].astype(str) for name in ("strategy", "task", "set", "property", "id")})


def _frame(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    text: dict[Any, Any] = dict.fromkeys(_TEXT, str)
    empty = {name: ["", "nan"] for name in columns}
    frame = files.read_csv(path, columns, dtype=text, keep_default_na=False, na_values=empty)
    words = {name: frame[name].fillna("").astype(str) for name in _TEXT if name in frame.columns}
    # A term that one stage has and another has not is empty in the other's rows.
    terms = {name: pd.to_numeric(frame[name], errors="coerce") for name in _TERMS if name in frame.columns}
    return frame.assign(**words, **terms)
