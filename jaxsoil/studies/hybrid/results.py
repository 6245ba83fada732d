"""From the predictions of all models to scores, intervals, coverage and the table of values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.conformal import (
    SplitConformal,
    coverage_range,
    covered,
    cross_interval,
    ensemble_scale,
    fold_intervals,
    mean_interval,
    scores,
)
from jaxsoil.evaluation.outliers import FLAGS, Judged
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.hybrid.cross import LABORATORY, RANDOM, Crossing, Part, exposure
from jaxsoil.studies.hybrid.fitting import CNN, Predicted

CNN_ONE = "cnn-one"
"""The first network of the ensemble by itself."""

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Nominal coverages at which intervals are held against what they cover."""

OUT_OF_FOLD, HELD_OUT, TRUTH = "out of fold", "held-out rows", "imputed rows, true values"
HELD_OTHER = {"cv": "held-out rows, by cv+ instead", "cv+": "held-out rows, by cv instead"}
TRUTH_INSIDE, TRUTH_FLAGGED = "imputed rows not flagged, true values", "imputed rows flagged, true values"
LAB_RANDOM, LAB_OTHERS = "laboratory out, calibrated at random", "laboratory out, calibrated on the other laboratories"
"""What coverage is measured on, and how the intervals were calibrated."""

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Calibrated:
    """The ensemble of one property with its out-of-fold scores, on the learning scale.

    Attributes:
      centre: (K, n) mean over members of each fold's networks, for all rows.
      scale: (K, n) ensemble spread with its floor.
      rows: (c,) rows that were measured and predicted out of fold.
      fold: (c,) their folds.
      observed: (c,) measured values on the learning scale.
      scores: (c,) conformity scores.
    """

    centre: Floats
    scale: Floats
    rows: NDArray[np.int64]
    fold: NDArray[np.int64]
    observed: Floats
    scores: Floats

    @property
    def out_of_fold(self) -> tuple[Floats, Floats]:
        """Prediction and scale, (c,), of the measured rows by the fold that did not see them."""
        return self.centre[self.fold, self.rows], self.scale[self.fold, self.rows]

    def interval(self, rows: Any, coverage: float, construction: str) -> tuple[Floats, Floats]:
        """Cross-fitted intervals, (t,) each, of rows that no fold has trained on; by "cv" or "cv+"."""
        if construction == "cv":
            return mean_interval(self.scores, self.centre[:, rows], coverage, self.scale[:, rows])
        return cross_interval(self.scores, self.fold, self.centre[:, rows], coverage, self.scale[:, rows])

    def error(self, rows: Any) -> Floats:
        """Standard deviation, (t,), of the error: scaled spread, calibrated out of fold, and what folds disagree on."""
        within = np.mean(self.scale[:, rows] ** 2, axis=0) * np.mean(self.scores**2)
        return np.sqrt(within + self.centre[:, rows].var(axis=0))


def calibrate(crossing: Crossing, predicted: Predicted, target: str) -> Calibrated:
    """Out-of-fold scores of the ensemble behind the product."""
    limits, data = crossing.data.ranges[target], crossing.data
    keys = [(target, Part(RANDOM, str(k)), crossing.method, CNN) for k in range(crossing.config.folds)]
    missing = [key[1].name for key in keys if key not in predicted.values]
    if missing:
        raise DataError(
            "every network of a fold diverged, and without them there is no product",
            source=target,
            value=f"fold {', '.join(missing)}",
            remedy="Lower --train.lr and start again with --overwrite.",
        )
    members = [predicted.values[key] for key in keys]
    centre = np.stack([m.mean(axis=0) for m in members])
    rows = np.flatnonzero(np.isfinite(data.observed(target)) & (crossing.fold >= 0))
    fold = crossing.fold[rows]
    observed = limits.to_scale(data.observed(target)[rows])
    floor = float(np.median(np.abs(observed - centre[fold, rows])))
    scale = np.stack([ensemble_scale(m, max(floor, 1e-9)) for m in members])
    found = scores(observed, centre[fold, rows], scale[fold, rows])
    return Calibrated(centre, scale, rows, fold, observed, found)


def predictions(crossing: Crossing, predicted: Predicted, calibrated: dict[str, Calibrated]) -> pd.DataFrame:
    """Measured and predicted values of every row that was held out: one line for each scheme, method and model."""
    frames = []
    for (target, part, method, model), members in predicted.values.items():
        rows = np.flatnonzero(crossing.tested(part, target))
        place = (crossing, target, part.scheme, part.name, method)
        frames.append(_lines(*place, model, rows, members.mean(axis=0)[rows]))
        if model == CNN and len(members) > 1 and part.scheme == RANDOM:
            # What the clipped network, which is alone, is to be compared with.
            frames.append(_lines(*place, CNN_ONE, rows, members[0][rows]))
    if crossing.config.test_share > 0.0:
        keys = {(t, m, model) for t, p, m, model in predicted.values if p.scheme == RANDOM}
        for target, method, model in sorted(keys):
            rows = np.flatnonzero(np.isfinite(crossing.data.observed(target)) & (crossing.fold < 0))
            places = [(target, Part(RANDOM, str(k)), method, model) for k in range(crossing.config.folds)]
            folds = [predicted.values[key].mean(axis=0)[rows] for key in places if key in predicted.values]
            frames.append(_lines(crossing, target, HELD_OUT, "-", method, model, rows, np.mean(folds, axis=0)))
    frame = pd.concat(frames, ignore_index=True)
    return _with_intervals(crossing, frame, calibrated)


def _lines(
    crossing: Crossing, target: str, scheme: str, part: str, method: str, model: str, rows: Any, scaled: Floats
) -> pd.DataFrame:
    data, limits = crossing.data, crossing.data.ranges[target]
    return pd.DataFrame(
        {
            "scheme": scheme,
            "part": part,
            "property": target,
            "harmonisation": method,
            "model": model,
            "id": data.library.ids[rows],
            "laboratory": data.laboratory[rows],
            "observed": data.observed(target)[rows],
            "predicted": limits.from_scale(scaled),
            "outside": limits.outside(scaled),
            "row": rows,
        }
    )


def _with_intervals(crossing: Crossing, frame: pd.DataFrame, calibrated: dict[str, Calibrated]) -> pd.DataFrame:
    """Adds the intervals of the product's ensemble at the nominal coverage, where a row was held out at random."""
    low, high = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    ours = (frame["harmonisation"] == crossing.method).to_numpy() & (frame["model"] == CNN).to_numpy()
    for target, found in calibrated.items():
        limits = crossing.data.ranges[target]
        mine = ours & (frame["property"] == target).to_numpy()
        here = np.flatnonzero(mine & (frame["scheme"] == RANDOM).to_numpy())
        place = np.searchsorted(found.rows, frame["row"].to_numpy()[here])
        centre, scale = found.out_of_fold
        ends = fold_intervals(found.observed, centre, found.fold, crossing.config.coverage, scale)
        low[here], high[here] = (limits.from_scale(end)[place] for end in ends)
        here = np.flatnonzero(mine & (frame["scheme"] == HELD_OUT).to_numpy())
        if here.size:
            rows = frame["row"].to_numpy()[here]
            ends = found.interval(rows, crossing.config.coverage, crossing.config.interval)
            low[here], high[here] = (limits.from_scale(end) for end in ends)
    return frame.assign(low=low, high=high).drop(columns="row")


def score_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Scores by scheme, property, harmonisation and model: of all rows together, and of each laboratory."""
    rows = []
    keys = ["scheme", "property", "harmonisation", "model"]
    for values, group in frame.groupby(keys, sort=False):
        named = {name: str(value) for name, value in zip(keys, np.atleast_1d(np.array(values)).tolist(), strict=True)}
        rows.append({**named, "laboratory": "all", **_scores(group)})
        for laboratory, part in group.groupby("laboratory"):
            rows.append({**named, "laboratory": str(laboratory), **_scores(part)})
    table = pd.DataFrame(rows)
    table["exposure"] = [exposure(s, m) for s, m in zip(table["scheme"], table["harmonisation"], strict=True)]
    return table


def _scores(group: pd.DataFrame) -> dict[str, Any]:
    observed, predicted = group["observed"].to_numpy(), group["predicted"].to_numpy()
    found = metrics.summary(observed, predicted)
    quartiles = np.percentile(observed, [25.0, 75.0])
    return {
        "n": observed.size,
        "mae": float(np.mean(np.abs(observed - predicted))),
        **{name: found[name] for name in ("rmse", "bias", "r2", "ccc", "rpiq")},
        "sd": float(observed.std(ddof=1)) if observed.size > 1 else float("nan"),
        "iqr": float(quartiles[1] - quartiles[0]),
        "outside": float(group["outside"].to_numpy(dtype=float).mean()),
    }


def coverage_table(
    crossing: Crossing, predicted: Predicted, calibrated: dict[str, Calibrated], judged: dict[str, Judged]
) -> pd.DataFrame:
    """Share of observations within their intervals at several nominal coverages, by how the intervals were made."""
    rows: list[dict[str, Any]] = []
    for target, found in calibrated.items():
        for level in LEVELS:
            rows += _random_coverage(crossing, target, found, level, judged[target].flag)
            rows += _laboratory_coverage(crossing, predicted, target, found, level)
    return pd.DataFrame(rows)


def _random_coverage(
    crossing: Crossing, target: str, found: Calibrated, level: float, flag: NDArray[Any]
) -> list[dict[str, Any]]:
    data, limits = crossing.data, crossing.data.ranges[target]
    centre, scale = found.out_of_fold
    ends = fold_intervals(found.observed, centre, found.fold, level, scale)
    rows = [_covered(crossing, target, OUT_OF_FOLD, "all", level, found.observed, *ends)]
    held = np.flatnonzero(np.isfinite(data.observed(target)) & (crossing.fold < 0))
    chosen = crossing.config.interval
    other = "cv+" if chosen == "cv" else "cv"
    for kind, construction in ((HELD_OUT, chosen), (HELD_OTHER[chosen], other)) if held.size else ():
        ends = found.interval(held, level, construction)
        observed = limits.to_scale(data.observed(target)[held])
        rows.append(_covered(crossing, target, kind, "all", level, observed, *ends))
    missing = ~np.isfinite(data.observed(target))
    inside = flag == FLAGS[0]
    for kind, mask in ((TRUTH, missing), (TRUTH_INSIDE, missing & inside), (TRUTH_FLAGGED, missing & ~inside)):
        here = np.flatnonzero(mask)
        if target in data.truth and here.size:
            ends = found.interval(here, level, chosen)
            rows.append(
                _covered(crossing, target, kind, "all", level, limits.to_scale(data.truth[target][here]), *ends)
            )
    return rows


def _laboratory_coverage(
    crossing: Crossing, predicted: Predicted, target: str, found: Calibrated, level: float
) -> list[dict[str, Any]]:
    limits, rows, observed, centre, fold = crossing.data.ranges[target], [], [], [], []
    for number, name in enumerate(crossing.held):
        members = predicted.values.get((target, Part(LABORATORY, name), crossing.method, CNN))
        tested = np.flatnonzero(crossing.tested(Part(LABORATORY, name), target))
        if members is None or not tested.size:
            continue
        observed.append(limits.to_scale(crossing.data.observed(target)[tested]))
        centre.append(members.mean(axis=0)[tested])
        fold.append(np.full(tested.size, number))
    if not observed:
        return []
    y, c, f = np.concatenate(observed), np.concatenate(centre), np.concatenate(fold)
    plain = SplitConformal.fit(found.observed, found.out_of_fold[0], level)
    kinds = [(LAB_RANDOM, plain.interval(c))]
    if np.unique(f).size > 1:
        kinds.append((LAB_OTHERS, fold_intervals(y, c, f, level)))
    for kind, (low, high) in kinds:
        rows.append(_covered(crossing, target, kind, "all", level, y, low, high))
        rows += [
            _covered(crossing, target, kind, crossing.held[k], level, y[f == k], low[f == k], high[f == k])
            for k in np.unique(f).tolist()
        ]
    return rows


def _covered(
    crossing: Crossing,
    target: str,
    kind: str,
    laboratory: str,
    level: float,
    observed: Floats,
    low: Floats,
    high: Floats,
) -> dict[str, Any]:
    limits = crossing.data.ranges[target]
    # An end beyond the physical range is moved to it, which takes no possible value away.
    inside = covered(observed, *(np.clip(end, *limits.bounds) for end in (low, high)))
    bounds = coverage_range(int(inside.sum()), inside.size)
    width = limits.from_scale(high) - limits.from_scale(low)
    return {
        "property": target,
        "kind": kind,
        "laboratory": laboratory,
        "nominal": level,
        "n": inside.size,
        "coverage": float(inside.mean()),
        "lowest": bounds[0],
        "highest": bounds[1],
        "median_width": float(np.median(width)),
    }


def suspect_values(crossing: Crossing, calibrated: dict[str, Calibrated]) -> pd.DataFrame:
    """Measured values that lie far from their out-of-fold prediction: a robust z of the score over 6.

    They stay as they were measured; the data card names them.
    """
    rows = []
    for target, found in calibrated.items():
        limit = 6.0 * float(np.median(found.scores)) / 0.6745
        predicted = crossing.data.ranges[target].from_scale(found.out_of_fold[0])
        for place in np.flatnonzero(found.scores > limit).tolist():
            row = int(found.rows[place])
            rows.append(
                {
                    "id": str(crossing.data.library.ids[row]),
                    "laboratory": str(crossing.data.laboratory[row]),
                    "property": target,
                    "observed": float(crossing.data.observed(target)[row]),
                    "predicted": float(predicted[place]),
                    "score": float(found.scores[place] * 0.6745 / np.median(found.scores)),
                }
            )
    columns = ["id", "laboratory", "property", "observed", "predicted", "score"]
    frame = pd.DataFrame(rows, columns=pd.Index(columns))
    return frame.sort_values("score", ascending=False, ignore_index=True)


def require_models(predicted: Predicted) -> None:
    """Raises DataError where a model has returned numbers that are not finite."""
    for (target, part, method, model), values in predicted.values.items():
        if not np.isfinite(values).all():
            raise DataError(
                "a model returned predictions that are not finite",
                source=f"{target}, {part.name}, {method}, {model}",
                remedy="Lower the learning rate (--train.lr).",
            )
