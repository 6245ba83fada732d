"""How sure: prediction intervals on regions that no model has seen, what they cover, and what to measure again.

The intervals of region r are calibrated on the residuals of the other regions, each when it was held out. Those
residuals come from models that had not seen the calibrated region, but were trained with r among others: the labels of
r shaped the models behind the calibration ("pooled"), never its rows. The strict way leaves out pairs of regions: the
residuals of region s then come from a model that saw neither s nor r ("nested"). It takes R (R - 1) / 2 fits and is
done for PLSR, which shows how much the short cut flatters.

Everything else that is learned, components, limits and likelihood ratios, comes from spectra outside r, and from the
spectra of r as the batch to be predicted; no label of r enters. Nothing here is random.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.evaluation import conformal, results, shift
from jaxsoil.evaluation.applicability import SpectralSpace
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.evaluation.shift import Calibration
from jaxsoil.models import plsr
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.runs.tables import read_parquet
from jaxsoil.studies.reconstruction import baselines
from jaxsoil.studies.reconstruction.config import StudyConfig, settings_of
from jaxsoil.studies.reconstruction.family import PARTS
from jaxsoil.studies.reconstruction.tables import SAMPLES, read_predictions
from jaxsoil.studies.reconstruction.train import side_by_side

LEVEL = 0.9
"""Nominal coverage; that of ``region`` intervals is lowered to K / (K + 1) where K regions allow no more."""

POOLED, NESTED = "pooled", "nested"
"""Where calibration residuals come from: regions left out one at a time, or in pairs."""

CROSS = "cross"
"""CV+ by region, which takes the models of pairs."""

OWN = ("calibration", "method", "nominal", "rows")
"""Key columns of coverage.csv beside those of all results."""

KEPT = tuple(np.round(np.linspace(0.1, 1.0, 19), 2).tolist())
"""Shares of the rows, least strange first, along the curve of coverage."""

MEASURED = tuple(np.round(np.linspace(0.0, 1.0, 21), 2).tolist())
"""Shares of the rows that go to the laboratory."""

LEAST = 5
"""Kept rows from which on the coverage of a region counts in the curve."""

CURVE = ("rows", "kept", "answered", "coverage", "lowest", "regions", "pooled", "factor")
"""Columns of :func:`curve_rows` beside the keys."""

GOAL, HALF = 0.8, 0.5
"""Coverage wanted of every region, and the share of rows that must be answered where it is looked for."""

RANKED_BY = "classifier"
"""Method whose interval widths rank what is measured again."""

_SERIES = ["model", "seed", "calibration", "method", "level"]


@dataclass(frozen=True, eq=False)
class _Region:
    """A held-out region: its rows, those of the others, whitened scores of all rows, strangeness of its own."""

    name: str
    rows: np.ndarray
    others: np.ndarray
    features: np.ndarray
    strangeness: np.ndarray


@dataclass(frozen=True, eq=False)
class _Data:
    """The library's ids, SOC in % and region of each row, (n,), and its held-out regions."""

    ids: np.ndarray
    soc: np.ndarray
    names: np.ndarray
    regions: list[_Region]


def summary(folder: Path, library: Library, splits: Sequence[Split], config: StudyConfig) -> dict[str, pd.DataFrame]:
    """prediction_intervals.parquet, coverage.csv, coverage_curve.csv and remeasure.csv of a finished run, by name, and
    the means of the last three over seeds: coverage_regions.csv, coverage_means.csv and remeasure_means.csv.

    The splits are one for each region. A model and seed has no rows for a region in which it diverged, and that region
    calibrates none. Predictions for pairs of regions are kept as pieces in the folder ``trials``.
    """
    spectra = baselines.seen(library, "snv")
    data = _Data(library.ids, library.property("soc").values, library.group("region"), _regions(splits, spectra))
    predictions = read_predictions(folder)
    frames = []
    for (model, seed), mine in predictions.groupby(["model", "seed"], sort=False):  # type: ignore[misc]
        held_out = {str(name): np.asarray(rows["predicted"]) for name, rows in mine.groupby("region", sort=False)}
        predicted = np.full(len(library), np.nan)
        for region in data.regions:
            predicted[region.rows] = held_out[region.name]
        pairs = _pairs(folder, library, splits, config) if model == "plsr" else None
        for place, region in enumerate(data.regions):
            if np.isfinite(predicted[region.rows]).all() and np.isfinite(predicted[region.others]).any():
                made = [*_by_method(region, data, predicted, predicted, POOLED)]
                made += [] if pairs is None else _nested(place, data, predicted, pairs)
                frames += [_frame(region, data, predicted, one).assign(model=model, seed=seed) for one in made]
    if not frames:
        return {}
    rows = pd.concat(frames, ignore_index=True)
    key = {"study": predictions["study"].iloc[0], "data": library.name, "property": results.SOC, "split": "test"}
    coverage, curve, remeasured = coverage_rows(rows, key), curve_rows(rows), remeasure_rows(rows, folder)
    finite = coverage.assign(value=coverage["value"].where(np.isfinite(coverage["value"])))
    by_region: Any = finite.groupby(["model", "region", "calibration", "method", "rows", "metric"], sort=False)
    ranked: Any = remeasured.drop(columns="seed").groupby(["model", "ranking", "measured"], sort=False)
    return {
        "prediction_intervals.parquet": rows,
        "coverage": coverage,
        "coverage_regions": by_region["value"].mean().reset_index(),
        "coverage_curve": curve,
        "coverage_means": curve_means(curve),
        "remeasure": remeasured,
        "remeasure_means": ranked.mean().reset_index(),
    }


_Made = tuple[str, str, float, np.ndarray, np.ndarray, float]
"""Calibration, method, level, both ends on the log10 scale, and the effective number of what they rest on."""


def _regions(splits: Sequence[Split], spectra: np.ndarray) -> list[_Region]:
    found = []
    for split in splits:
        space = SpectralSpace.fit(spectra[split.train])
        rows, others = np.nonzero(split.test)[0], np.nonzero(split.train)[0]
        found.append(_Region(split.held_out, rows, others, space.scores(spectra), space.strangeness(spectra[rows])))
    return found


def _by_method(
    region: _Region, data: _Data, predicted: np.ndarray, others: np.ndarray, calibration: str
) -> Iterator[_Made]:
    """All methods of :mod:`jaxsoil.evaluation.shift`, calibrated on ``others``, predictions (n,), NaN where none."""
    used = region.others[np.isfinite(others[region.others])]
    made = Calibration.of(data.soc[used], others[used], data.names[used], region.features[used])
    own = predicted[region.rows]
    for method in shift.METHODS:
        level = min(LEVEL, made.most) if method == "region" else LEVEL
        found = shift.intervals(made, own, region.features[region.rows], level, method)
        centre = log10_percent(own)
        yield calibration, method, level, centre - found.half, centre + found.half, found.effective_n


def _nested(place: int, data: _Data, predicted: np.ndarray, pairs: dict[frozenset[int], np.ndarray]) -> Iterator[_Made]:
    """The same with residuals of models that saw neither region, and CV+ with these models' predictions."""
    region, others = data.regions[place], [k for k in range(len(data.regions)) if k != place]
    calibration, fold = np.full(data.soc.size, np.nan), np.zeros(data.soc.size, dtype=int)
    for number, other in enumerate(others):
        rows = data.regions[other].rows
        calibration[rows], fold[rows] = pairs[frozenset((place, other))][rows], number
    yield from _by_method(region, data, predicted, calibration, NESTED)
    used = region.others
    scores = conformal.scores(log10_percent(data.soc[used]), log10_percent(calibration[used]))
    centres = np.stack([pairs[frozenset((place, other))][region.rows] for other in others])
    yield NESTED, CROSS, LEVEL, *conformal.cross_interval(scores, fold[used], log10_percent(centres), LEVEL), used.size


def _pairs(
    folder: Path, library: Library, splits: Sequence[Split], config: StudyConfig
) -> dict[Any, np.ndarray] | None:
    """:func:`pair_predictions` of PLSR for all pairs; None where two regions less leave too few rows."""
    both = list(itertools.combinations(range(len(splits)), 2))
    if any(np.sum(splits[one].train & splits[other].train) <= plsr.N_COMPONENTS for one, other in both):
        return None
    return pair_predictions(folder, library, splits, config, "plsr", both)


def pair_predictions(
    folder: Path,
    library: Library,
    splits: Sequence[Split],
    config: StudyConfig,
    name: str,
    pairs: Sequence[tuple[int, int]],
) -> dict[frozenset[int], np.ndarray]:
    """SOC in % (n,) by a baseline that saw neither of two regions, NaN outside them, by the numbers of their splits
    (one for each region); pairs are kept as pieces in the folder ``trials`` of the run."""
    pieces, (what, loss) = Pieces(folder / "trials"), settings_of(config, name)[0]
    spectra, soc = baselines.seen(library, what), library.property("soc").values
    regions = baselines.regions_of(library)

    def get(one: int, other: int) -> np.ndarray:
        first, second = splits[one], splits[other]
        label = f"pairs/{name}/{first.name}/{second.held_out}"

        def fit() -> Piece:
            train, test, both = first.train & second.train, first.test | second.test, np.full(soc.size, np.nan)
            own: dict[str, Any] = {"seed": 0, "loss": loss, "train": config.train, "correct": False}
            own |= {"regions": regions[train], "axis": library.spectra.axis}
            model = baselines.fit(name, spectra[train], soc[train], library.blocks[train], **own)
            both[test] = model.predict(spectra[test])
            return Piece({"soc": both})

        return pieces.get(label.replace("/", "-"), fit, identity=label).arrays["soc"]

    made = side_by_side([functools.partial(get, *pair) for pair in pairs], many=name in PARTS)
    return {frozenset(pair): found for pair, found in zip(pairs, made, strict=True)}


def _frame(region: _Region, data: _Data, predicted: np.ndarray, made: _Made) -> pd.DataFrame:
    calibration, method, level, low, high, effective = made
    soc = data.soc[region.rows]
    columns = {
        "region": region.name, "calibration": calibration, "method": method, "level": level,
        "id": data.ids[region.rows], "observed": soc, "predicted": predicted[region.rows],
        "low": 10.0**low, "high": 10.0**high, "half": (high - low) / 2.0,
        "covered": conformal.covered(log10_percent(soc), low, high), "effective_n": float(effective),
        "strangeness": region.strangeness,
    }  # fmt: skip
    return pd.DataFrame(columns)


def coverage_rows(rows: pd.DataFrame, key: dict[str, Any]) -> pd.DataFrame:
    """What the intervals of prediction_intervals.parquet cover in each region, of all its rows and of those to which
    the model is applicable; ``key`` has study, data, property and split.

    Returns:
      Rows of the schema of results with the key columns :data:`OWN`: ``coverage``, of the rows whose interval is
      bounded, ``unbounded`` and ``applicable`` as shares, ``factor`` (median half width: SOC lies within this factor of
      the prediction), ``width`` (median, % by mass), ``effective_n`` and ``n``. NaN where a part has no rows.
    """
    made: list[dict[str, object]] = []
    for series, mine in rows.groupby([*_SERIES, "region"], sort=False):
        model, seed, calibration, method, level, region = series  # type: ignore[misc]
        applicable = np.asarray(mine["strangeness"]) <= 1.0
        for part, chosen in (("all", np.ones(len(mine), bool)), ("applicable", applicable)):
            keys = {**key, "model": model, "region": region, "seed": seed, "calibration": calibration}
            keys |= {"method": method, "nominal": f"{level:.4g}", "rows": part}
            some = pd.DataFrame(mine[chosen])
            half, width = np.asarray(some["half"]), np.asarray(some["high"] - some["low"])
            shares = {"coverage": _mean(some["covered"][np.isfinite(half)]), "unbounded": _mean(np.isinf(half))}
            shares |= {"applicable": float(applicable.mean())} if part == "all" else {}
            shares |= {"factor": 10.0 ** _median(half)}
            made += results.value_rows(shares, unit="1", scale="log10", keys=keys)
            made += results.value_rows({"width": _median(width)}, unit="%", scale="percent", keys=keys)
            counts = {"n": float(len(some)), "effective_n": float(mine["effective_n"].iloc[0])}
            made += results.value_rows(counts, unit=results.COUNT, scale="log10", keys=keys)
    return results.as_frame(made, OWN)


def curve_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Coverage against the share of rows kept, the least strange of all regions together.

    Rows with unbounded intervals are never kept: they cover whatever is measured and say nothing.

    Returns:
      For each model, seed, calibration, method and share ``kept`` a row, and one with ``rows`` = "applicable" for those
      of strangeness up to 1: ``answered``, the share of all rows that is kept and bounded; ``coverage`` (mean over
      regions), ``lowest`` (of a region) and ``regions``, over regions with at least :data:`LEAST` such rows;
      ``pooled``, the share covered of all such rows; ``factor``, their median.
    """
    made = []
    for series, mine in rows.groupby(_SERIES, sort=False):
        half, hit, strange = (np.asarray(mine[name], dtype=float) for name in ("half", "covered", "strangeness"))
        order = np.argsort(np.where(np.isinf(half), np.inf, strange), kind="stable")
        where, n = pd.factorize(mine["region"])[0], order.size
        parts = [("share", share, order[: math.ceil(share * n - 1e-9)]) for share in KEPT]
        fit = np.nonzero(strange <= 1.0)[0]
        for name, share, chosen in (*parts, ("applicable", fit.size / n, fit)):
            kept = chosen[np.isfinite(half[chosen])]
            counts, inside = np.bincount(where[kept]), np.bincount(where[kept], hit[kept])
            shares = inside[counts >= LEAST] / counts[counts >= LEAST]
            lowest = float(shares.min()) if shares.size else math.nan
            found = (kept.size / n, _mean(shares), lowest, shares.size, _mean(hit[kept]), 10.0 ** _median(half[kept]))
            made.append((*series, name, share, *found))  # type: ignore[misc]
    return pd.DataFrame(made, columns=pd.Index([*_SERIES, *CURVE]))


def curve_means(curve: pd.DataFrame) -> pd.DataFrame:
    """Means of :func:`curve_rows` over seeds: for each model, calibration, method, ``rows`` and ``kept`` (empty for the
    applicable rows) a row with the same numbers, and ``most``: the largest share of rows answered, from :data:`HALF`
    on, at which every region is covered to :data:`GOAL`, NaN where there is none."""
    key, shares = ["model", "calibration", "method"], curve["rows"] == "share"
    by: Any = curve.assign(kept=curve["kept"].where(shares)).groupby([*key, "rows", "kept"], sort=False, dropna=False)
    reached: Any = curve[shares & (curve["answered"] >= HALF)].groupby([*key, "kept"])[["lowest", "answered"]].mean()
    most = reached[reached["lowest"] >= GOAL].groupby(key)["answered"].max().rename("most")
    means = by.mean(numeric_only=True).drop(columns="seed").reset_index()
    return means.merge(most.reset_index(), on=key, how="left")


def remeasure_rows(rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Accuracy of the table of predictions as a growing share of it is measured and put in.

    Rows go to the laboratory by rank, highest first: ``width`` (of :data:`RANKED_BY` intervals, as a factor),
    ``width_percent`` (in % by mass), ``strangeness``, ``spectrum_rmse`` and ``latent_distance`` (networks). ``random``
    is the expectation of a random draw, ``error`` the best that any ranking could do on the log10 scale.

    Returns:
      For each model, seed, ranking and share measured: ``rmse_log10`` and ``rmse`` (% by mass) over all rows, measured
      ones with an error of zero.
    """
    chosen = pd.DataFrame(rows[(rows["method"] == RANKED_BY) & (rows["calibration"] == POOLED)])
    path, made = folder / "samples.parquet", []
    scores = ["spectrum_rmse", "latent_distance"]
    if path.exists():
        samples = read_parquet(path, SAMPLES)[["model", "seed", "region", "split", "id", *scores]]
        test = pd.DataFrame(samples[samples["split"] == "test"]).drop(columns="split")
        chosen = chosen.merge(test, on=["model", "seed", "region", "id"], how="left", validate="one_to_one")
    for series, mine in chosen.groupby(["model", "seed"], sort=False):
        off = np.asarray(mine["predicted"] - mine["observed"])
        log = log10_percent(mine["predicted"]) - log10_percent(mine["observed"])
        rankings = {"width": mine["half"], "width_percent": mine["high"] - mine["low"]}
        rankings |= {
            name: mine[name] for name in ("strangeness", *scores) if name in mine and np.isfinite(mine[name]).all()
        }
        for name, rank in (*rankings.items(), ("error", np.abs(log))):
            # Of equally wide intervals the stranger first.
            order = np.lexsort((np.asarray(mine["strangeness"]), np.asarray(rank)))
            for share in MEASURED:
                left = order[: order.size - round(share * order.size)]
                made.append((*series, name, share, *(math.sqrt(np.sum(e[left] ** 2) / order.size) for e in (log, off))))  # type: ignore[misc]
        made += [
            (*series, "random", share, *(math.sqrt((1.0 - share) * np.mean(e**2)) for e in (log, off)))  # type: ignore[misc]
            for share in MEASURED
        ]
    return pd.DataFrame(made, columns=pd.Index(["model", "seed", "ranking", "measured", "rmse_log10", "rmse"]))


def _mean(values: Any) -> float:
    return float(np.mean(np.asarray(values))) if len(values) else math.nan


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else math.nan
