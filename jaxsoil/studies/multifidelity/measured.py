"""Measured pairs: parts held out in two ways, models of all rows to hand on, and PLSR of all rows as a reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from jaxsoil.data.draws import group_folds
from jaxsoil.data.readers.measured_pairs import MeasuredPairs, held_together
from jaxsoil.data.readers.pair_set import KINDS, PartKind
from jaxsoil.evaluation import metrics
from jaxsoil.models import plsr
from jaxsoil.runs.errors import UsageError
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity.config import CARRY_OVER, MultifidelityConfig
from jaxsoil.studies.multifidelity.property_models import LOGGED
from jaxsoil.studies.multifidelity.replicates import FITTED, TEST, Replicate, Replicates, read_sets, replicate_of
from jaxsoil.studies.multifidelity.strategies import run_strategies

FOLDS = 10
"""Folds of the reference."""

BUNDLED = {"mir": ("MIR-PLSR", "MIR-MLP", CARRY_OVER), "nir": ("NIR-PLSR", "NIR-MLP")}
"""Range -> strategies whose models read its spectra and nothing else, and can be handed on."""


def prepare_parts(config: MultifidelityConfig, pairs: MeasuredPairs) -> Replicates:
    """A replicate for each held-out part, and one that holds out nothing.

    The parts of the first way make the test set of the study's tables; those of a second way bear its name.

    Raises:
      DataError: data that do not fit together, or too few of them.
      UsageError: a number of parts that there is not, or no way of holding out.
    """
    folds, kinds = pairs.about.split.folds, tuple(dict.fromkeys(config.splits))
    if not kinds or not 1 <= (config.seeds or folds) <= folds:
        raise UsageError(
            f"--seeds {config.seeds} and --splits {' '.join(kinds)}: {pairs.about.name} has {folds} parts in each of "
            f"{', '.join(KINDS)}. Give 1 to {folds} seeds and a split, or leave both out."
        )
    complete, validation = bool(config.complete), config.validation or 0.0
    shares, each = {"validation": validation, "watch": config.properties.watch}, []
    for place, kind in enumerate(kinds):
        for number, data in enumerate(pairs.parts(kind, config.seeds), start=place * folds):
            sets = read_sets(data, complete=complete)
            each.append(replicate_of(sets, number, judge=kind if place else TEST, **shares))
    # Which numbers others have does not move its random draws.
    whole = replicate_of(read_sets(pairs.whole(), complete=complete), len(KINDS) * folds, judge=FITTED, **shares)
    listed = "; ".join(f"{one.number}: {one.sets.data.name.partition('/')[2]}" for one in each)
    notes = (
        f"Every part is held out once, and the number of a seed is that of the part: {listed}. Differences between "
        "seeds are differences between parts.",
        f"Tables and curves are those of the split by {kinds[0]}"
        + (f"; the {kinds[1]} split stands beside it in one table." if len(kinds) > 1 else "."),
    )
    return Replicates(tuple(each), notes, whole=whole, validation=validation, about=pairs.about)


def fit_whole(config: MultifidelityConfig, whole: Replicate) -> Piece:
    """Trains the models that are handed on, on every row; their scores are in-sample (set "fitted")."""
    wanted = [name for names in BUNDLED.values() for name in names if name in config.strategies]
    tasks: Any = tuple(task for task in config.properties.tasks if task == "multi")
    models = dataclasses.replace(config.properties, tasks=tasks)
    return run_strategies(models, whole, wanted, {"mir": whole.sets.mir, "nir": whole.sets.nir})


def reference(config: MultifidelityConfig, prepared: Replicates) -> Piece:
    """10-fold cross-validation of PLSR over all rows, by the same two ways of holding out.

    Returns:
      Table "reference": rows ``split, range, property, n, components`` (mean over folds) and the scores of
      :func:`pooled_scores`.
    """
    assert prepared.whole is not None and prepared.about is not None
    sets, rows = prepared.whole.sets, []
    part = "pairs" if sets.paired else "labelled"
    library, spans = sets.library(part), {"mir": sets.mir, **({"nir": sets.nir} if sets.paired else {})}
    for kind in ways(prepared).values():
        groups = held_together(library, cast(PartKind, kind), prepared.about)
        for span, spectra in ((span, one[part]) for span, one in spans.items()):
            for name, y in zip(sets.properties, sets.values[part].T, strict=True):
                known = np.isfinite(y)
                fold = group_folds(groups[known], min(FOLDS, np.unique(groups[known]).size), np.random.default_rng(0))
                target = np.log1p(y[known]) if name in LOGGED else y[known]
                found, counts = plsr.held_out(spectra[known], target, fold, config.properties.components)
                scores = pooled_scores(y[known], np.expm1(found) if name in LOGGED else found, name)
                keys = {"split": kind, "range": span, "property": name, "n": int(known.sum())}
                rows.append(keys | {"components": float(counts.mean())} | scores)
    return Piece(tables={"reference": pd.DataFrame(rows)})


def ways(prepared: Replicates) -> dict[str, str]:
    """Set that judges -> how its samples were held out."""
    return {one.judge: one.sets.data.name.split("/")[-2] for one in prepared.each}


def held_out_scores(predictions: pd.DataFrame, judges: Mapping[str, str]) -> pd.DataFrame:
    """Scores over all held-out parts together, each sample predicted once by models that have not seen it.

    Args:
      predictions: rows ``seed, strategy, task, set, id, property, observed, predicted``.
      judges: set -> how its samples were held out; see :func:`ways`.

    Returns:
      Rows ``split, strategy, task, property, n`` and the scores of :func:`pooled_scores`.
    """
    keys, rows = ["split", "strategy", "task", "property"], []
    for key, mine in predictions.assign(split=predictions["set"].map(judges.get)).groupby(keys, sort=False):
        assert isinstance(key, tuple)
        scores = pooled_scores(mine["observed"].to_numpy(), mine["predicted"].to_numpy(), str(key[-1]))
        rows.append(dict(zip(keys, key, strict=True)) | {"n": len(mine)} | scores)
    return pd.DataFrame(rows)


def pooled_scores(observed: np.ndarray, predicted: np.ndarray, name: str) -> dict[str, float]:
    """CCC, R2, RMSE, bias and RPIQ in the unit of a property, and CCC of log(1 + y) where it is taken so, else NaN."""
    found = metrics.summary(observed, predicted)
    both = (np.log1p(np.maximum(values, 0.0)) for values in (observed, predicted))
    log = metrics.summary(*both)["ccc"] if name in LOGGED else np.nan
    return {metric: found[metric] for metric in ("ccc", "r2", "rmse", "bias", "rpiq")} | {"ccc_log": log}
