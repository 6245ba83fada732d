"""From the predictions of all models to those of held-out rows, their intervals, and what the intervals cover."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation import conformal
from jaxsoil.evaluation.applicability import Judged
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.hybrid.cross_fit import LABORATORY, RANDOM, TEST, TEST_ROWS, CrossFit, HeldOut
from jaxsoil.studies.hybrid.fitting import CNN, ModelPredictions
from jaxsoil.studies.hybrid.results import ALL

CNN_ONE = "cnn-one"
"""The first network of the ensemble by itself."""

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Nominal coverages at which intervals are held against what they cover."""

OUT_OF_FOLD, TRUTH = "out of fold", "imputed rows, true values"
TEST_OTHER = {"cv": "held-out rows, by cv+ instead", "cv+": "held-out rows, by cv instead"}
TRUTH_INSIDE, TRUTH_FLAGGED = "imputed rows not flagged, true values", "imputed rows flagged, true values"
LAB_RANDOM, LAB_OTHERS = "laboratory out, calibrated at random", "laboratory out, calibrated on the other laboratories"
"""What coverage is measured on, and how the intervals were calibrated."""

SUSPECT_COLUMNS = ("id", "laboratory", "property", "observed", "predicted", "score")
SUSPECT_Z = 6.0
"""Robust z of the conformity score over which a measured value is suspect."""

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class Calibrated:
    """The ensemble of one property with its out-of-fold scores, on the learning scale.

    Attributes:
      centre: (K, n) mean over members of each fold's networks, for all rows.
      scale: (K, n) spread (standard deviation over the members of the ensemble) with its floor.
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

    def fold_intervals(self, coverage: float) -> tuple[Floats, Floats]:
        """Intervals, (c,) each, of the measured rows, each fold calibrated on the others."""
        centre, scale = self.out_of_fold
        return conformal.fold_intervals(self.observed, centre, self.fold, coverage, scale)

    def interval(self, rows: Any, coverage: float, construction: str) -> tuple[Floats, Floats]:
        """Cross-fitted intervals, (t,) each, of rows that no fold has trained on; by "cv" or "cv+"."""
        if construction == "cv":
            return conformal.mean_interval(self.scores, self.centre[:, rows], coverage, self.scale[:, rows])
        return conformal.cross_interval(self.scores, self.fold, self.centre[:, rows], coverage, self.scale[:, rows])

    def error(self, rows: Any) -> Floats:
        """Standard deviation, (t,), of the error: scaled spread, calibrated out of fold, and what folds disagree on."""
        within = np.mean(self.scale[:, rows] ** 2, axis=0) * np.mean(self.scores**2)
        return np.sqrt(within + self.centre[:, rows].var(axis=0))


def calibrate(cross_fit: CrossFit, predicted: ModelPredictions, target: str) -> Calibrated:
    """Out-of-fold scores of the ensemble behind the product; DataError where every network of a fold diverged."""
    limits, data = cross_fit.data.ranges[target], cross_fit.data
    keys = [(target, held, cross_fit.method, CNN) for held in cross_fit.folds]
    missing = [key[1].name for key in keys if key not in predicted.values]
    if missing:
        problem = "every network of a fold diverged, and without them there is no product"
        remedy = "Lower --train.lr and start again with --overwrite."
        raise DataError(problem, source=target, value=f"fold {', '.join(missing)}", remedy=remedy)
    members = [predicted.values[key] for key in keys]
    centre = np.stack([m.mean(axis=0) for m in members])
    rows = np.flatnonzero(data.measured(target) & (cross_fit.fold >= 0))
    fold = cross_fit.fold[rows]
    observed = limits.to_scale(data.observed(target)[rows])
    floor = float(np.median(np.abs(observed - centre[fold, rows])))
    scale = np.stack([conformal.ensemble_scale(m, max(floor, 1e-9)) for m in members])
    found = conformal.scores(observed, centre[fold, rows], scale[fold, rows])
    return Calibrated(centre, scale, rows, fold, observed, found)


def held_out_predictions(
    cross_fit: CrossFit, predicted: ModelPredictions, calibrated: dict[str, Calibrated]
) -> pd.DataFrame:
    """Measured and predicted values of every row that was held out: one line for each scheme, method and model."""
    frames, at_random = [], set()
    for (target, held, method, model), members in predicted.values.items():
        frames.append(_lines(cross_fit, target, held, method, model, members.mean(axis=0)))
        if held.scheme == RANDOM:
            at_random.add((target, method, model))
            if model == CNN and len(members) > 1:
                # What the clipped network, which is alone, is to be compared with.
                frames.append(_lines(cross_fit, target, held, method, CNN_ONE, members[0]))
    for target, method, model in sorted(at_random) if cross_fit.config.test_share > 0.0 else ():
        folds = [predicted.ensemble(target, held, method, model) for held in cross_fit.folds]
        mean = np.mean([fold for fold in folds if fold is not None], axis=0)
        frames.append(_lines(cross_fit, target, TEST_ROWS, method, model, mean))
    frame = pd.concat(frames, ignore_index=True)
    # The intervals of the product's ensemble at the nominal coverage, where a row was held out at random.
    config, row = cross_fit.config, frame["row"].to_numpy()
    low, high = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    ours = (frame["harmonisation"] == cross_fit.method) & (frame["model"] == CNN)
    for target, found in calibrated.items():
        from_scale, mine = cross_fit.data.ranges[target].from_scale, ours & (frame["property"] == target)
        here = np.flatnonzero(mine & (frame["scheme"] == RANDOM))
        place = np.searchsorted(found.rows, row[here])
        low[here], high[here] = (from_scale(end)[place] for end in found.fold_intervals(config.coverage))
        here = np.flatnonzero(mine & (frame["scheme"] == TEST))
        if here.size:
            ends = found.interval(row[here], config.coverage, config.interval)
            low[here], high[here] = (from_scale(end) for end in ends)
    return frame.assign(low=low, high=high).drop(columns="row")


def _lines(cross_fit: CrossFit, target: str, held: HeldOut, method: str, model: str, scaled: Floats) -> pd.DataFrame:
    data, limits = cross_fit.data, cross_fit.data.ranges[target]
    rows = np.flatnonzero(cross_fit.tested(held, target))
    columns = {
        "scheme": held.scheme, "held_out": held.name, "property": target, "harmonisation": method, "model": model,
        "id": data.library.ids[rows], "laboratory": data.laboratory[rows], "observed": data.observed(target)[rows],
        "predicted": limits.from_scale(scaled[rows]), "outside": limits.outside(scaled[rows]), "row": rows,
    }  # fmt: skip
    return pd.DataFrame(columns)


_Set = tuple[str, str, NDArray[np.int64], Floats, Floats, Floats]
"""Kind of coverage, laboratory, rows of the data, their values and both ends of their intervals, on the learning
scale."""


def coverage_table(
    cross_fit: CrossFit, predicted: ModelPredictions, calibrated: dict[str, Calibrated], judged: dict[str, Judged]
) -> pd.DataFrame:
    """Share of observations within their intervals at several nominal coverages, by how the intervals were made.

    The range of a share, Wilson's, rests on the number of samples (``groups``), not of rows: scans of one sample are
    no independent observations.
    """
    rows: list[dict[str, Any]] = []
    for target, found in calibrated.items():
        limits = cross_fit.data.ranges[target]
        for level in LEVELS:
            sets = [
                *_random_sets(cross_fit, target, found, level, judged[target].outside),
                *_laboratory_sets(cross_fit, predicted, target, found, level),
            ]
            for kind, laboratory, where, observed, low, high in sets:
                keys = {"property": target, "kind": kind, "laboratory": laboratory, "nominal": level}
                # An end beyond the physical range is moved to it, which takes no possible value away.
                inside = conformal.covered(observed, *(np.clip(end, *limits.bounds) for end in (low, high)))
                share, groups = float(inside.mean()), np.unique(cross_fit.data.sample[where]).size
                lowest, highest = conformal.share_range(share, groups)
                shares = {"n": inside.size, "groups": groups, "coverage": share, "lowest": lowest, "highest": highest}
                width = float(np.median(limits.from_scale(high) - limits.from_scale(low)))
                rows.append({**keys, **shares, "median_width": width})
    return pd.DataFrame(rows).assign(seed=cross_fit.config.seed)


def _random_sets(
    cross_fit: CrossFit, target: str, found: Calibrated, level: float, flagged: NDArray[np.bool_]
) -> Iterator[_Set]:
    data, chosen = cross_fit.data, cross_fit.config.interval
    yield OUT_OF_FOLD, ALL, found.rows, found.observed, *found.fold_intervals(level)
    test, observed, truth = cross_fit.tested(TEST_ROWS, target), data.observed(target), data.truth(target)
    other = "cv+" if chosen == "cv" else "cv"
    sets = [(TEST, chosen, test, observed), (TEST_OTHER[chosen], other, test, observed)]
    if truth is not None:
        missing = ~data.measured(target)
        sets.append((TRUTH, chosen, missing, truth))
        sets.append((TRUTH_INSIDE, chosen, missing & ~flagged, truth))
        sets.append((TRUTH_FLAGGED, chosen, missing & flagged, truth))
    for kind, construction, rows, values in sets:
        if rows.any():
            observed = data.ranges[target].to_scale(values[rows])
            here = np.flatnonzero(rows)
            yield kind, ALL, here, observed, *found.interval(here, level, construction)


def _laboratory_sets(
    cross_fit: CrossFit, predicted: ModelPredictions, target: str, found: Calibrated, level: float
) -> Iterator[_Set]:
    data, parts = cross_fit.data, []
    for name in cross_fit.laboratories:
        held = HeldOut(LABORATORY, name)
        mean, tested = predicted.ensemble(target, held, cross_fit.method, CNN), cross_fit.tested(held, target)
        if mean is not None and tested.any():
            rows = np.flatnonzero(tested)
            values = data.ranges[target].to_scale(data.observed(target)[rows])
            parts.append((values, mean[rows], np.full(rows.size, name, dtype=object), rows))
    if not parts:
        return
    y, c, names, rows = map(np.concatenate, zip(*parts, strict=True))
    plain = conformal.SplitConformal.fit(found.observed, found.out_of_fold[0], level)
    kinds = [(LAB_RANDOM, plain.interval(c))]
    if len(parts) > 1:
        kinds.append((LAB_OTHERS, conformal.fold_intervals(y, c, names.astype(str), level)))
    for kind, (low, high) in kinds:
        yield kind, ALL, rows, y, low, high
        for name in dict.fromkeys(names.tolist()):
            here = names == name
            yield kind, name, rows[here], y[here], low[here], high[here]


def suspect_values(cross_fit: CrossFit, calibrated: dict[str, Calibrated]) -> pd.DataFrame:
    """Measured values that lie far from their out-of-fold prediction: a robust z of the score over :data:`SUSPECT_Z`.

    They stay as they were measured; the data card names them.
    """
    frames, data = [pd.DataFrame(columns=pd.Index(SUSPECT_COLUMNS))], cross_fit.data
    for target, found in calibrated.items():
        z = found.scores * 0.6745 / np.median(found.scores)
        far = np.flatnonzero(z > SUSPECT_Z)
        rows = found.rows[far]
        predicted = data.ranges[target].from_scale(found.out_of_fold[0])[far]
        cells = (data.library.ids[rows], data.laboratory[rows], target, data.observed(target)[rows], predicted, z[far])
        frames.append(pd.DataFrame(dict(zip(SUSPECT_COLUMNS, cells, strict=True))))
    frame = pd.concat([one for one in frames if len(one)] or frames[:1])
    return frame.sort_values("score", ascending=False, ignore_index=True)
