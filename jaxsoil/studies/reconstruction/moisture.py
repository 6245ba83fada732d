"""A test of moisture: models that know soils air-dry, on the same soils rewetted, samples left out in folds.

The wet spectra of a sample are predicted by models that saw neither its dry nor its wet spectra. Models see dry spectra
alone, but for ``epo_measured``, external parameter orthogonalisation by the measured differences between wet and dry
spectra of the training samples, as it is used in the field (Minasny et al. 2011, Geoderma 167-168, 118).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from jaxsoil.data import registry
from jaxsoil.data.draws import group_folds
from jaxsoil.evaluation import metrics
from jaxsoil.models import invariance, plsr
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.resample import Resample
from jaxsoil.studies.reconstruction import family

DATA = "geeves_moisture"
DRY = "air_dry"
FOLDS = 10
FIELD_MOIST = 0.15
"""Water per mass of dry soil, standard deviation, of the models whose names end with "_moist": a soil in the field has
some 0.05 to 0.3. The default of the perturbations, 0.02, is the water of air-dry soil."""


def summary(folder: Path, models: Sequence[str], axis: np.ndarray) -> dict[str, pd.DataFrame]:
    """moisture.csv: RMSE, bias and CCC of log10 SOC by model and moisture state (``folder`` is not read).

    Returns:
      Rows ``model, state, ccc, rmse, bias, n`` of the baselines ``models`` on ``axis`` (m,) nm, those with a penalty with
      the default and with field moisture; nothing where JAXSOIL_DATA has no such data, or on another axis.
    """
    try:
        soils = registry.load(DATA)
        reflectance = soils.spectra.to_reflectance()
        absorbance = Resample(axis)(reflectance).to_absorbance().values
    except DataError:
        return {}
    x = absorbance.astype(np.float64)
    state = np.array([name.rsplit("-", 1)[1] for name in soils.ids.tolist()])
    sample = soils.group("sample")
    y = np.log10(soils.property("soc").values)
    fold = group_folds(sample, FOLDS, np.random.default_rng(0))
    predicted: dict[str, np.ndarray] = {}
    for number in range(FOLDS):
        train, test = fold != number, fold == number
        for name, found in _predicted(models, x, y, sample, state, axis, train, test).items():
            predicted.setdefault(name, np.full(y.size, np.nan))[test] = found
    rows = []
    for name, found in predicted.items():
        for one in dict.fromkeys(state.tolist()):
            mine = state == one
            scored = metrics.summary(y[mine], found[mine])
            rows.append((name, one, scored["ccc"], scored["rmse"], scored["bias"], int(mine.sum())))
    return {"moisture": pd.DataFrame(rows, columns=pd.Index(["model", "state", "ccc", "rmse", "bias", "n"]))}


def _predicted(
    models: Sequence[str],
    x: np.ndarray,
    y: np.ndarray,
    sample: np.ndarray,
    state: np.ndarray,
    axis: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> dict[str, np.ndarray]:
    """log10 SOC of the test rows by each model, fitted on the dry rows of ``train``."""
    dry = np.flatnonzero(train & (state == DRY))
    found = {"plsr_absorbance": plsr.fit(x[dry], y[dry]).predict(x[test])}
    region, none = np.zeros(dry.size, int), np.empty(0, int)
    moist = invariance.Strengths(moisture=FIELD_MOIST)
    for name in [one for one in models if one in ("epo", "ridge", "ridge_both", "process", "carry_over")]:
        for ending, strengths in {"": None, "_moist": moist}.items():
            if name not in ("ridge", "process") or not ending:
                model = family.fit(name, x[dry], y[dry], region, axis, none, strengths)
                found[name + ending] = model.predict(x[test])
    first = {sample[row]: row for row in dry}
    wet = [row for row in np.flatnonzero(train & (state != DRY)) if sample[row] in first]
    moved = x[wet] - x[[first[sample[row]] for row in wet]]
    kept = invariance.orthogonal(moved.T @ moved, family.EPO_COMPONENTS)
    found["epo_measured"] = plsr.fit(x[dry] @ kept, y[dry]).predict(x[test] @ kept)
    return found
