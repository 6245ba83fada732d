"""Bootstrap over test samples: how far differences between models hang on the samples that a test set happens to have.

Samples are drawn with replacement, the same ones for all models of a test set, so that differences are paired. The
interval covers the choice of samples and nothing else; trainings, twins and laboratories are other sources of doubt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation.compare import CONFIDENCE, MEAN
from jaxsoil.runs import require

RESAMPLES = 1000


def weights(rng: np.random.Generator, n: int, count: int) -> NDArray[np.int64]:
    """How often each of ``n`` units is drawn, (count, n): n draws with replacement, ``count`` times."""
    return rng.multinomial(n, np.full(n, 1.0 / n), size=count)


def resampled_ccc(observed: NDArray, predicted: NDArray, counts: NDArray) -> NDArray[np.float64]:
    """Lin's CCC (n in the denominators) of each resample, (B,); NaN where nothing varies.

    Args:
      observed, predicted: (n,) values; rows in which one is NaN are left out of every resample.
      counts: (B, n) how often each row is drawn.
    """
    known = np.isfinite(observed) & np.isfinite(predicted)
    if not known.any():
        return np.full(len(counts), np.nan)
    # Shifted by one constant: moments of numbers near zero lose no digits.
    x, y = (np.asarray(values, np.float64)[known] - observed[known].mean() for values in (observed, predicted))
    w = counts[:, known].astype(np.float64)
    n = w.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mx, my, xx, yy, xy = (w @ values / n for values in (x, y, x * x, y * y, x * y))
        spread = (xx - mx**2) + (yy - my**2) + (mx - my) ** 2
        return np.where(spread > 0, 2.0 * (xy - mx * my) / spread, np.nan)


def sample_intervals(predictions: pd.DataFrame, pairs: Iterable[tuple[str, str]], *, seed: int = 0) -> pd.DataFrame:
    """Percentile intervals (95 %) over test samples of first minus second strategy in CCC, averaged over seeds.

    Seeds that judge on the same samples share their resamples; other test sets, such as those of other twins, have
    their own. A strategy with one seed stands against every seed of the other, as in ``compare.paired_differences``.

    Args:
      predictions: rows ``seed, strategy, id, property, observed, predicted`` of one set, one for each combination.
      pairs: strategies to compare; those that are absent are passed over.
      seed: of the :data:`RESAMPLES` resamples.

    Returns:
      Rows ``first, second, property, low_samples, high_samples``, the mean over properties last in each pair.

    Raises:
      DataError: a column is missing.
    """
    require.columns(predictions, ("seed", "strategy", "id", "property", "observed", "predicted"), "predictions")
    properties = list(dict.fromkeys(predictions["property"]))
    draws: dict[str, dict[int, NDArray]] = {}
    for number, mine in predictions.groupby("seed", sort=True):
        observed = mine.drop_duplicates(["id", "property"]).pivot(index="id", columns="property", values="observed")
        observed = observed.reindex(columns=properties)
        truth = observed.to_numpy(np.float64)
        words = (str(seed), *map(str, observed.index), truth.tobytes().hex())
        digest = hashlib.sha256("\n".join(words).encode()).digest()
        rng = np.random.default_rng(np.frombuffer(digest, np.uint32))
        counts = weights(rng, len(truth), RESAMPLES)
        for strategy, rows in mine.groupby("strategy", sort=False):
            made = rows.pivot(index="id", columns="property", values="predicted")
            values = made.reindex(index=observed.index, columns=properties).to_numpy(np.float64)
            each = [resampled_ccc(truth[:, k], values[:, k], counts) for k in range(len(properties))]
            draws.setdefault(str(strategy), {})[int(number)] = np.stack(each)  # type: ignore[arg-type]
    ends, found = (50.0 * (1.0 - CONFIDENCE), 50.0 * (1.0 + CONFIDENCE)), []
    for first, second in pairs:
        if first in draws and second in draws:
            gaps = _gaps(draws[first], draws[second])
            known = np.isfinite(gaps).all(axis=1)
            for name, values in [*zip(properties, gaps, strict=True), (MEAN, gaps[known].mean(axis=0))]:
                low, high = np.nanpercentile(values, ends) if np.isfinite(values).any() else (np.nan, np.nan)
                found.append((first, second, name, low, high))
    columns = pd.Index(["first", "second", "property", "low_samples", "high_samples"])
    return pd.DataFrame(found, columns=columns)


def _gaps(first: dict[int, NDArray], second: dict[int, NDArray]) -> NDArray[np.float64]:
    """First minus second (p, B), averaged over the seeds of both, or over those of the one that has several."""
    if len(first) == 1:
        first = dict.fromkeys(second, next(iter(first.values())))
    elif len(second) == 1:
        second = dict.fromkeys(first, next(iter(second.values())))
    return np.mean([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())], axis=0)
