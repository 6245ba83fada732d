"""How well the direct estimate recovers f_SOC on reference twins: accuracy at a size, null control, sweeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from jaxsoil.data.library import Library
from jaxsoil.data.twin.soil.make import make_twin, reference_config, reference_twin
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.tables import Columns
from jaxsoil.studies.reconstruction.soc_spectrum.appearance import find_troughs
from jaxsoil.studies.reconstruction.soc_spectrum.config import FACTORS
from jaxsoil.studies.reconstruction.soc_spectrum.direct import recovery
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS, estimate

MEASURES = ("rmse", "cosine", "ratio_error", "c_error", "deepest")
"""RMSE of f_SOC (reflectance), cosine, relative errors of c / c_bar and of c, deepest trough (reflectance)."""

SCORES = Columns(text="factor level method problem", whole="seed", number=MEASURES)
"""Columns of the scores of single twins; ``problem`` says why there is no estimate ("" where there is one)."""

MEANS = Columns(
    text="factor level method",
    whole="seeds failed",
    number=(*MEASURES, *(f"{name}_{end}" for name in MEASURES for end in ("min", "max"))),
)
"""Columns of the means over seeds."""

SWEPT = ("regions", "log_soc", "log_soc_minerals")
"""Methods that are swept, keys of ``methods.METHODS``."""

PEDONS = {"horizons_fewest": 5, "horizons_most": 6, "soc_depth_share": 0.45}
"""Settings that give the reference twin pedons, along whose depth SOC falls."""


def score(library: Library, method: str) -> dict[str, Any]:
    """Estimates f_SOC of a twin; returns the method, its :data:`MEASURES` and its ``problem``."""
    truth = library.truth
    if truth is None:
        raise DataError("there is no truth to compare with", source=library.name, remedy="Give a twin.")
    try:
        found = estimate(library, method, minerals=truth.decoder_minerals)
    except DataError as problem:
        return {"method": method, **dict.fromkeys(MEASURES, float("nan")), "problem": str(problem)}
    troughs = find_troughs(found.axis, found.f_soc)
    return {
        "method": method,
        **recovery(found.f_soc, found.ratio, found.soc_rho_r, truth),
        "deepest": max((trough.depth for trough in troughs), default=0.0),
        "problem": "",
    }


def accuracy(
    sizes: Sequence[int], seeds: Sequence[int], methods: Sequence[str] = SWEPT, **changes: Any
) -> pd.DataFrame:
    """Scores reference twins of several sizes, with the columns :data:`SCORES` (factor "size"); ``changes`` are fields
    of ``TwinConfig``, of which ``soc_troughs=False`` is the null control."""
    return _scores(
        {"factor": "size", "level": str(size), "seed": seed, **score(library, method)}
        for size in sizes
        for seed in seeds
        for library in (reference_twin(size, seed, **changes),)
        for method in methods
    )


def sweep(
    *,
    factors: Sequence[str] = tuple(FACTORS),
    n_samples: int = 2000,
    seeds: Sequence[int] = (0, 1, 2),
    methods: Sequence[str] = SWEPT,
) -> pd.DataFrame:
    """Varies one factor of ``config.FACTORS`` at a time around the reference twin of ``n_samples``: a row of
    :data:`SCORES` for each level, seed and method; by default in about a minute on two cores."""
    rows, scores = [], {}
    for name in factors:
        for level, settings in FACTORS[name].levels.items():
            for seed in seeds:
                config = reference_config(**{"n_samples": n_samples, "seed": seed, **settings})
                # The reference level of each factor is the same twin.
                if config not in scores:
                    library = make_twin(config)
                    scores[config] = [score(library, method) for method in methods]
                rows += [{"factor": name, "level": level, "seed": seed, **found} for found in scores[config]]
    return _scores(rows)


def robustness(
    n_samples: int = 2000, seeds: Sequence[int] = (0, 1, 2), exponents: Sequence[float] = (0.0, 0.3, 0.6, 1.0)
) -> pd.DataFrame:
    """Scores every method on twins with pedons whose clay minerals are proportional to SOC^e, one level for each e."""
    parts = [
        accuracy((n_samples,), seeds, tuple(METHODS), **PEDONS, clay_follows_soc=exponent).assign(
            factor="pedons", level=f"{exponent:g}"
        )
        for exponent in exponents
    ]
    return pd.concat(parts, ignore_index=True)


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Means, least and greatest values over seeds by factor, level and method, with the columns :data:`MEANS`.

    Estimates that failed are left out and counted in ``failed``.
    """
    groups: Any = frame.groupby(["factor", "level", "method"], sort=False)
    found = groups[list(MEASURES)].agg(["mean", "min", "max"])
    found.columns = [name if end == "mean" else f"{name}_{end}" for name, end in found.columns]
    found = found.assign(seeds=groups.size(), failed=groups.size() - groups["rmse"].count())
    return found.reset_index()[list(MEANS.required)]


def _scores(rows: Any) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=pd.Index(SCORES.required))
