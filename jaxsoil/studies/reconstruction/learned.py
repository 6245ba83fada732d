"""What the mixing decoders learned: how far f_SOC moved, and how it differs with and without rho r.

Every function takes the arrays of soc_spectra.npz: ``f_soc`` (t, m), fractions of reflectance on ``axis`` (m,), and
``soc_rho_r`` (t,) in g cm-3 nm of t trainings with their ``study``, ``model``, ``region`` and ``seed``. Trainings that
did not stay finite are left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import mean_sd, t_interval
from jaxsoil.studies.reconstruction.config import RHO_R_DECODERS

Arrays = Mapping[str, np.ndarray]

START_F = 0.5
"""f_SOC of the published start, in all bands."""

DARKEST = 0.02
"""f_SOC under which a ratio of two spectra is left out: noise divided by almost nothing."""

PERCENTILES = {"low": 10, "median": 50, "high": 90}
"""Percentiles over trainings by the end of their column."""


def movement_rows(arrays: Arrays) -> pd.DataFrame:
    """How far each decoder went from its start, and how far it is from the truth.

    Returns:
      Rows ``study, model, region, seed, moved, mean_f_soc, f_soc_error, soc_rho_r, start_rho_r, truth_rho_r``:
      ``moved`` and ``f_soc_error`` are RMS distances of f_SOC over bands from :data:`START_F` and from the truth; what
      is not known is NaN, and so is ``soc_rho_r`` without rho r.
    """
    f = arrays["f_soc"].astype(np.float64)
    truth = arrays.get("truth_f_soc", np.full(f.shape[1], np.nan)).astype(np.float64)
    frame = pd.DataFrame({name: arrays[name] for name in ("study", "model", "region", "seed")}).assign(
        moved=_rms(f - START_F),
        mean_f_soc=f.mean(axis=1),
        f_soc_error=_rms(f - truth),
        soc_rho_r=arrays["soc_rho_r"].astype(np.float64),
        start_rho_r=float(arrays["start_rho_r"]),
        truth_rho_r=float(arrays.get("truth_soc_rho_r", np.nan)),
    )
    return pd.DataFrame(frame[np.isfinite(f).all(axis=1)]).reset_index(drop=True)


def rescaling_rows(arrays: Arrays) -> pd.DataFrame:
    """How f_SOC without rho r follows from f_SOC with it, in each region and seed that has both.

    Returns:
      Rows ``region, seed, factor, slope, pivot, unscaled, scaled, affine, ratio_variation, moved_with, moved_without``:
      least-squares ``factor`` a of ``without = a with``, ``slope`` b and fixed point ``pivot`` p of ``without = p + b
      (with - p)``; RMSE over bands of ``without`` against ``with`` itself (``unscaled``), ``a with`` (``scaled``) and
      the line (``affine``); coefficient of variation of their ratio over bands; RMS distances from the start.
    """
    rows = []
    for (region, seed), (first, second) in _pairs(arrays).items():
        factor = np.sum(first * second) / np.sum(first**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            centred = first - first.mean()
            slope = np.sum(centred * (second - second.mean())) / np.sum(centred**2)
            offset = second.mean() - slope * first.mean()
            pivot = offset / (1.0 - slope)
        errors = [_rms(second - predicted) for predicted in (first, factor * first, offset + slope * first)]
        ratio = _ratio(first, second)
        ratio = ratio[np.isfinite(ratio)]
        known = ratio.size > 1 and ratio.mean() != 0.0
        variation = float(ratio.std(ddof=1) / abs(ratio.mean())) if known else math.nan
        moved = (_rms(first - START_F), _rms(second - START_F))
        rows.append((region, seed, factor, slope, pivot, *errors, variation, *moved))
    columns = (
        "region", "seed", "factor", "slope", "pivot", "unscaled", "scaled", "affine", "ratio_variation", "moved_with",
        "moved_without",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=pd.Index(columns))


def rescaling_means(rescaled: pd.DataFrame, bands: pd.DataFrame, between: pd.DataFrame) -> pd.DataFrame:
    """Numbers over trainings out of :func:`rescaling_rows`, :func:`band_rows` and :func:`between_seed_rows`.

    Returns:
      Rows ``quantity, model, mean, sd, median, rms`` over trainings (bands for ``dark``; pairs of seeds of a ``model``,
      and of all where it is empty, for ``between_seeds``) of the finite values, SD with n - 1; ``removed`` is the share
      of the squared difference between the spectra that the factor takes away.
    """
    squares = [float(np.sum(np.asarray(rescaled[name], dtype=np.float64) ** 2)) for name in ("scaled", "unscaled")]
    removed = 1.0 - squares[0] / squares[1] if squares[1] > 0.0 else np.nan
    values: list[tuple[str, str, Any]] = [("removed", "", [removed])]
    values += [(name, "", rescaled[name]) for name in rescaled.columns.drop(["region", "seed"])]
    values += [("dark", "", bands["dark"]), ("between_seeds", "", between["rmse"])]
    values += [("between_seeds", model, between["rmse"][between["model"] == model]) for model in RHO_R_DECODERS]
    rows = []
    for quantity, model, column in values:
        known = np.asarray(column, dtype=np.float64)
        known = known[np.isfinite(known)]
        found = mean_sd(known)
        over = (np.median(known), _rms(known)) if known.size else (math.nan, math.nan)
        rows.append((quantity, model, found.mean, found.sd, *over))
    return pd.DataFrame(rows, columns=pd.Index(["quantity", "model", "mean", "sd", "median", "rms"]))


def band_rows(arrays: Arrays) -> pd.DataFrame:
    """The pairs of :func:`rescaling_rows` band by band, over trainings.

    Returns:
      Rows ``band``, 10th, 50th and 90th percentile (:data:`PERCENTILES`) of f_SOC ``with_`` and ``without_`` rho r and
      of their ``ratio_`` (without over with), and ``dark``, the share of trainings whose f_SOC with rho r is under
      :data:`DARKEST`, which have no ratio.
    """
    pairs = np.array(list(_pairs(arrays).values())).reshape(-1, 2, arrays["axis"].size)
    first, second = pairs[:, 0], pairs[:, 1]
    frame = pd.DataFrame({"band": arrays["axis"]})
    for name, values in (("with", first), ("without", second), ("ratio", _ratio(first, second))):
        found = np.full((len(PERCENTILES), len(frame)), np.nan)
        known = np.isfinite(values).any(axis=0)
        if known.any():
            found[:, known] = np.nanpercentile(values[:, known], tuple(PERCENTILES.values()), axis=0)
        frame = frame.assign(**{f"{name}_{end}": line for end, line in zip(PERCENTILES, found, strict=True)})
    return frame.assign(dark=(first < DARKEST).mean(axis=0) if len(first) else np.nan)


def between_seed_rows(arrays: Arrays) -> pd.DataFrame:
    """RMSE over bands between f_SOC of a decoder's seeds on one region: rows ``model, region, first, second, rmse``."""
    rows = [
        (model, region, first, second, _rms(found[region, first] - found[region, second]))
        for model in RHO_R_DECODERS
        for found in [_finite_spectra(arrays, model)]
        for (region, first), (other, second) in itertools.combinations(found, 2)
        if region == other
    ]
    return pd.DataFrame(rows, columns=pd.Index(["model", "region", "first", "second", "rmse"]))


def beyond_seeds(rescaled: pd.DataFrame, between: pd.DataFrame) -> pd.DataFrame:
    """How much more f_SOC differs between the decoders than between seeds of one, by region: RMSE over bands.

    The mean RMSE between the decoders at equal seeds (:func:`rescaling_rows`), minus that between two seeds of the same
    decoder (:func:`between_seed_rows`). Equal seeds share the encoder's first weights and the order of the rows; two
    seeds share neither, so the gap is a lower bound. One row ``n, mean, sd, low, high`` with Student's interval over
    regions; ``n`` is 0 with a single seed.
    """
    decoders = pd.Series(rescaled.groupby("region")["unscaled"].mean())
    gaps = decoders.sub(pd.Series(between.groupby("region")["rmse"].mean()))
    found = t_interval(pd.Series(gaps).dropna().to_numpy(dtype=np.float64))
    return pd.DataFrame([{name: getattr(found, name) for name in ("n", "mean", "sd", "low", "high")}])


def _finite_spectra(arrays: Arrays, model: str) -> dict[tuple[str, int], np.ndarray]:
    """f_SOC (m,) of a decoder by region and seed."""
    rows = zip(arrays["model"], arrays["region"], arrays["seed"], arrays["f_soc"].astype(np.float64), strict=True)
    return {
        (str(region), int(seed)): spectrum
        for name, region, seed, spectrum in rows
        if name == model and np.isfinite(spectrum).all()
    }


def _pairs(arrays: Arrays) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """f_SOC (m,) with and without rho r, by region and seed that have both."""
    first, second = (_finite_spectra(arrays, model) for model in RHO_R_DECODERS)
    return {key: (first[key], second[key]) for key in sorted(first.keys() & second.keys())}


def _ratio(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(first >= DARKEST, second / first, np.nan)


def _rms(values: np.ndarray) -> Any:
    """Root mean square over bands: a number, or one for each row."""
    return np.sqrt(np.mean(values**2, axis=-1))
