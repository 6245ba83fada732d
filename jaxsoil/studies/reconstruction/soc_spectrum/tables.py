"""What a study of f_SOC writes: rows of its tables, from libraries and from what networks learned.

``source`` names the data ("troughs", "null": the twins with and without absorptions in the true f_SOC; otherwise the
data set), ``estimator`` what made the spectrum ("truth", a key of ``methods.METHODS``, or a start of the mixing
decoder, "paper" or "direct").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library
from jaxsoil.evaluation.compare import mean_sd, t_interval
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.tables import Columns
from jaxsoil.studies.reconstruction.soc_spectrum import appearance, sweep
from jaxsoil.studies.reconstruction.soc_spectrum.appearance import LITERATURE, find_troughs
from jaxsoil.studies.reconstruction.soc_spectrum.direct import Floats, SocSpectrum, given_c_bar, recovery, true_c_bar
from jaxsoil.studies.reconstruction.soc_spectrum.methods import Bootstrap, bootstrap, disagreement, estimate
from jaxsoil.studies.reconstruction.soc_spectrum.unmixing import abundance_error, unmix

PUBLISHED_RHO_R = (2.471, 0.132)
"""(rho r)_SOC of Coleman et al. (2024), Experiment 2, mg m-2 = g cm-3 nm, with its SD over 17 regions x 4 seeds."""

FLAT = "flat"
"""Estimator of estimates.csv that is a spectrum without any shape: its cosine with the truth."""

BOOTSTRAP_SEED = 0

_OF_TRIAL = ("r2", "mrmse", "status", "exposure", "epochs", "kept", "reach")
_OF_DECODER = ("soc_rho_r", "munsell", "rmse", "cosine", "ratio_error", "c_error", "r2")
_REACH = ("kept", "reach", "moved_c", "distance_c", "moved_f", "distance_f")

NETWORKS = Columns(
    text="source start region status exposure",
    whole="seed epochs kept",
    flag="short",
    number=(*_OF_DECODER, "deepest", "mrmse", *_REACH[1:]),
)
"""One row per training: r2 of SOC in % and mrmse (%) in the held-out region; status, exposure and epochs as in
trials.csv; ``kept`` the epoch whose parameters are used; ``reach`` the learning rate of the decoder times the steps to
it, about how far Adam can move a parameter; ``moved`` how far c and f (the band that moved most) went from their start,
``distance`` how far the truth is from it; ``short`` where the reach was less than a distance, so that c and f say
nothing of the loss. ``ratio_error`` is that of c / c_bar with the c_bar of the mineral library given."""

TABLES: dict[str, Columns] = {
    "estimates": Columns(
        text="source estimator problem",
        whole="rows trainings",
        number="ratio soc_rho_r sd low high failed seed munsell rmse cosine ratio_error c_error r2 disagreement "
        "times_less moved",
    ),
    "lines": Columns(text="source estimator", number="line position depth presence"),
    "troughs": Columns(text="source estimator", number="position depth width"),
    "networks": NETWORKS,
    "reach": Columns(text="source start measure", number="least greatest"),
    "differences": Columns(text="source metric", whole="regions seeds", number="mean sd low high"),
}
"""Tables of every run.

* estimates: for direct methods ``sd``, ``low`` and ``high`` (5 and 95 %) of (rho r)_SOC over bootstrap resamples drawn
  with ``seed``, ``failed`` of which met no gauge; for decoders means over ``trainings`` that did not diverge and the
  ``sd`` over them. ``disagreement`` is with the method "regions"; ``times_less`` the paper's (rho r)_SOC over this one;
  ``moved`` how far c lies from the paper's start. NaN where undefined.
* lines: literature position, trough matched to it (NaN for none), share of resamples with one.
* troughs: nm, reflectance, nm.
* networks: see :data:`NETWORKS`.
* reach: least and greatest values over trainings.
* differences: the direct start minus the paper's, paired by held-out region, with its 95 % t interval.
"""

TWIN_TABLES: dict[str, Columns] = {
    "libraries": NETWORKS,
    "abundances": Columns(text="source estimator mineral", number="mean error"),
    **dict.fromkeys(("accuracy", "robust", "sweep"), sweep.SCORES),
    "over_seeds": sweep.MEANS,
}
"""Tables of runs on twins besides: decoders with wrong mineral libraries; true mean and mean absolute error of each
mass fraction, and their mean over :data:`MINERALS`; scores of the direct estimate, and their means over seeds."""

MINERALS = "all minerals"
"""Row of abundances.csv with the means over minerals, SOC left out."""

_UNMIXED_ROWS = 200


CURVE = ("source", "estimator", "f_soc", "low", "high")
"""Fields of a spectrum for the figures: names, (m,) f_SOC with the 5 and 95 % of its resamples (NaN without)."""


def curve_arrays(curves: Sequence[Mapping[str, Any]], bands: int) -> dict[str, NDArray[Any]]:
    """Curves as arrays by :data:`CURVE`: names (c,) and spectra (c, bands)."""
    found = {name: np.array([curve[name] for curve in curves]) for name in CURVE}
    return {n: v.astype(str) if n in CURVE[:2] else v.reshape(-1, bands) for n, v in found.items()}


class SpectrumTables(NamedTuple):
    """What tables and figures show of estimated spectra: rows of estimates.csv, rows of lines.csv, and curves."""

    estimates: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    curves: list[dict[str, Any]]


def joined(parts: Sequence[SpectrumTables]) -> SpectrumTables:
    """Several as one, in order."""
    return SpectrumTables(*([row for rows in lists for row in rows] for lists in zip(*parts, strict=True)))


def direct_tables(
    library: Library,
    source: str,
    methods: Sequence[str],
    *,
    minerals: EndmemberLibrary | None = None,
    resamples: int = 100,
    start_c: float = float("nan"),
) -> SpectrumTables:
    """Estimates f_SOC by several of ``methods.METHODS`` with bootstraps; one that gives no estimate leaves a row with
    its ``problem``.

    Args:
      minerals: for the methods with mineral features.
      resamples: of each bootstrap, with :data:`BOOTSTRAP_SEED`; 0 leaves them out.
      start_c: (rho r)_SOC of the paper's start, g cm-3 nm.
    """
    parts: list[SpectrumTables] = []
    reference: Bootstrap | None = None
    for method in methods:
        drawn = None
        try:
            found = estimate(library, method, minerals=minerals)
            if resamples:
                drawn = bootstrap(library, method, resamples=resamples, minerals=minerals, seed=BOOTSTRAP_SEED)
        except DataError as problem:
            row = {"source": source, "estimator": method, "rows": len(library), "trainings": 0, "problem": str(problem)}
            parts.append(SpectrumTables([row], [], []))
            continue
        reference = drawn if method == "regions" else reference
        values = _direct_values(library, found, drawn, reference)
        values |= {"moved": abs(start_c - found.soc_rho_r), "times_less": PUBLISHED_RHO_R[0] / found.soc_rho_r}
        ends = None
        if drawn is not None and drawn.failed < resamples:
            ends = np.nanpercentile(drawn.f_soc, (5.0, 95.0), axis=0)
        spectra = None if drawn is None else drawn.f_soc
        parts.append(_shown(source, method, found.axis, found.f_soc, values, spectra=spectra, ends=ends))
    return joined(parts)


def _shown(
    source: str,
    estimator: str,
    axis: Floats,
    f_soc: Floats,
    values: Mapping[str, Any],
    *,
    spectra: Floats | None = None,
    ends: Sequence[Floats] | Floats | None = None,
) -> SpectrumTables:
    """Tables of one spectrum (m,), with ``spectra`` (b, m) that were resampled and the ``ends`` of their range."""
    low, high = (np.full(f_soc.shape, np.nan),) * 2 if ends is None else ends
    name: dict[str, Any] = {"source": source, "estimator": estimator}
    row = {**name, "problem": "", "trainings": 0, "munsell": value_of(axis, f_soc), **values}
    curve = {**name, "f_soc": f_soc, "low": low, "high": high}
    return SpectrumTables([row], line_rows(name, axis, f_soc, spectra), [curve])


def _direct_values(
    library: Library, found: SocSpectrum, drawn: Bootstrap | None, reference: Bootstrap | None
) -> dict[str, Any]:
    values: dict[str, Any] = {"rows": len(library), "ratio": found.ratio, "soc_rho_r": found.soc_rho_r}
    if drawn is not None and drawn.failed < drawn.ratio.size:
        c = drawn.ratio * found.c_bar
        low, high = np.nanpercentile(c, (5.0, 95.0))
        values |= {"sd": float(np.nanstd(c, ddof=1)), "low": float(low), "high": float(high)}
        values |= {"failed": drawn.failed, "seed": BOOTSTRAP_SEED}
        # Methods that use other rows draw other resamples, which pair with nothing.
        paired = reference is not None and reference is not drawn and found.method != "clay"
        if paired and reference is not None and drawn.ratio.size - drawn.failed >= 20:
            values["disagreement"] = disagreement(reference, drawn)
    if library.truth is not None:
        values |= recovery(found.f_soc, found.ratio, found.soc_rho_r, library.truth)
    return values


def truth_tables(library: Library, source: str) -> SpectrumTables:
    """The true f_SOC of a twin as an estimator of its own, and the cosine of a spectrum without shape with it."""
    truth = library.truth
    values = {"rows": len(library), "ratio": truth.soc_rho_r / true_c_bar(truth), "soc_rho_r": truth.soc_rho_r}
    shown = _shown(source, "truth", truth.axis, truth.f_soc, values)
    cosine = float(truth.f_soc.sum() / (np.linalg.norm(truth.f_soc) * np.sqrt(truth.f_soc.size)))
    shown.estimates.append(
        {"source": source, "estimator": FLAT, "rows": 0, "trainings": 0, "problem": "", "cosine": cosine}
    )
    return shown


def network_rows(
    library: Library,
    source: str,
    start: str,
    learned: Mapping[str, NDArray[Any]],
    trials: Mapping[tuple[str, int], Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Rows of :data:`NETWORKS`, whose truth is that of the library.

    Args:
      learned: arrays of soc_spectra.npz: ``axis``, ``region``, ``seed``, ``f_soc`` (t, m), ``soc_rho_r`` (t,).
      trials: (region, seed) -> ``start_f`` (m,), ``start_c`` and the columns from ``r2`` to ``reach``, as far as known.
    """
    rows, truth = [], library.truth
    for place, f_soc in enumerate(np.asarray(learned["f_soc"], dtype=np.float64)):
        region, seed = str(learned["region"][place]), int(learned["seed"][place])
        c, trial = float(learned["soc_rho_r"][place]), trials[region, seed]
        values: dict[str, Any] = {name: trial[name] for name in _OF_TRIAL if name in trial}
        distances: dict[str, float] = {}
        if truth is not None:
            distances["distance_c"] = abs(truth.soc_rho_r - trial["start_c"])
            distances["distance_f"] = float(np.abs(truth.f_soc - trial["start_f"]).max())
        if np.isfinite(f_soc).all():
            values["munsell"] = value_of(learned["axis"], f_soc)
            values["deepest"] = max((trough.depth for trough in find_troughs(learned["axis"], f_soc)), default=0.0)
            values["moved_c"] = abs(c - trial["start_c"])
            values["moved_f"] = float(np.abs(f_soc - trial["start_f"]).max())
            if truth is not None:
                values |= recovery(f_soc, c / given_c_bar(truth), c, truth)
        short = any(trial["reach"] < distance for distance in distances.values())
        key = {"source": source, "start": start, "region": region, "seed": seed, "soc_rho_r": c, "short": short}
        rows.append(dict.fromkeys(NETWORKS.required, np.nan) | key | values | distances)
    return rows


def decoder_tables(
    axis: Floats, spectra: NDArray[Any], rows: Sequence[Mapping[str, Any]], n_rows: int
) -> SpectrumTables:
    """Means over the trainings of one start that did not diverge, and their spectra's range: f_SOC (t, m) on the axis
    (m,) nm, and a row of :data:`NETWORKS` each; ``n_rows`` are those of the data."""
    source, start = rows[0]["source"], rows[0]["start"]
    over = {name: mean_sd([row[name] for row in rows]) for name in _OF_DECODER}
    values = {"rows": n_rows, "trainings": len(rows), "sd": over["soc_rho_r"].sd}
    values |= {name: found.mean for name, found in over.items()}
    alive = np.asarray(spectra, dtype=np.float64)
    alive = alive[np.isfinite(alive).all(axis=1)]
    if not len(alive):
        return SpectrumTables([{"source": source, "estimator": start, "problem": "", **values}], [], [])
    ends = alive.min(axis=0), alive.max(axis=0)
    return _shown(source, start, axis, alive.mean(axis=0), values, spectra=alive, ends=ends)


def reach_rows(networks: pd.DataFrame) -> list[dict[str, Any]]:
    """Least and greatest values of how far the trainings of each start went and could go."""
    groups = networks.groupby(["source", "start"], sort=False)
    return [
        {"source": source, "start": start, "measure": name, "least": part[name].min(), "greatest": part[name].max()}
        for (source, start), part in cast("Iterable[tuple[tuple[str, str], pd.DataFrame]]", groups)
        for name in _REACH
    ]


def start_differences(networks: pd.DataFrame) -> list[dict[str, Any]]:
    """R2 of SOC from the direct start minus that from the paper's, paired by held-out region, for each source.

    Seeds are averaged first: the seeds of a region share its data and are no independent units.
    """
    rows = []
    for source, part in networks.groupby("source", sort=False):
        means = pd.Series(part.groupby(["region", "start"])["r2"].mean()).unstack()
        means = means.reindex(columns=["paper", "direct"])
        found, seeds = t_interval(means["direct"] - means["paper"]), part["seed"].nunique()
        interval = {"mean": found.mean, "sd": found.sd, "low": found.low, "high": found.high}
        if found.n:
            rows.append({"source": source, "metric": "r2", "regions": found.n, "seeds": seeds, **interval})
    return rows


def line_rows(
    name: Mapping[str, Any], axis: NDArray, f_soc: NDArray, spectra: NDArray | None = None
) -> list[dict[str, Any]]:
    """Rows of lines.csv, one for each position; ``name`` has source and estimator, ``spectra`` (b, m) give shares."""
    troughs, rows = find_troughs(axis, f_soc), []
    shares = [np.nan] * len(LITERATURE) if spectra is None else appearance.presence(axis, spectra)
    for line, share in zip(LITERATURE, shares, strict=True):
        match = appearance.nearest(troughs, line)
        found = (np.nan, np.nan) if match is None else (match.position, match.depth)
        rows.append({**name, "line": line.position, "position": found[0], "depth": found[1], "presence": share})
    return rows


def abundance_rows(
    library: Library, source: str, estimates: Mapping[str, tuple[Floats, float]]
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
        errors = abundance_error(truth.mass[chosen], unmix(spectra, endmembers, np.append(truth.rho_r[:-1], c)))
        rows += _abundances(source, estimator, truth, truth.mass[chosen].mean(axis=0), errors)
    return rows


def latent_rows(library: Library, source: str, estimator: str, errors: Floats) -> list[dict[str, Any]]:
    """Errors (trials, K) of the encoders' own mass fractions in held-out rows, as means over the trials that ended.

    No row where the networks' endmembers are not the true ones (all errors NaN).
    """
    errors = errors[np.isfinite(errors).all(axis=1)]
    truth = library.truth
    return _abundances(source, estimator, truth, truth.mass.mean(axis=0), errors.mean(axis=0)) if len(errors) else []


def _abundances(source: str, estimator: str, truth: Any, means: NDArray, errors: NDArray) -> list[dict[str, Any]]:
    """One row for each endmember, SOC last among them, and one for the mean over minerals."""
    names = (*truth.names, MINERALS)
    means, errors = (np.append(part, part[:-1].mean()) for part in (means, errors))
    return [
        {"source": source, "estimator": estimator, "mineral": name, "mean": float(mean), "error": float(error)}
        for name, mean, error in zip(names, means, errors, strict=True)
    ]


def value_of(axis: Floats, f_soc: Floats) -> float:
    """Returns the Munsell value, NaN where the axis lacks part of the visible."""
    inside = axis[0] <= appearance.VISIBLE[0] and axis[-1] >= appearance.VISIBLE[1]
    return appearance.munsell_value(axis, f_soc) if inside else float("nan")
