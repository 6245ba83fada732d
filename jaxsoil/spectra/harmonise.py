"""Spectra of several laboratories brought to one: by their means and SDs, or by samples that both have scanned.

A laboratory's map is linear, ``x F + b`` over bands, fitted on the rows that are handed over and applied to any.
Labels are never used. Everything is float64 on the host.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

METHODS = ("none", "centre", "direct")
"""No harmonisation; per-laboratory centring and scaling; piecewise direct standardisation with transfer samples."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Map:
    """One laboratory's map: band j becomes ``sum_w weights[w, j] x[j + w - half] + offset[j]``, weights (w, m)."""

    weights: Floats
    offset: Floats

    def __call__(self, values: Floats) -> Floats:
        """Applies the map to (n, m) spectra."""
        result = np.broadcast_to(self.offset, values.shape).copy()
        for weight, shifted in zip(self.weights, _shifts(values, self.weights.shape[0]), strict=True):
            result += weight * shifted
        return result


@dataclass(frozen=True, eq=False)
class Harmoniser:
    """Maps by laboratory; one without a map passes unchanged.

    Attributes:
      method: one of :data:`METHODS`.
      maps: laboratory -> its map.
      unchanged: laboratory -> why it has none ("" for the reference).
    """

    method: str
    maps: Mapping[str, Map]
    unchanged: Mapping[str, str]

    def __call__(self, values: ArrayLike, laboratory: NDArray[Any]) -> Floats:
        """Returns the harmonised (n, m) spectra of rows whose laboratories, (n,), are given."""
        table, names = _rows(values, laboratory)
        result = table.copy()
        for name, found in self.maps.items():
            rows = names == name
            result[rows] = found(table[rows])
        return result


def no_harmonisation() -> Harmoniser:
    """The harmoniser that changes nothing."""
    return Harmoniser("none", {}, {})


def centre_and_scale(values: ArrayLike, laboratory: NDArray[Any], *, min_rows: int = 10) -> Harmoniser:
    """Every laboratory gets the mean and standard deviation of all rows, band by band.

    This also takes away what really differs between the soils of two laboratories.

    Args:
      values: (n, m) preprocessed spectra of the rows to fit on.
      laboratory: (n,) names.
      min_rows: a laboratory with fewer rows passes unchanged, and is named in ``unchanged``.

    Raises:
      DataError: lengths that differ, or spectra that are not finite.
    """
    table, names = _rows(values, laboratory)
    mean, sd = table.mean(axis=0), table.std(axis=0)
    maps, unchanged = {}, {}
    for name in np.unique(names).tolist():
        own = table[names == name]
        if own.shape[0] < min_rows:
            unchanged[name] = f"{own.shape[0]} rows, {min_rows} needed"
            continue
        own_sd = own.std(axis=0)
        # A band that does not vary is moved and not stretched.
        slope = np.where(own_sd > 1e-9, sd / np.where(own_sd > 1e-9, own_sd, 1.0), 1.0)
        maps[name] = Map(slope[None, :], mean - slope * own.mean(axis=0))
    return Harmoniser("centre", maps, unchanged)


def direct_standardisation(
    values: ArrayLike,
    laboratory: NDArray[Any],
    sample: NDArray[Any],
    *,
    reference: str | None = None,
    window: int = 5,
    ridge: float = 0.05,
    min_pairs: int = 5,
) -> Harmoniser:
    """Piecewise direct standardisation: each band of the reference from a window of bands, on transfer samples.

    The weights are drawn to the identity (ridge), for transfer samples are few. Repeated scans are averaged.

    Args:
      values: (n, m) preprocessed spectra of the rows to fit on.
      laboratory: (n,) names.
      sample: (n,) sample names; one that occurs in two laboratories is a transfer sample.
      reference: laboratory that others are brought to; None takes the one with most transfer samples.
      window: bands that predict one band, odd.
      ridge: weight of the identity, as a share of the mean sum of squares of the window's bands.
      min_pairs: a laboratory with fewer transfer samples passes unchanged, and is named in ``unchanged``.

    Raises:
      DataError: no sample that two laboratories share, an unknown reference, an even window.
    """
    (table, names), samples = _rows(values, laboratory), np.asarray(sample)
    if window < 1 or window % 2 == 0 or window > table.shape[1]:
        raise DataError("a window has an odd number of bands", value=window, remedy="Use 1, 3, 5 ...")
    shared = transfer_samples(names, samples)
    known = sorted({name for pair in shared for name in pair})
    if not known or (reference is not None and reference not in known):
        problem = "no transfer sample: no sample was scanned in two laboratories"
        remedy = "Use per-laboratory centring, or give rows of one sample the same sample name."
        raise DataError(problem, column="laboratory", value=reference, remedy=remedy)
    chosen = reference or best_reference(shared)
    maps, unchanged = {}, {chosen: ""}
    for name in np.unique(names).tolist():
        pairs = shared.get((min(name, chosen), max(name, chosen)), [])
        if name == chosen:
            continue
        if len(pairs) < min_pairs:
            unchanged[name] = f"{len(pairs)} transfer samples with {chosen}, {min_pairs} needed"
            continue
        own, wanted = (
            np.stack([table[(names == lab) & (samples == pair)].mean(axis=0) for pair in pairs])
            for lab in (name, chosen)
        )
        maps[name] = _piecewise(own, wanted, window, ridge)
    return Harmoniser("direct", maps, unchanged)


def transfer_samples(laboratory: NDArray[Any], sample: NDArray[Any]) -> dict[tuple[str, str], list[str]]:
    """Samples that two laboratories share: (first, second) in alphabetical order -> sample names, sorted."""
    pairs = sorted(set(zip(sample.tolist(), laboratory.tolist(), strict=True)))
    by_sample: dict[str, list[str]] = {}
    for name, lab in pairs:
        by_sample.setdefault(name, []).append(lab)
    shared: dict[tuple[str, str], list[str]] = {}
    for name, labs in by_sample.items():
        for pair in itertools.combinations(labs, 2):
            shared.setdefault(pair, []).append(name)
    return shared


def best_reference(shared: Mapping[tuple[str, str], list[str]]) -> str:
    """The laboratory with most transfer samples, the first by name of equals; "" where none has any."""
    known = sorted({name for pair in shared for name in pair})
    return max(known, key=lambda name: sum(len(s) for pair, s in shared.items() if name in pair), default="")


def _piecewise(own: Floats, wanted: Floats, window: int, ridge: float) -> Map:
    """Ridge regression towards the identity of each wanted band on a window of own bands; (p, m) both."""
    mean_own, mean_wanted = own.mean(axis=0), wanted.mean(axis=0)
    x = np.stack(list(_shifts(own - mean_own, window)))  # (w, p, m)
    left = (wanted - mean_wanted) - (own - mean_own)
    gram = np.einsum("apm,bpm->mab", x, x)
    strength = ridge * np.trace(gram, axis1=1, axis2=2) / window + 1e-12
    gram = gram + strength[:, None, None] * np.eye(window)
    weights = np.linalg.solve(gram, np.einsum("apm,pm->ma", x, left)[..., None])[..., 0].T
    weights[window // 2] += 1.0
    moved = sum(w * s for w, s in zip(weights, _shifts(mean_own[None, :], window), strict=True))
    return Map(weights, mean_wanted - np.asarray(moved)[0])


def _shifts(values: Floats, window: int) -> list[Floats]:
    """The (n, m) values moved along the bands by -half ... +half; the ends repeat their last band."""
    half = window // 2
    padded = np.pad(values, ((0, 0), (half, half)), mode="edge")
    return [padded[:, start : start + values.shape[1]] for start in range(window)]


def _rows(values: ArrayLike, laboratory: ArrayLike) -> tuple[Floats, NDArray[Any]]:
    table, names = require.finite_rows(values, "spectra to harmonise"), np.asarray(laboratory)
    require.same_length({"spectra": table, "laboratories": names}, remedy="Give the laboratory of every spectrum.")
    return table, names
