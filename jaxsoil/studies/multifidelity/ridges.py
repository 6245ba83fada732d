"""Ridge regression from mid-infrared spectra, with and without a penalty on what another instrument would change.

The models are those of :mod:`jaxsoil.models.carry_over`: means over draws of a fixed prior, nothing chosen on data.
They read SNV absorbance as the study's other models do: training spectra are perturbed as absorbances, and what SNV
leaves of the difference is penalised, so that offsets and factors cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.bundle.predictors import Linear
from jaxsoil.data.library import Library
from jaxsoil.models import carry_over, invariance
from jaxsoil.spectra.preprocess import SNV
from jaxsoil.studies.multifidelity.config import Strategy
from jaxsoil.studies.multifidelity.property_models import learned_scales
from jaxsoil.studies.multifidelity.replicates import SpectraSets

STRENGTHS = invariance.MidInfraredStrengths()
"""Of the perturbations: those of region_out in the mid-infrared."""
KINDS = STRENGTHS.kinds()

LEAST_ROWS = 250
"""Spectra that are perturbed at least: fewer training spectra are perturbed several times."""


def fit_ridges(strategies: Iterable[Strategy], sets: SpectraSets, rows: NDArray[Any], draws: int) -> dict[str, Linear]:
    """Fits ridge strategies, each property on the rows where it is known.

    Args:
      strategies: those to fit; others are passed over.
      sets, rows: data, and labelled row numbers to learn from.
      draws: of the prior, that are averaged.

    Returns:
      Strategy -> model from SNV spectra (n, M) to all properties in their units. A property with fewer than three
      values, or with equal ones, is predicted by a constant; one without a value by NaN.
    """
    wanted = [one for one in strategies if one.ridge is not None]
    if not wanted:
        return {}
    library, spectra = sets.library("labelled"), np.asarray(sets.mir["labelled"], np.float64)
    axis, regions = library.spectra.axis, known_regions(library)
    within = carry_over.space(spectra[rows], axis, moved=changes_of_perturbations(library, rows))
    scales = learned_scales(sets.properties)
    logged = np.array([scale == "log1p" for scale in scales])
    y = np.where(logged, np.log1p(sets.values["labelled"]), sets.values["labelled"])[rows]
    constant = np.array([np.isfinite(one).sum() < 3 or np.nanmin(one) == np.nanmax(one) for one in y.T])
    found = {}
    for own in wanted:
        chosen = np.isin(KINDS, own.ridge)
        prior = carry_over.prior(draws, perturbed=chosen, between=bool(own.ridge), kinds=len(KINDS))
        slopes = np.zeros((spectra.shape[1], y.shape[1]))
        starts = np.array([one[np.isfinite(one)].mean() if np.isfinite(one).any() else np.nan for one in y.T])
        # Properties of the same rows share a program.
        masks, of_mask = np.unique(np.isfinite(y), axis=1, return_inverse=True)
        for number, known in enumerate(masks.T):
            columns = np.flatnonzero((of_mask.reshape(-1) == number) & ~constant)
            if columns.size:
                given = (spectra[rows[known]], y[known][:, columns], regions[rows[known]], axis)
                slopes[:, columns], starts[columns] = carry_over.fit_all(*given, prior, within)
        found[own.name] = Linear(slopes, starts, scales)
    return found


def changes_of_perturbations(library: Library, rows: NDArray[Any]) -> NDArray[np.float64]:
    """What each kind of perturbation changes in the SNV spectra of some rows, (kinds, k, M)."""
    count = min(max(rows.size, LEAST_ROWS), invariance.MOST_ROWS)
    chosen = rows[np.linspace(0, rows.size - 1, count).round().astype(int)]
    spectra = library.spectra.to_absorbance()[chosen].to_unit("nm")  # the other way round
    base = SNV()(spectra).values.astype(np.float64)

    def moved(kind: str) -> NDArray[np.float64]:
        values = spectra.values + invariance.differences(spectra.values, spectra.axis, kind, strengths=STRENGTHS)
        return (SNV()(spectra.replace(values=values, step=kind)).values - base)[:, ::-1]

    return np.stack([moved(kind) for kind in KINDS])


def known_regions(library: Library) -> NDArray[Any]:
    """Laboratory of each row, or its region; one name for all where the data name neither.

    Groups of like spectra do not count: what differs between them is the spectrum itself.
    """
    for name in ("laboratory", "region"):
        if name in library.groups:
            return np.asarray(library.groups[name])
    return np.full(len(library), "all")
