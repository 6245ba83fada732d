"""The reflectance of soil organic carbon by direct regression, in closed form: no network, no mineral library.

The mixing model (``jaxsoil.physics.mixing``) of a sample with organic carbon m, x = m / (1 - m), reads

    R (a + x / c) = b + (x / c) f,      a = sum_k u_k / g_k,   b = sum_k (u_k / g_k) f_k,

with u_k the share of mineral k in the mineral part, g_k = (rho r)_k, c = (rho r)_SOC and f = f_SOC. Where the
minerals of a region do not follow its SOC, the regression of R (1 / c_bar + x / c) on x with a constant for each
region has the slope f / c in each band, c_bar being the mean (rho r) of the minerals. With s1 the slope of R and
s2 that of x R on x, and t = c / c_bar,

    f = t s1 + s2:

only t enters, and reflectance and SOC do not tell it (docs/soc_spectrum.md derives why). A gauge does: soil
organic matter holds carbon that is nearly black in the visible, so t is chosen such that the 1st percentile of f
over 365-2500 nm is 0.03. The paper has no such estimate: it is ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from jaxsoil.data.library import Library
from jaxsoil.physics.parametric_minerals import load_table
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError

if TYPE_CHECKING:
    from jaxsoil.data.twin.soil.make import TwinTruth

Floats = NDArray[np.float64]

GAUGE = 0.03
"""Reflectance that the darkest bands of f_SOC are assumed to have: that of chars and black humic matter."""

GAUGE_PERCENTILE = 1.0
"""Percentile of f_SOC over :data:`WINDOW` that the gauge fixes: one dark band alone would follow the noise."""

WINDOW = (365.0, 2500.0)
"""Wavelengths over which the percentile is taken, nm."""

LATEST_START, EARLIEST_END = 420.0, 2350.0
"""An axis must begin and end at these wavelengths (nm) or beyond: the gauge needs the blue, the C-H bands of organic
matter lie beyond 2300 nm."""

MEAN_SOIL = {
    "Quartz": 48.5,
    "Microcline": 14.7,
    "Kaolinite": 34.6 / 3,
    "Illite": 34.6 / 3,
    "Vermiculite": 34.6 / 3,
    "Calcite": 2.2,
}
"""A mean soil in % by mass, a choice of this project: quartz and feldspar in the order of what diffraction finds in
surveys of whole countries, 2.2 calcite, and the rest clays in three equal parts, with the quarter that diffraction
leaves unassigned among them. Without that quarter c_bar would be 6 % lower."""

# Where the controls leave less than this share of the variance of x, its slope is rounding error.
_LEAST_SHARE = 1e-10


class NotAvailable(DataError):
    """The axis of the data does not allow the estimate."""


@dataclasses.dataclass(frozen=True, eq=False)
class SocSpectrum:
    """An estimate of f_SOC and (rho r)_SOC.

    Args:
      axis: (m,) nm.
      f_soc: (m,) reflectance of SOC, a fraction; noise may carry it out of [0, 1].
      ratio: t = c / c_bar, (rho r)_SOC over that of the mean mineral soil.
      c_bar: (rho r) of the mean mineral soil that expresses t in g cm-3 nm.
      method: how it was estimated.
    """

    axis: Floats
    f_soc: Floats
    ratio: float
    c_bar: float
    method: str = "regions"

    @property
    def soc_rho_r(self) -> float:
        """(rho r)_SOC, g cm-3 nm."""
        return self.ratio * self.c_bar


def mean_soil_c_bar() -> float:
    """Returns c_bar of :data:`MEAN_SOIL` in g cm-3 nm: 1 / c_bar = sum_k u_k / (rho r)_k.

    Densities and cell volumes are those of the minerals in the package; nothing of a twin's truth enters.
    """
    rho_r = {mineral.name: mineral.density * np.cbrt(mineral.cell_volume) for mineral in load_table()}
    return sum(MEAN_SOIL.values()) / float(sum(share / rho_r[name] for name, share in MEAN_SOIL.items()))


def mean_soil_shares(names: Sequence[str]) -> Floats:
    """Returns the shares ``(K,)`` of K minerals in :data:`MEAN_SOIL`; those it does not name share 4 % equally.

    They sum to one over the minerals given, so a library without one of the main minerals has more of the others.
    """
    others = 4.0 / max(sum(name not in MEAN_SOIL for name in names), 1)
    shares = np.array([0.96 * MEAN_SOIL[name] if name in MEAN_SOIL else others for name in names])
    return shares / shares.sum()


def require_window(axis: ArrayLike) -> None:
    """Checks that f_SOC can be estimated on an axis in nm.

    Raises:
      NotAvailable: the axis lacks the blue end of the visible, or the bands beyond 2300 nm.
    """
    bands = np.asarray(axis, dtype=np.float64)
    if bands[0] > LATEST_START or bands[-1] < EARLIEST_END:
        raise NotAvailable(
            "the direct estimate of f_SOC is not available on this axis",
            value=f"{bands[0]:g}-{bands[-1]:g} nm",
            remedy=f"It needs bands from {LATEST_START:g} nm or below (the dark-material gauge lies in the visible) "
            f"to {EARLIEST_END:g} nm or beyond; soils_vnir and the twin have them.",
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """What the regressions take: ``library`` (labelled rows), ``axis`` (m,) nm, ``reflectance`` (n, m), ``x`` (n,)."""

    library: Library
    axis: Floats
    reflectance: Floats
    x: Floats


def samples_of(library: Library) -> Samples:
    """Returns the rows with SOC above 0 as float64 reflectance on an axis in nm, after the check of the axis."""
    spectra = library.spectra.to_unit("nm")
    require_window(spectra.axis)
    soc = library.property("soc").values / 100.0
    labelled = (soc > 0.0) & (soc < 1.0)
    chosen = library.select(labelled)
    reflectance = spectra[labelled].to_reflectance().values.astype(np.float64)
    return Samples(chosen, spectra.axis, reflectance, soc[labelled] / (1.0 - soc[labelled]))


def slopes(
    reflectance: Floats, x: Floats, groups: ArrayLike, *, controls: Floats | None = None, weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Returns the slopes of R and of x R on x, each (b, m), with a constant for each group.

    Args:
      reflectance: (n, m).
      x: (n,) SOC over mineral mass, m / (1 - m).
      groups: (n,) names; each group has its own constant.
      controls: (n, k) what is held fixed besides.
      weights: (b, n) of each of b regressions (counts of a bootstrap); None is one unweighted regression.

    Raises:
      DataError: x does not vary within the groups beyond what the controls explain.
    """
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    table = np.ones((1, x.size)) if weights is None else np.asarray(weights, dtype=np.float64)
    contrasts = np.stack([_contrast(x, codes, controls, row) for row in table])
    return contrasts @ reflectance, (contrasts * x) @ reflectance


def _contrast(x: Floats, codes: NDArray[np.int64], controls: Floats | None, weight: Floats) -> Floats:
    """Returns (n,) q such that q @ y is the slope of y on x (Frisch-Waugh-Lovell)."""
    centred = _within(x[:, None], codes, weight)[:, 0]
    rest = centred
    if controls is not None:
        held = _within(controls, codes, weight)
        root = np.sqrt(weight)
        solution, *_ = np.linalg.lstsq(root[:, None] * held, root * centred, rcond=None)
        rest = centred - held @ solution
    total, left = float(weight @ centred**2), float(weight @ rest**2)
    if not left > _LEAST_SHARE * total:
        raise DataError(
            "SOC does not vary within the groups beyond what is held fixed, so its spectrum has no slope",
            value=f"{np.unique(codes).size} groups, {x.size} samples",
            remedy="Give groups with several samples of different SOC each.",
        )
    return weight * rest / left


def _within(values: Floats, codes: NDArray[np.int64], weight: Floats) -> Floats:
    """Returns the columns of (n, k) less their weighted means by group."""
    size = np.maximum(np.bincount(codes, weight), 1e-300)
    means = np.stack([np.bincount(codes, weight * column) / size for column in values.T], axis=1)
    return values - means[codes]


def from_slopes(
    axis: Floats,
    slope: Floats,
    slope_of_product: Floats,
    *,
    gauge: float = GAUGE,
    c_bar: float | None = None,
    method: str = "regions",
) -> SocSpectrum:
    """Returns f = t s1 + s2 with the t that meets the gauge, from the (m,) slopes s1 of R and s2 of x R on x."""
    ratio = gauge_ratio(axis, slope, slope_of_product, gauge)
    c_bar = mean_soil_c_bar() if c_bar is None else c_bar
    return SocSpectrum(axis, ratio * slope + slope_of_product, ratio, c_bar, method)


def gauge_ratio(axis: Floats, slope: Floats, slope_of_product: Floats, gauge: float = GAUGE) -> float:
    """Returns the smallest t > 0 at which the 1st percentile of t s1 + s2 over 365-2500 nm equals the gauge.

    Raises:
      DataError: there is none: SOC does not darken these soils, or they are darker than the gauge throughout.
    """
    inside = (axis >= WINDOW[0]) & (axis <= WINDOW[1])

    def excess(t: Any) -> Any:
        curves = np.multiply.outer(t, slope[inside]) + slope_of_product[inside]
        return np.percentile(curves, GAUGE_PERCENTILE, axis=-1) - gauge

    # Measured soils lie near t = 0.07, the reference twin near 0.8.
    steps = np.concatenate([[0.0], np.geomspace(1e-4, 1e3, 141)])
    signs = excess(steps) > 0.0
    falls = np.flatnonzero(signs[:-1] & ~signs[1:])
    if not signs[0] or not falls.size:
        raise DataError(
            "no (rho r)_SOC meets the dark-material gauge",
            value=f"gauge {gauge:g}, percentile at t = 0: {excess(0.0) + gauge:.3f}",
            remedy="Check that SOC darkens these soils (more SOC, less reflectance) and that SOC is in % by mass.",
        )
    root: Any = brentq(excess, steps[falls[0]], steps[falls[0] + 1], xtol=1e-14)
    return float(root)


def recovery(f_soc: Floats, ratio: float, c: float, truth: TwinTruth) -> dict[str, float]:
    """Compares f_SOC (m,), t = c / c_bar and c with the truth of a twin on the same axis.

    Returns:
      ``rmse`` of f_SOC over bands, reflectance as a fraction; ``cosine`` of f_SOC and the truth, which misleads: a flat
      spectrum scores 0.92 on the reference twin; ``ratio_error`` and ``c_error``, relative errors of c / c_bar and c.
    """
    true = truth.f_soc
    remedy = "Make the twin on the axis of the estimate."
    require.same_shape({"the bands of the estimate": f_soc, "those of the truth": true}, remedy=remedy)
    return {
        "rmse": float(np.sqrt(np.mean((f_soc - true) ** 2))),
        "cosine": float(f_soc @ true / (np.linalg.norm(f_soc) * np.linalg.norm(true))),
        "ratio_error": ratio / (truth.soc_rho_r / true_c_bar(truth)) - 1.0,
        "c_error": c / truth.soc_rho_r - 1.0,
    }


def true_c_bar(truth: TwinTruth) -> float:
    """Returns (rho r) of the mean mineral soil of a twin, g cm-3 nm: 1 / c_bar = mean over rows of sum_k u_k / g_k."""
    minerals = truth.mass[:, :-1] / (1.0 - truth.mass[:, -1:])
    return 1.0 / float(np.mean(minerals @ (1.0 / truth.rho_r[:-1])))


def given_c_bar(truth: TwinTruth) -> float:
    """Returns c_bar of a twin's mean soil, g cm-3 nm, by the (rho r) of the library that the decoder is given.

    Minerals that the library lacks are left out. With the true library it is :func:`true_c_bar`.
    """
    given = truth.decoder_minerals
    shares = np.mean(truth.mass[:, :-1] / (1.0 - truth.mass[:, -1:]), axis=0)
    places = [truth.names.index(name) for name in given.names]
    return float(shares[places].sum() / (shares[places] @ (1.0 / given.rho_r)))
