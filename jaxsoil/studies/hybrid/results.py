"""The product, one table of measured and predicted values, and the rows of results.csv: scores, counts, statistics.

``region`` is a laboratory, or "all" for all together; ``split`` is how rows were held out, or :data:`PRODUCT` for what
hybrid.parquet holds, of which ``model`` says measured or predicted.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation.applicability import FLAGS, Judged
from jaxsoil.evaluation.compare import mean_sd
from jaxsoil.evaluation.metrics import summary
from jaxsoil.evaluation.results import COUNT, as_frame, score_rows, value_rows
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import atomic_path
from jaxsoil.runs.keys import mark

if TYPE_CHECKING:
    from jaxsoil.studies.hybrid.cross_fit import CrossFit
    from jaxsoil.studies.hybrid.intervals import Calibrated

OWN = ("harmonisation",)
"""The study's own key column of results.csv."""

ALL, MEASURED, PREDICTED = "all", "measured", "predicted"
"""All laboratories together, and the two kinds of values of the product."""

PRODUCT, FLAGGING = "product", "outlier flags"
"""Split of the product's rows, and the model of those that count the flags of spectra."""

COLUMNS = {
    "id": "row of the source data (sample and laboratory)",
    "sample": "name of the sample",
    "laboratory": "laboratory that scanned it",
    "depth_top": "upper end of the layer, cm (empty where unknown)",
    "depth_bottom": "lower end of the layer, cm; that of depth_top where one depth is known (empty where unknown)",
    "longitude": "degrees east (empty where unknown)",
    "latitude": "degrees north (empty where unknown)",
    "property": "name of the property",
    "value": "measured value, unchanged to the last bit, or prediction",
    "unit": "unit of value, low, high and error_sd",
    "kind": "measured or predicted",
    "low": "lower end of the prediction interval (empty for measured values)",
    "high": "upper end of the prediction interval (empty for measured values)",
    "error_sd": "estimated standard deviation of the prediction error (empty for measured values)",
    "model": "id of the ensemble that predicted, a hash of data and settings (empty for measured values)",
    "applicability": "inside, or by which limit (distance, residual) the spectrum is unlike those of the training",
}
"""Columns of hybrid.parquet, in order, with their meaning."""

PLACES = ("depth_top", "depth_bottom", "longitude", "latitude")
"""Columns that say where a sample was taken."""

METRICS = ("rmse", "bias", "r2", "ccc", "rpiq")
MISLABELLED = "mislabelled"
"""Rows of the twin whose values, not spectra, were spoiled."""

DEPTHS = (0.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0, 150.0, math.inf)
"""Edges of the depth classes, cm."""

NORMAL_RATIO = 1.3489795
"""Interquartile range over standard deviation of a normal law."""


@dataclasses.dataclass(frozen=True)
class Published:
    """One property of the abstract; contents in g/kg.

    Attributes:
      measured, imputed: number of samples.
      r2, rmse, mae, rpiq: as printed.
      prediction_sd: standard deviation of the predictions, as printed.
    """

    measured: int
    imputed: int
    r2: float
    rmse: float
    mae: float
    rpiq: float
    prediction_sd: float


PUBLISHED = {
    "carbon": Published(51_079, 5_708, 0.96, 15.41, 6.62, 1.38, 40.08),
    "organic_matter": Published(5_750, 51_037, 0.79, 19.15, 11.76, 1.05, 10.06),
}

Floats = NDArray[np.float64]
Row = dict[str, object]


def result_table(
    cross_fit: CrossFit,
    study: str,
    held: pd.DataFrame,
    table: pd.DataFrame,
    outliers: pd.DataFrame,
    suspects: pd.DataFrame,
) -> pd.DataFrame:
    """All rows of results.csv.

    Args:
      cross_fit, study: data and folds; name of the experiment.
      held, table: predictions of held-out rows; the product.
      outliers, suspects: flags of all rows; measured values that lie far from their prediction.
    """
    keys: Row = {"study": study, "data": cross_fit.data.library.name, "seed": cross_fit.config.seed}
    rows = _score_rows(cross_fit, held, keys)
    keys |= {"region": ALL, "split": PRODUCT, "harmonisation": cross_fit.method}
    return as_frame(rows + _product_rows(cross_fit, table, keys) + _flag_rows(outliers, suspects, keys), OWN)


def _score_rows(cross_fit: CrossFit, held: pd.DataFrame, keys: Row) -> list[Row]:
    """Scores by scheme, property, harmonisation and model: of all rows together, and of each laboratory."""
    rows = []
    by = {"split": "scheme", "property": "property", "harmonisation": "harmonisation", "model": "model"}
    grouped: Any = held.groupby([*by.values()], sort=False)
    for names, group in grouped:
        of: Row = {**keys, **dict(zip(by, names, strict=True))}
        unit = cross_fit.data.ranges[str(of["property"])].unit
        for laboratory, lines in [(ALL, group), *group.groupby("laboratory")]:
            observed, predicted = lines["observed"].to_numpy(), lines["predicted"].to_numpy()
            here, (low, high) = {**of, "region": laboratory}, np.percentile(observed, [25.0, 75.0])
            rows += score_rows(observed, predicted, unit=unit, scale="unit", keys=here, metrics=METRICS)
            more = {"mae": float(np.mean(np.abs(observed - predicted))), "sd": mean_sd(observed).sd}
            more |= {"sd_predicted": mean_sd(predicted).sd, "iqr": high - low}
            rows += value_rows(more, unit=unit, scale="unit", keys=here)
            rows += _counts({"n_outside": lines["outside"].sum()}, here)
        shares = richest(group["observed"].to_numpy(), group["predicted"].to_numpy())
        rows += value_rows(shares, unit="1", scale="unit", keys={**of, "region": ALL})
    return rows


def richest(observed: Floats, predicted: Floats) -> dict[str, float]:
    """What the 5 % of rows with the highest measured values do to R2; (n,) values in one unit.

    Returns:
      ``richest_variation`` and ``richest_error``, their shares of the sum of squares that R2 divides by and of the
      squared error, and ``r2_without_richest``; NaN where undefined.
    """
    top = observed >= np.percentile(observed, 95.0)
    variation, error = (observed - observed.mean()) ** 2, (observed - predicted) ** 2
    return {
        "richest_variation": _ratio(variation[top].sum(), variation.sum()),
        "richest_error": _ratio(error[top].sum(), error.sum()),
        "r2_without_richest": summary(observed[~top], predicted[~top])["r2"],
    }


def _product_rows(cross_fit: CrossFit, table: pd.DataFrame, keys: Row) -> list[Row]:
    """How many values are measured and imputed, how many of them flagged, and their medians and SDs."""
    rows = []
    for target, limits in cross_fit.data.ranges.items():
        for laboratory in (ALL, *cross_fit.data.sizes):
            here = (table["property"] == target) & ((table["laboratory"] == laboratory) | (laboratory == ALL))
            for kind in (MEASURED, PREDICTED):
                lines = table.loc[here & (table["kind"] == kind)]
                of = {**keys, "property": target, "region": laboratory, "model": kind}
                flagged = int((lines["applicability"] != FLAGS[0]).sum())
                rows += _counts({"n": len(lines), "n_flagged": flagged}, of)
                values: dict[str, Any] = {"median": lines["value"].median(), "sd": mean_sd(lines["value"]).sd}
                values |= {"median_error_sd": lines["error_sd"].median()} if kind == PREDICTED else {}
                rows += value_rows(values, unit=limits.unit, scale="unit", keys=of)
    if {"carbon", "organic_matter"} <= set(cross_fit.data.ranges):
        wide = table.pivot(index="id", columns="property", values="value")
        ratio = wide["organic_matter"] / np.maximum(wide["carbon"], 1e-9)
        values = {"over_carbon_median": float(np.median(ratio)), "below_carbon": float(np.mean(ratio < 1.0))}
        of = {**keys, "property": "organic_matter", "model": f"{MEASURED} or {PREDICTED}"}
        rows += value_rows(values, unit="1", scale="unit", keys=of)
    return rows


def _flag_rows(outliers: pd.DataFrame, suspects: pd.DataFrame, keys: Row) -> list[Row]:
    """How many spectra have which flag, and how many of the spoiled rows of a twin were found."""
    rows, keys = [], {**keys, "model": FLAGGING}
    grouped: Any = outliers.groupby("property", sort=False)
    for target, lines in grouped:
        counts: dict[str, Any] = {f"n_{flag}": (lines["flag"] == flag).sum() for flag in FLAGS[1:]}
        counts |= {"n": len(lines), "n_left_out": lines["left_out"].sum()}
        flagged, spoiled = lines["flag"] != FLAGS[0], ~lines["spoiled"].isin(["", MISLABELLED])
        if spoiled.any():
            counts |= {"n_spoiled": spoiled.sum(), "n_spoiled_flagged": (spoiled & flagged).sum()}
            counts |= {"n_sound": (~spoiled).sum(), "n_sound_flagged": (~spoiled & flagged).sum()}
        rows += _counts(counts, {**keys, "property": target})
    wrong = set(outliers.loc[(outliers["spoiled"] == MISLABELLED) & outliers["measured"], "id"])
    if wrong:
        counts = {"n_mislabelled": len(wrong), "n_mislabelled_suspect": len(wrong & set(suspects["id"]))}
        rows += _counts(counts, {**keys, "property": ALL})
    return rows


def _counts(counts: dict[str, Any], keys: Row) -> list[Row]:
    return value_rows({name: float(n) for name, n in counts.items()}, unit=COUNT, scale="unit", keys=keys)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0.0 else math.nan


def normal_rpiq(r2: float) -> float:
    """RPIQ of a normal law with this R2: its interquartile range is 1.349 SD, and SD / RMSE is 1 / sqrt(1 - R2)."""
    return NORMAL_RATIO / math.sqrt(1.0 - r2) if r2 < 1.0 else math.nan


def lognormal_sigma(ratio: float) -> float:
    """Standard deviation s of log values of the log-normal law whose interquartile range over SD is ``ratio``.

    IQR / SD = 2 sinh(0.6745 s) / (exp(s^2 / 2) sqrt(exp(s^2) - 1)), which falls from 1.349 at s = 0. NaN where
    ``ratio`` is not between 0 and 1.349.
    """
    from scipy.optimize import brentq

    if not 0.0 < ratio < NORMAL_RATIO:
        return math.nan

    def off(s: float) -> float:
        law = 2.0 * math.sinh(0.5 * NORMAL_RATIO * s) / (math.exp(0.5 * s * s) * math.sqrt(math.expm1(s * s)))
        return law - ratio

    # A ratio within rounding of either end has its solution outside.
    low, high = 1e-6, 6.0
    root: Any = low if off(low) <= 0.0 else high if off(high) >= 0.0 else brentq(off, low, high)
    return float(root)


def skew_table(results: pd.DataFrame, method: str, targets: Iterable[str]) -> pd.DataFrame:
    """Why a high R2 can go with a low RPIQ: of each property in print and of ours by random folds.

    Args:
      results: rows of :func:`result_table`.
      method: harmonisation of the product.
      targets: properties of the data, in order.

    Returns:
      Rows ``property, source`` ("published" or "here"), ``r2, rpiq, sd, iqr`` of the measured values, in print SD =
      RMSE / sqrt(1 - R2) and IQR = RPIQ x RMSE; ``ratio``, IQR / SD; ``normal``, the RPIQ of a normal law with this R2;
      ``lognormal`` (:func:`lognormal_sigma`).
    """
    chosen: Any = results[(results["split"] == "random") & (results["model"] == "cnn") & (results["region"] == ALL)]
    chosen = chosen[chosen["harmonisation"] == method]
    names, targets = ["r2", "rpiq", "sd", "iqr"], list(targets)
    ours = chosen.pivot(index="property", columns="metric", values="value").reindex(columns=names)
    rows = [
        (target, "published", p.r2, p.rpiq, p.rmse / math.sqrt(1.0 - p.r2), p.rpiq * p.rmse)
        for target, p in PUBLISHED.items()
        if target in targets
    ]
    rows += [(target, "here", *ours.loc[target]) for target in targets if target in ours.index]
    found = pd.DataFrame(rows, columns=pd.Index(["property", "source", *names]))
    found["ratio"] = [_ratio(iqr, sd) for iqr, sd in zip(found["iqr"], found["sd"], strict=True)]
    laws = {"normal": map(normal_rpiq, found["r2"]), "lognormal": map(lognormal_sigma, found["ratio"])}
    return found.assign(**{name: list(values) for name, values in laws.items()})


def depth_table(table: pd.DataFrame, depth: Floats, seed: int) -> pd.DataFrame:
    """Number, median and quartiles of measured and predicted values in each depth class of five values or more.

    Args:
      table: the product.
      depth: (n,) middle of the layer of each row of the data, cm; NaN where unknown.
      seed: of the study.

    Returns:
      Columns property, kind, place (number of the class from 0), depth (its name, cm), n, q25, median, q75, seed.
    """
    rows = []
    table = table.assign(depth=np.tile(depth, len(table) // depth.size))
    grouped: Any = table.groupby(["property", "kind"], sort=False)
    for (target, kind), lines in grouped:
        for place, (top, bottom) in enumerate(itertools.pairwise(DEPTHS)):
            values = lines.loc[(lines["depth"] >= top) & (lines["depth"] < bottom), "value"]
            if len(values) >= 5:
                name = f"{top:g}-{bottom:g}" if math.isfinite(bottom) else f"over {top:g}"
                quartiles = np.percentile(values, [25.0, 50.0, 75.0])
                rows.append((target, kind, place, name, len(values), *quartiles, seed))
    columns = ("property", "kind", "place", "depth", "n", "q25", "median", "q75", "seed")
    return pd.DataFrame(rows, columns=pd.Index(columns))


def product_table(
    cross_fit: CrossFit, calibrated: dict[str, Calibrated], judged: dict[str, Judged], models: dict[str, str]
) -> pd.DataFrame:
    """One line for each row of the data and property.

    ``calibrated``, ``judged``, ``models``: target -> ensemble with its scores; distance and flag of all rows; model id.
    """
    frames = []
    data, nowhere = cross_fit.data, np.full(len(cross_fit.data), np.nan)
    where = {name: data.places.get(name, nowhere) for name in PLACES}
    for target, found in calibrated.items():
        limits, measured = data.ranges[target], data.observed(target)
        missing = ~np.isfinite(measured)
        rows = np.flatnonzero(missing)
        value, low, high, error = measured.copy(), *(np.full(len(data), np.nan) for _ in range(3))
        if rows.size:
            centre = found.centre[:, rows].mean(axis=0)
            value[rows] = limits.from_scale(centre)
            ends = found.interval(rows, cross_fit.config.coverage, cross_fit.config.interval)
            # The ends are order statistics of their own, so the mean of the folds can fall a hair outside.
            low[rows] = np.minimum(limits.from_scale(ends[0]), value[rows])
            high[rows] = np.maximum(limits.from_scale(ends[1]), value[rows])
            error[rows] = limits.error(centre, found.error(rows))
        frame = {
            "id": data.library.ids, "sample": data.sample, "laboratory": data.laboratory, **where, "property": target,
            "value": value, "unit": limits.unit, "kind": np.where(missing, PREDICTED, MEASURED),
            "low": low, "high": high, "error_sd": error,
            "model": np.where(missing, models[target], ""), "applicability": judged[target].flag,
        }  # fmt: skip
        frames.append(pd.DataFrame(frame)[list(COLUMNS)])
    return pd.concat(frames, ignore_index=True)


def check_product(table: pd.DataFrame, cross_fit: CrossFit) -> None:
    """Holds the table against the data: every value there, every measured value the same to the last bit.

    Raises:
      DataError: a value that is missing, changed or outside its physical range, or an interval without its value.
    """
    for target, limits in cross_fit.data.ranges.items():
        part = pd.DataFrame(table.loc[(table["property"] == target).to_numpy()])
        measured, value = cross_fit.data.observed(target), part["value"].to_numpy()
        there = np.isfinite(measured)
        altered = (value[there].view(np.uint64) != measured[there].view(np.uint64)).any()
        altered |= (part["kind"].to_numpy() != np.where(there, MEASURED, PREDICTED)).any()
        low, high = part["low"].to_numpy()[~there], part["high"].to_numpy()[~there]
        inside = ((value >= limits.low) & (value <= limits.high)).all()
        inside &= ((low <= value[~there]) & (value[~there] <= high)).all()
        if altered or not inside:
            problem = "a measured value was altered" if altered else "a value lies outside its range or interval"
            raise DataError(problem, source="hybrid.parquet", column=target, remedy="Report this as a bug.")


def write_product(table: pd.DataFrame, path: Path) -> None:
    """Writes the table as Parquet, whole or not at all, and reads it back to see that nothing changed."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)
        back = pd.read_parquet(temporary)
        pd.testing.assert_frame_equal(back, table, check_exact=True, check_dtype=False)


def model_id(cross_fit: CrossFit, target: str) -> str:
    """Id of the ensemble of a property: equal data and settings give an equal id."""
    settings = dataclasses.asdict(cross_fit.config)
    content = json.dumps([settings, cross_fit.data.library.fingerprint(), target], sort_keys=True)
    return f"cnn-{target}-{mark(content, 10)}"
