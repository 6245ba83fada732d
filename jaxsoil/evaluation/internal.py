"""How well PLSR predicts a data set from itself: repeated cross-validation, as a yardstick for independent tests.

Figure 7 of the multi-fidelity paper: a test set that cannot be predicted from its own rows is noisy or narrow; one
that can, but not from other data, lies elsewhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.data.draws import group_folds
from jaxsoil.evaluation import metrics
from jaxsoil.runs.errors import DataError

COLUMNS = ("repetition", "property", "n", "components", "rmse", "ccc", "rpiq")


def internal_scores(
    spectra: ArrayLike,
    properties: Mapping[str, ArrayLike],
    groups: ArrayLike | None = None,
    *,
    log1p: Collection[str] = (),
    folds: int = 10,
    repetitions: int = 10,
    inner_folds: int = 5,
    max_components: int = 15,
    seed: int = 0,
) -> pd.DataFrame:
    """k-fold cross-validation of PLSR, repeated with other folds; scores of each repetition over all its rows.

    Bands are centred and scaled, and the number of components is chosen (lowest error of an inner cross-validation),
    inside the training rows of each fold. A group never lies on both sides, in the outer or the inner folds.

    Args:
      spectra: (n, m) preprocessed spectra.
      properties: name -> (n,) values; rows with NaN are left out of that property.
      groups: (n,) labels of rows that belong together (profile, field, sample); None where each stands alone.
      log1p: properties that are modelled as log(1 + y) and scored after the way back.
      folds, repetitions: of the outer cross-validation; 10 and 10 in the paper.
      inner_folds: of the choice of components.
      max_components: largest number that is tried.
      seed: of the folds; the same for all properties.

    Returns:
      Rows with :data:`COLUMNS`; ``components`` is the mean over folds, CCC or RPIQ is NaN where undefined.

    Raises:
      DataError: if shapes do not fit, spectra are not finite, or groups are fewer than folds.
    """
    x = np.asarray(spectra, dtype=np.float64)
    n = x.shape[0]
    labels = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    values = {name: np.asarray(column, dtype=np.float64) for name, column in properties.items()}
    if x.ndim != 2 or labels.shape != (n,) or any(column.shape != (n,) for column in values.values()):
        raise DataError(
            "spectra, properties and groups do not belong together",
            value=f"spectra {x.shape}, groups {labels.shape}",
            remedy="Pass (n, m) spectra and (n,) columns of the same rows.",
        )
    if not np.isfinite(x).all():
        raise DataError("spectra are not all finite", remedy="Leave out rows with NaN, by name.")
    if min(folds, inner_folds) < 2 or repetitions < 1 or max_components < 1:
        raise DataError(
            "cross-validation takes two or more folds, a repetition and a component",
            value=(folds, inner_folds, repetitions, max_components),
            remedy="The paper has 10 folds and 10 repetitions.",
        )
    streams = np.random.SeedSequence(seed).spawn(repetitions)
    rows = []
    for name, column in values.items():
        known = np.isfinite(column)
        for repetition, stream in enumerate(streams):
            rng = np.random.default_rng(stream)
            rows.append(
                {
                    "repetition": repetition,
                    "property": name,
                    **_repetition(
                        x[known], column[known], labels[known], name in log1p, folds, inner_folds, max_components, rng
                    ),
                }
            )
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def _repetition(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    log1p: bool,
    folds: int,
    inner_folds: int,
    most: int,
    rng: np.random.Generator,
) -> dict[str, float]:
    target = np.log1p(np.maximum(y, 0.0)) if log1p else y
    fold = group_folds(groups, folds, rng)
    predicted, chosen = np.empty_like(y), []
    for held_out in range(folds):
        test = fold == held_out
        count = _components(x[~test], target[~test], groups[~test], inner_folds, most, rng)
        predicted[test] = _paths(x[~test], target[~test], x[test], count)[-1]
        chosen.append(count)
    predicted = np.expm1(predicted) if log1p else predicted
    scores = metrics.summary(y, predicted)
    kept = {name: scores[name] for name in ("rmse", "ccc", "rpiq")}
    return {"n": float(y.size), "components": float(np.mean(chosen)), **kept}


def _components(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, folds: int, most: int, rng: np.random.Generator
) -> int:
    """Components with the lowest squared error of an inner cross-validation."""
    fold = group_folds(groups, min(folds, np.unique(groups).size), rng)
    fewest = min(int((fold != held_out).sum()) for held_out in range(int(fold.max()) + 1))
    most = max(1, min(most, fewest - 1, x.shape[1]))
    error = np.zeros(most)
    for held_out in range(int(fold.max()) + 1):
        test = fold == held_out
        error += np.square(_paths(x[~test], y[~test], x[test], most) - y[test]).sum(axis=1)
    return int(np.argmin(error)) + 1


def _paths(x: np.ndarray, y: np.ndarray, new: np.ndarray, components: int) -> np.ndarray:
    """Predictions of PLSR with 1 to ``components`` components, (components, t)."""
    from ikpls.numpy import PLS

    if np.ptp(y) == 0.0:
        return np.full((components, new.shape[0]), y[0])
    centre, scale = x.mean(axis=0), x.std(axis=0, ddof=1)
    # A band without variance carries nothing; dividing by its rounding error would make it matter.
    scale[scale < 1e-12] = 1.0
    model = PLS(algorithm=1, center_X=False, center_Y=False, scale_X=False, scale_Y=False, copy=False)
    with warnings.catch_warnings():
        # Past the rank of the data ikpls carries the coefficients forward.
        warnings.simplefilter("ignore", UserWarning)
        model.fit((x - centre) / scale, (y - y.mean())[:, None], components)
        predicted = model.predict((new - centre) / scale)
    return np.asarray(predicted, dtype=np.float64).reshape(components, new.shape[0]) + y.mean()
