"""How well PLSR predicts a data set from itself: repeated cross-validation, as a yardstick for independent tests.

Figure 7 of the multi-fidelity paper: a test set that cannot be predicted from its own rows is noisy or narrow; one
that can, but not from other data, lies elsewhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxsoil.data.draws import group_folds
from jaxsoil.evaluation import metrics
from jaxsoil.models import plsr
from jaxsoil.runs import require
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
    x = require.finite_rows(spectra, "spectra")
    n = x.shape[0]
    labels = np.arange(n) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    values = {name: require.vector(column, name, finite=False) for name, column in properties.items()}
    require.same_length({"spectra": x, "groups": labels, **values})
    if min(folds, inner_folds) < 2 or repetitions < 1 or max_components < 1:
        problem = "cross-validation takes two or more folds, a repetition and a component"
        value, remedy = (folds, inner_folds, repetitions, max_components), "The paper has 10 folds and 10 repetitions."
        raise DataError(problem, value=value, remedy=remedy)
    streams = np.random.SeedSequence(seed).spawn(repetitions)
    rows = []
    for (name, column), repetition in itertools.product(values.items(), range(repetitions)):
        rng, known = np.random.default_rng(streams[repetition]), np.isfinite(column)
        own, y, blocks = x[known], column[known], labels[known]
        target = np.log1p(np.maximum(y, 0.0)) if name in log1p else y
        fold = group_folds(blocks, folds, rng)
        predicted, chosen = np.empty_like(y), []
        for held_out in range(folds):
            test = fold == held_out
            inner = group_folds(blocks[~test], min(inner_folds, np.unique(blocks[~test]).size), rng)
            model = plsr.fit_chosen(own[~test], target[~test], inner, max_components)
            predicted[test] = model.predict(own[test])
            chosen.append(model.n_components)
        scores = metrics.summary(y, np.expm1(predicted) if name in log1p else predicted)
        row = {"repetition": repetition, "property": name, "n": float(y.size), "components": float(np.mean(chosen))}
        rows.append(row | scores)
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))
