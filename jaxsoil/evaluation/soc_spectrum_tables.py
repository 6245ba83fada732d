"""What a study of f_SOC writes: rows of its tables, from libraries and from what networks learned.

``source`` names the data ("troughs", "null": the twins with and without absorptions in the true f_SOC; otherwise the
data set), ``estimator`` what made the spectrum ("truth", a key of ``soc_spectrum_methods.METHODS``, or a start of the
mixing decoder, "paper" or "direct").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library
from jaxsoil.errors import DataError
from jaxsoil.evaluation import munsell
from jaxsoil.evaluation.soc_spectrum import SocSpectrum, recovery, true_c_bar
from jaxsoil.evaluation.soc_spectrum_methods import Bootstrap, bootstrap, disagreement, estimate
from jaxsoil.evaluation.troughs import LITERATURE, find_troughs, nearest, presence
from jaxsoil.evaluation.unmixing import abundance_error, unmix

ESTIMATES = (
    "source",
    "estimator",
    "rows",
    "ratio",
    "soc_rho_r",
    "sd",
    "low",
    "high",
    "failed",
    "munsell",
    "rmse",
    "cosine",
    "ratio_error",
    "c_error",
    "disagreement",
    "problem",
)
"""Columns of estimates.csv: ``sd``, ``low`` and ``high`` (5 and 95 %) of (rho r)_SOC over bootstrap resamples,
``failed`` of which met no gauge; ``disagreement`` with the method "regions"; NaN where undefined."""

TROUGHS = ("source", "estimator", "position", "depth", "width")
"""Columns of troughs.csv: nm, reflectance, nm."""

LINES = ("source", "estimator", "line", "position", "depth", "presence")
"""Columns of lines.csv: literature position, trough matched to it (NaN for none), share of resamples with one."""

NETWORKS = (
    "source",
    "start",
    "region",
    "seed",
    "soc_rho_r",
    "munsell",
    "rmse",
    "cosine",
    "c_error",
    "deepest",
    "r2",
    "mrmse",
    "status",
    "exposure",
)
"""Columns of networks.csv: one row per trial; r2 of SOC in % and mrmse (%) in the held-out region; status and exposure
as in trials.csv."""

ABUNDANCES = ("source", "estimator", "mineral", "mean", "error")
"""Columns of abundances.csv: true mean and mean absolute error of each mass fraction."""

_UNMIXED_ROWS = 200


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A spectrum for the figures: (m,) f_SOC with the 5 and 95 % of its resamples (NaN without)."""

    source: str
    estimator: str
    f_soc: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def direct_tables(
    library: Library,
    source: str,
    methods: Sequence[str],
    *,
    minerals: EndmemberLibrary | None = None,
    resamples: int = 100,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Curve]]:
    """Estimates f_SOC by several methods with bootstraps.

    A method that gives no estimate leaves a row with its ``problem``.

    Returns:
      Rows of :data:`ESTIMATES`, rows of :data:`LINES`, and the curves.
    """
    rows, lines, curves = [], [], []
    reference: Bootstrap | None = None
    for method in methods:
        try:
            found = estimate(library, method, minerals=minerals)
            drawn = bootstrap(library, method, resamples=resamples, minerals=minerals) if resamples else None
        except DataError as problem:
            rows.append(_row(ESTIMATES, source=source, estimator=method, rows=len(library), problem=str(problem)))
            continue
        reference = drawn if method == "regions" else reference
        rows.append(_estimate_row(library, source, found, drawn, reference))
        shares = [float("nan")] * len(LITERATURE) if drawn is None else presence(drawn.axis, drawn.f_soc)
        lines += line_rows(source, method, found.axis, found.f_soc, shares)
        low, high = (np.full(found.f_soc.shape, np.nan),) * 2
        if drawn is not None and drawn.failed < resamples:
            low, high = np.nanpercentile(drawn.f_soc, (5.0, 95.0), axis=0)
        curves.append(Curve(source, method, found.f_soc, low, high))
    return rows, lines, curves


def _estimate_row(
    library: Library, source: str, found: SocSpectrum, drawn: Bootstrap | None, reference: Bootstrap | None
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "source": source,
        "estimator": found.method,
        "rows": len(library),
        "ratio": found.ratio,
        "soc_rho_r": found.soc_rho_r,
        "munsell": value_of(found.axis, found.f_soc),
        "problem": "",
    }
    if drawn is not None and drawn.failed < drawn.ratio.size:
        c = drawn.ratio * found.c_bar
        low, high = np.nanpercentile(c, (5.0, 95.0))
        values |= {"sd": float(np.nanstd(c, ddof=1)), "low": float(low), "high": float(high), "failed": drawn.failed}
        # Methods that use other rows draw other resamples, which pair with nothing.
        paired = reference is not None and reference is not drawn and found.method != "clay"
        if paired and reference is not None and drawn.ratio.size - drawn.failed >= 20:
            values["disagreement"] = disagreement(reference, drawn)
    if library.truth is not None:
        close = recovery(found.f_soc, found.ratio, library.truth)
        values |= dataclasses.asdict(close) | {"c_error": found.soc_rho_r / library.truth.soc_rho_r - 1.0}
    return _row(ESTIMATES, **values)


def truth_tables(library: Library, source: str) -> tuple[dict[str, Any], list[dict[str, Any]], Curve]:
    """The true f_SOC of a twin as an estimator of its own: its row, its lines, its curve."""
    truth = library.truth
    values = {"rows": len(library), "ratio": truth.soc_rho_r / true_c_bar(truth), "soc_rho_r": truth.soc_rho_r}
    row = _row(
        ESTIMATES,
        source=source,
        estimator="truth",
        munsell=value_of(truth.axis, truth.f_soc),
        problem="",
        **values,
    )
    nothing = np.full(truth.f_soc.shape, np.nan)
    lines = line_rows(source, "truth", truth.axis, truth.f_soc)
    return row, lines, Curve(source, "truth", truth.f_soc, nothing, nothing)


def network_rows(
    library: Library, source: str, start: str, learned: Mapping[str, NDArray[Any]], scores: Mapping[str, Mapping]
) -> list[dict[str, Any]]:
    """Rows of :data:`NETWORKS` from the arrays of soc_spectra.npz.

    Args:
      library: the data, for the truth.
      source, start: of the rows.
      learned: ``axis``, ``region``, ``seed``, ``f_soc`` (t, m), ``soc_rho_r`` (t,).
      scores: "r2", "mrmse", "status", "exposure" -> (region, seed) -> value.
    """
    rows = []
    for trial, f_soc in enumerate(np.asarray(learned["f_soc"], dtype=np.float64)):
        key = (str(learned["region"][trial]), int(learned["seed"][trial]))
        c = float(learned["soc_rho_r"][trial])
        values: dict[str, Any] = {name: scores.get(name, {}).get(key, np.nan) for name in NETWORKS[10:]}
        if np.isfinite(f_soc).all():
            values["munsell"] = value_of(learned["axis"], f_soc)
            depths = [trough.depth for trough in find_troughs(learned["axis"], f_soc)]
            values["deepest"] = max(depths, default=0.0)
            if library.truth is not None:
                close = recovery(f_soc, c / true_c_bar(library.truth), library.truth)
                values |= {"rmse": close.rmse, "cosine": close.cosine, "c_error": close.ratio_error}
        rows.append(_row(NETWORKS, source=source, start=start, region=key[0], seed=key[1], soc_rho_r=c, **values))
    return rows


def trough_rows(source: str, estimator: str, axis: NDArray, f_soc: NDArray) -> list[dict[str, Any]]:
    """Rows of :data:`TROUGHS`."""
    return [
        {"source": source, "estimator": estimator, **dataclasses.asdict(trough)} for trough in find_troughs(axis, f_soc)
    ]


def line_rows(
    source: str, estimator: str, axis: NDArray, f_soc: NDArray, shares: Sequence[float] | None = None
) -> list[dict[str, Any]]:
    """Rows of :data:`LINES`, one for each literature position; ``shares`` of resamples, where there are any."""
    troughs = find_troughs(axis, f_soc)
    rows = []
    for place, line in enumerate(LITERATURE):
        match = nearest(troughs, line)
        values = {} if match is None else {"position": match.position, "depth": match.depth}
        share = np.nan if shares is None else shares[place]
        rows.append(_row(LINES, source=source, estimator=estimator, line=line.position, presence=share, **values))
    return rows


def abundance_rows(
    library: Library, source: str, estimates: Mapping[str, tuple[NDArray[np.float64], float]]
) -> list[dict[str, Any]]:
    """Mass fractions of a twin's soils unmixed with its true minerals and each (f_SOC, c), against the truth.

    At most 200 soils, evenly spaced, enter. Spectra are unmixed by non-negative least squares, so that the error
    shows what f_SOC and c do to abundances, whatever the encoder; with "truth" it is what noise alone does.
    """
    truth = library.truth
    chosen = np.unique(np.linspace(0, len(library) - 1, min(len(library), _UNMIXED_ROWS)).astype(int))
    spectra = library.spectra.values[chosen].astype(np.float64)
    rows = []
    for estimator, (f_soc, c) in {"truth": (truth.f_soc, truth.soc_rho_r), **estimates}.items():
        endmembers = np.vstack([truth.endmembers[:-1], np.clip(f_soc, 0.0, 1.0)])
        mass = unmix(spectra, endmembers, np.append(truth.rho_r[:-1], c))
        errors, means = abundance_error(truth.mass[chosen], mass), truth.mass[chosen].mean(axis=0)
        rows += [
            {"source": source, "estimator": estimator, "mineral": name, "mean": float(mean), "error": float(error)}
            for name, mean, error in zip(truth.names, means, errors, strict=True)
        ]
    return rows


def latent_rows(library: Library, source: str, estimator: str, errors: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Errors (trials, K) of the encoders' own mass fractions in held-out rows, as means over the trials that ended.

    No row where the networks' endmembers are not the true ones (all errors NaN).
    """
    errors = errors[np.isfinite(errors).all(axis=1)]
    if not len(errors):
        return []
    truth = library.truth
    found = zip(truth.names, truth.mass.mean(axis=0), errors.mean(axis=0), strict=True)
    return [
        {"source": source, "estimator": estimator, "mineral": name, "mean": float(mean), "error": float(error)}
        for name, mean, error in found
    ]


def value_of(axis: NDArray[np.float64], f_soc: NDArray[np.float64]) -> float:
    """Returns the Munsell value, NaN where the axis lacks part of the visible."""
    inside = axis[0] <= munsell.VISIBLE[0] and axis[-1] >= munsell.VISIBLE[1]
    return munsell.munsell_value(axis, f_soc) if inside else float("nan")


def _row(columns: Sequence[str], **values: Any) -> dict[str, Any]:
    unknown = set(values) - set(columns)
    assert not unknown, unknown
    return {column: values.get(column, np.nan) for column in columns}
