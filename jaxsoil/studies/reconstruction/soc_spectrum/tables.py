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
from jaxsoil.evaluation.compare import Interval, t_interval
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.soc_spectrum import munsell
from jaxsoil.studies.reconstruction.soc_spectrum.direct import SocSpectrum, given_c_bar, recovery, true_c_bar
from jaxsoil.studies.reconstruction.soc_spectrum.methods import Bootstrap, bootstrap, disagreement, estimate
from jaxsoil.studies.reconstruction.soc_spectrum.troughs import LITERATURE, find_troughs, nearest, presence
from jaxsoil.studies.reconstruction.soc_spectrum.unmixing import abundance_error, unmix

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
    "ratio_error",
    "c_error",
    "deepest",
    "r2",
    "mrmse",
    "status",
    "exposure",
    "epochs",
    "kept",
    "reach",
    "moved_c",
    "moved_f",
    "distance_c",
    "distance_f",
)
"""Columns of networks.csv and libraries.csv: one row per trial; r2 of SOC in % and mrmse (%) in the held-out region;
status, exposure and epochs as in trials.csv; ``kept`` the epoch whose parameters are used; ``reach`` the learning rate
of the decoder times the steps to it, about how far Adam can move a parameter; ``moved`` how far c and f (the band that
moved most) went from their start, ``distance`` how far the truth is from it. ``ratio_error`` is that of c / c_bar with
the c_bar of the mineral library given."""

_OF_TRIAL = ("r2", "mrmse", "status", "exposure", "epochs", "kept", "reach")

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
    library: Library,
    source: str,
    start: str,
    learned: Mapping[str, NDArray[Any]],
    trials: Mapping[tuple[str, int], Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Rows of :data:`NETWORKS` from the arrays of soc_spectra.npz.

    Args:
      library: the data, for the truth.
      source, start: of the rows.
      learned: ``axis``, ``region``, ``seed``, ``f_soc`` (t, m), ``soc_rho_r`` (t,).
      trials: (region, seed) -> ``start_f`` (m,), ``start_c`` and the columns from ``r2`` to ``reach``, as far as known.
    """
    rows, truth = [], library.truth
    for place, f_soc in enumerate(np.asarray(learned["f_soc"], dtype=np.float64)):
        region, seed = str(learned["region"][place]), int(learned["seed"][place])
        c, trial = float(learned["soc_rho_r"][place]), trials[region, seed]
        values: dict[str, Any] = {name: trial.get(name, np.nan) for name in _OF_TRIAL}
        if truth is not None:
            values["distance_c"] = abs(truth.soc_rho_r - trial["start_c"])
            values["distance_f"] = float(np.abs(truth.f_soc - trial["start_f"]).max())
        if np.isfinite(f_soc).all():
            values["munsell"] = value_of(learned["axis"], f_soc)
            depths = [trough.depth for trough in find_troughs(learned["axis"], f_soc)]
            values["deepest"] = max(depths, default=0.0)
            values["moved_c"] = abs(c - trial["start_c"])
            values["moved_f"] = float(np.abs(f_soc - trial["start_f"]).max())
            if truth is not None:
                close = recovery(f_soc, c / given_c_bar(truth), truth)
                values |= dataclasses.asdict(close) | {"c_error": c / truth.soc_rho_r - 1.0}
        rows.append(_row(NETWORKS, source=source, start=start, region=region, seed=seed, soc_rho_r=c, **values))
    return rows


def reach_is_short(row: Mapping[str, Any]) -> bool:
    """Whether a training stopped before Adam could reach the truth; False where there is none.

    Where it was shorter, that c or f stayed near the start says nothing of the loss.
    """
    return bool(row["reach"] < max(row["distance_c"], row["distance_f"]))


def paired_difference(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], name: str) -> Interval:
    """Compares a column of two lists of :data:`NETWORKS` rows, ``second`` minus ``first``, paired by held-out region.

    Seeds are averaged first: the seeds of a region share its data and are no independent units.
    """
    means = [_by_region(rows, name) for rows in (first, second)]
    regions = [region for region in means[0] if region in means[1]]
    return t_interval([means[1][region] - means[0][region] for region in regions])


def _by_region(rows: Sequence[Mapping[str, Any]], name: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        if np.isfinite(row[name]):
            values.setdefault(str(row["region"]), []).append(float(row[name]))
    return {region: float(np.mean(found)) for region, found in values.items()}


def learned_curve(
    source: str, start: str, axis: NDArray[np.float64], spectra: NDArray[Any]
) -> tuple[list[dict[str, Any]], list[Curve]]:
    """Rows of :data:`LINES` and the curve of the mean over trials (t, m), with their range; nothing if all diverged."""
    alive = np.asarray(spectra, dtype=np.float64)
    alive = alive[np.isfinite(alive).all(axis=1)]
    if not len(alive):
        return [], []
    mean = alive.mean(axis=0)
    lines = line_rows(source, start, axis, mean, presence(axis, alive))
    return lines, [Curve(source, start, mean, alive.min(axis=0), alive.max(axis=0))]


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
