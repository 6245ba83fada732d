"""How well the direct estimate recovers f_SOC on reference twins: accuracy at a size, null control, sweeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.library import Library
from jaxsoil.data.twin.soil.make import make_twin, reference_config, reference_twin
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum.direct import recovery
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS, estimate
from jaxsoil.studies.reconstruction.soc_spectrum.troughs import find_troughs

COLUMNS = ("factor", "level", "seed", "method", "rmse", "cosine", "ratio_error", "c_error", "deepest", "problem")
"""Columns of the frames: ``rmse`` of f_SOC (reflectance), ``cosine``, relative errors of c / c_bar and of c,
``deepest`` trough (reflectance), and the ``problem`` where there is no estimate ("" otherwise)."""

_MEASURES = COLUMNS[4:9]

SWEPT = ("regions", "log_soc", "log_soc_minerals")
"""Methods that are swept, keys of ``soc_spectrum_methods.METHODS``."""


PEDONS = {"horizons_fewest": 5, "horizons_most": 6, "soc_depth_share": 0.45}
"""Settings that give the reference twin pedons, along whose depth SOC falls."""


@dataclasses.dataclass(frozen=True)
class Factor:
    """One thing that is varied: its label with unit, its levels, and the settings of the twin at each."""

    label: str
    levels: tuple[str, ...]
    settings: tuple[dict[str, Any], ...]


def _one_field(label: str, field: str, values: Sequence[float]) -> Factor:
    return Factor(label, tuple(f"{value:g}" for value in values), tuple({field: value} for value in values))


def _scatter(size: float) -> dict[str, Any]:
    """Scatter in the proportions of the default twin: gain, tilt, offset."""
    return {"gain_log_sd": size, "tilt_log_sd": 0.3 * size, "offset_sd": 0.06 * size}


FACTORS: dict[str, Factor] = {
    "samples": _one_field("Samples", "n_samples", (500, 1000, 2000, 4000, 8000)),
    "noise": _one_field("Noise (SD, reflectance)", "noise", (0.0, 0.005, 0.01, 0.02, 0.04)),
    "scatter": Factor(
        "Scatter (log-SD of gain)", ("0", "0.03", "0.1", "0.2"), tuple(map(_scatter, (0.0, 0.03, 0.1, 0.2)))
    ),
    "label_noise": _one_field("Label noise (log-SD of SOC)", "label_noise", (0.0, 0.1, 0.2, 0.4)),
    "library": Factor(
        "Mineral library given",
        ("true", "distorted 5 %", "distorted 20 %", "rho r off by 20 %", "clays missing"),
        (
            {},
            {"decoder_distortion": 0.05},
            {"decoder_distortion": 0.2},
            {"decoder_rho_r_log_sd": 0.2},
            {"decoder_missing": ("Kaolinite", "Illite", "Vermiculite")},
        ),
    ),
    "darkness": _one_field("True 1st percentile of f", "soc_darkness", (0.01, 0.02, 0.037, 0.05, 0.08, 0.12)),
    "clay": _one_field("Clay as SOC^e: e", "clay_follows_soc", (0.0, 0.1, 0.3, 0.6, 1.0)),
}
"""What the sweeps vary, one at a time, around the reference twin."""


def score(library: Library, method: str) -> dict[str, Any]:
    """Estimates f_SOC of a twin and returns the row of :data:`COLUMNS` from ``method`` on."""
    truth = library.truth
    if truth is None:
        raise DataError("there is no truth to compare with", source=library.name, remedy="Give a twin.")
    nothing = dict.fromkeys(("rmse", "cosine", "ratio_error", "c_error", "deepest"), float("nan"))
    try:
        found = estimate(library, method, minerals=truth.decoder_minerals)
    except DataError as problem:
        return {"method": method, **nothing, "problem": str(problem)}
    close = recovery(found.f_soc, found.ratio, truth)
    troughs = find_troughs(found.axis, found.f_soc)
    return {
        "method": method,
        **dataclasses.asdict(close),
        "c_error": found.soc_rho_r / truth.soc_rho_r - 1.0,
        "deepest": max((trough.depth for trough in troughs), default=0.0),
        "problem": "",
    }


def accuracy(
    sizes: Sequence[int],
    seeds: Sequence[int],
    methods: Sequence[str] = SWEPT,
    **changes: Any,
) -> pd.DataFrame:
    """Scores reference twins of several sizes, with the columns :data:`COLUMNS` (factor "size").

    Args:
      sizes: samples.
      seeds: of the twins.
      methods: keys of ``soc_spectrum_methods.METHODS``.
      changes: fields of ``TwinConfig``; ``soc_troughs=False`` is the null control.
    """
    rows = [
        {"factor": "size", "level": str(size), "seed": seed, **score(library, method)}
        for size in sizes
        for seed in seeds
        for library in (reference_twin(size, seed, **changes),)
        for method in methods
    ]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def sweep(
    *,
    factors: Sequence[str] = tuple(FACTORS),
    n_samples: int = 2000,
    seeds: Sequence[int] = (0, 1, 2),
    methods: Sequence[str] = SWEPT,
) -> pd.DataFrame:
    """Varies one factor at a time around the reference twin; by default in about a minute on two cores.

    Args:
      factors: keys of :data:`FACTORS`.
      n_samples: of the twins, where it is not the factor.
      seeds: of the twins.
      methods: keys of ``soc_spectrum_methods.METHODS``.

    Returns:
      One row for each level, seed and method, with :data:`COLUMNS`.
    """
    rows, scores = [], {}
    for name in factors:
        factor = FACTORS[name]
        for level, settings in zip(factor.levels, factor.settings, strict=True):
            for seed in seeds:
                config = reference_config(**{"n_samples": n_samples, "seed": seed, **settings})
                # The reference level of each factor is the same twin.
                if config not in scores:
                    library = make_twin(config)
                    scores[config] = [score(library, method) for method in methods]
                rows += [{"factor": name, "level": level, "seed": seed, **found} for found in scores[config]]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


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
    """Means over seeds by factor, level and method, in the order of the rows.

    The worst RMSE, deepest trough and size of the error of c / c_bar stand beside them; estimates that failed are
    left out and counted in ``failed``.
    """
    groups: dict[tuple[str, str, str], list[dict[Any, Any]]] = {}
    for row in frame.to_dict("records"):
        groups.setdefault((row["factor"], row["level"], row["method"]), []).append(row)
    records = []
    for (factor, level, method), rows in groups.items():
        defined = [row for row in rows if np.isfinite(row["rmse"])]
        measures = {name: np.array([row[name] for row in defined]) for name in _MEASURES}
        means = {name: float(values.mean()) if defined else np.nan for name, values in measures.items()}
        worst = {
            f"worst_{name}": float(np.abs(measures[name]).max()) if defined else np.nan
            for name in ("rmse", "ratio_error", "deepest")
        }
        counts = {"seeds": len(rows), "failed": len(rows) - len(defined)}
        records.append({"factor": factor, "level": level, "method": method, **means, **worst, **counts})
    return pd.DataFrame(records)
