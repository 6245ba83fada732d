"""Variants of the direct estimate of f_SOC that hold up when minerals follow SOC, and bootstraps of each.

The estimate of ``soc_spectrum`` takes minerals and SOC to be unrelated within a region. Where clay grows with SOC its
spectrum leaks into f_SOC. A share of clay that is linear in x = m / (1 - m) cannot be told from SOC by anything
(the degeneracy of docs/soc_spectrum.md); what is told apart is

* a curved relation: soils change with the logarithm of SOC, the mixture with x itself, so ln x held fixed takes most
  of the minerals out (``log_soc``, and with a slope for each region ``log_soc_by_region``);
* minerals that show themselves: the narrow absorptions of the minerals in each spectrum, away from those of water and
  organic matter, are held fixed (``minerals``), alone or with ln x (``log_soc_minerals``);
* clay that was measured (``clay``);
* what differs between pedons but not with depth (``pedons``, ``pedons_log_soc``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library
from jaxsoil.evaluation.bootstrap import weights as drawn
from jaxsoil.runs.errors import DataError, did_you_mean
from jaxsoil.studies.reconstruction.soc_spectrum import direct
from jaxsoil.studies.reconstruction.soc_spectrum.direct import GAUGE, Floats, Samples, SocSpectrum

FEATURE_WIDTH = 100.0
"""Window of the second derivative that sees mineral absorptions, nm."""

FEATURES = 6
"""Directions of the minerals' second derivatives that are held fixed."""

ORGANIC_AND_WATER = ((1380.0, 1500.0), (1690.0, 1770.0), (1870.0, 2010.0), (2270.0, 2390.0), (2440.0, np.inf))
"""Bands in nm where water and organic matter absorb (O-H near 1445 and 1930, C-H near 1730, 2305, 2350 and 2490);
mineral features are sought elsewhere."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A variant: its name in tables, the groups with constants of their own, and what else is held fixed."""

    label: str
    group: str = "region"
    log_soc: bool = False
    by_region: bool = False
    features: bool = False
    clay: bool = False


METHODS: dict[str, Method] = {
    "regions": Method("Constants by region"),
    "log_soc": Method("+ ln SOC", log_soc=True),
    "log_soc_by_region": Method("+ ln SOC by region", log_soc=True, by_region=True),
    "minerals": Method("+ mineral features", features=True),
    "log_soc_minerals": Method("+ ln SOC + mineral features", log_soc=True, features=True),
    "clay": Method("+ measured clay", clay=True),
    "pedons": Method("Constants by pedon", group="pedon"),
    "pedons_log_soc": Method("Constants by pedon + ln SOC", group="pedon", log_soc=True),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Bootstrap:
    """Estimates from resampled pedons.

    Args:
      axis: (m,) nm.
      f_soc: (b, m), NaN where a resample met no gauge.
      ratio: (b,) c / c_bar, NaN likewise.
      clusters: what was drawn ("pedon" or "sample").
    """

    axis: Floats
    f_soc: Floats
    ratio: Floats
    clusters: str

    @property
    def failed(self) -> int:
        """Resamples without an estimate."""
        return int(np.isnan(self.ratio).sum())


def estimate(
    library: Library,
    method: str = "regions",
    *,
    minerals: EndmemberLibrary | None = None,
    gauge: float = GAUGE,
    c_bar: float | None = None,
) -> SocSpectrum:
    """Estimates f_SOC and c / c_bar by one of :data:`METHODS`.

    Args:
      library: reflectance (or absorbance), property "soc" in %, group "region"; rows without SOC are left out. "clay"
        needs the property clay (%), "pedons" the group pedon.
      method: key of :data:`METHODS`.
      minerals: on the axis of the data, for the methods with mineral features.
      gauge: assumed 1st percentile of f_SOC.
      c_bar: (rho r) of the mean mineral soil, g cm-3 nm; by default ``direct.mean_soil_c_bar``.

    Raises:
      NotAvailable: an axis on which f_SOC cannot be estimated.
      DataError: an unknown method, data that lack what it needs, SOC that does not vary within the groups, or no c that
        meets the gauge.
    """
    samples, regress = _prepared(library, method, minerals, gauge)
    slope, product = regress(None)
    return direct.from_slopes(samples.axis, slope[0], product[0], gauge=gauge, c_bar=c_bar, method=method)


def bootstrap(
    library: Library,
    method: str = "regions",
    *,
    resamples: int = 100,
    seed: int = 0,
    minerals: EndmemberLibrary | None = None,
    gauge: float = GAUGE,
) -> Bootstrap:
    """Repeats :func:`estimate` on pedons drawn with replacement within their regions.

    Rows without a pedon group are drawn one by one. Equal seeds draw the same rows for every method that uses the
    same rows, so that methods can be compared resample by resample. The mineral features, which depend on the estimate
    itself, are estimated anew in each resample; the directions of the minerals' absorptions are constants.
    """
    samples, regress = _prepared(library, method, minerals, gauge)
    cluster = next((name for name in ("pedon", "profile", "sample") if name in samples.library.groups), "")
    names = samples.library.groups[cluster] if cluster else samples.library.ids
    weights = _resampled(np.asarray(samples.library.group("region")), np.asarray(names), resamples, seed)
    slope, product = regress(weights)
    f_soc, ratio = np.full(slope.shape, np.nan), np.full(resamples, np.nan)
    for row, (one, other) in enumerate(zip(slope, product, strict=True)):
        try:
            ratio[row] = direct.gauge_ratio(samples.axis, one, other, gauge)
        except DataError:
            continue
        f_soc[row] = ratio[row] * one + other
    return Bootstrap(samples.axis, f_soc, ratio, cluster or "sample")


def disagreement(first: Bootstrap, second: Bootstrap) -> float:
    """Returns the share of bands in which two methods differ beyond their paired 95 % bootstrap interval.

    Bands move together, so that the share varies: twins whose minerals do not follow SOC gave 0.02 to 0.27 between
    "regions" and "log_soc", twins with clay as SOC^0.3 0.66 to 0.94.
    """
    difference = first.f_soc - second.f_soc
    difference = difference[np.isfinite(difference).all(axis=1)]
    if len(difference) < 20:
        remedy = "Draw 20 resamples or more, of the same rows and with the same seed."
        raise DataError("too few paired resamples to compare two methods", value=len(difference), remedy=remedy)
    low, high = np.percentile(difference, (2.5, 97.5), axis=0)
    return float(np.mean((low > 0.0) | (high < 0.0)))


Regress = Callable[[Floats | None], tuple[Floats, Floats]]


def _prepared(library: Library, name: str, minerals: EndmemberLibrary | None, gauge: float) -> tuple[Samples, Regress]:
    """Returns the samples and the function from weights (b, n) to the slopes of R and x R, each (b, m).

    A resample in which the mineral features meet no gauge has slopes NaN; without weights that is an error.
    """
    if name not in METHODS:
        raise DataError("no such method", column=name, remedy=did_you_mean(name, METHODS))
    method = METHODS[name]
    measured = library.select(np.isfinite(library.property("clay").values)) if method.clay else library
    samples = direct.samples_of(measured)
    groups, controls = samples.library.group(method.group), _controls(samples, method)

    def regress(weights: Floats | None) -> tuple[Floats, Floats]:
        return direct.slopes(samples.reflectance, samples.x, groups, controls=controls, weights=weights)

    if not method.features:
        return samples, regress
    if minerals is None:
        raise DataError(
            "mineral features need the minerals", column=name, remedy="Give the mineral library on the data's axis."
        )
    features = _features_of(samples, minerals)

    def regress_with_features(weights: Floats | None) -> tuple[Floats, Floats]:
        if weights is None:
            return _with_features(samples, controls, features, None, gauge)
        found = np.full((2, len(weights), samples.axis.size), np.nan)
        for place, row in enumerate(weights):
            try:
                one, other = _with_features(samples, controls, features, row[None], gauge)
            except DataError:
                continue
            found[:, place] = one[0], other[0]
        return found[0], found[1]

    return samples, regress_with_features


def _controls(samples: Samples, method: Method) -> Floats | None:
    """Returns (n, k) what is held fixed besides the constants; None for nothing."""
    columns: list[Floats] = []
    if method.log_soc:
        logarithm = np.log(samples.x)[:, None]
        regions = samples.library.group("region")
        columns.append(logarithm * (regions[:, None] == np.unique(regions)) if method.by_region else logarithm)
    if method.clay:
        # Clay as a share of the mineral part: what SOC dilutes is the same for all minerals.
        clay = samples.library.property("clay").values / 100.0
        columns.append((clay * (1.0 + samples.x))[:, None])
    return np.hstack(columns) if columns else None


def _features_of(samples: Samples, minerals: EndmemberLibrary) -> tuple[Floats, Floats]:
    """Returns the sizes (n, FEATURES) of the minerals' absorptions in R and in x R."""
    if minerals.spectra.axis.shape != samples.axis.shape or not np.allclose(minerals.spectra.axis, samples.axis):
        raise DataError(
            "minerals and data are on different axes",
            value=f"{minerals.spectra.n_bands} and {samples.axis.size} bands",
            remedy="Resample the minerals to the axis of the data (EndmemberLibrary.resample).",
        )
    curvature = _curvature_of(samples.axis)
    shapes = curvature(minerals.spectra.values.astype(np.float64) / minerals.rho_r[:, None])
    directions = np.linalg.svd(shapes, full_matrices=False)[2][:FEATURES]
    sizes = curvature(samples.reflectance) @ directions.T
    return sizes, curvature(samples.reflectance * samples.x[:, None]) @ directions.T


def _with_features(
    samples: Samples, controls: Floats | None, features: tuple[Floats, Floats], weights: Floats | None, gauge: float
) -> tuple[Floats, Floats]:
    """Returns the slopes (1, m) of R and x R with the sizes of the minerals' absorptions held fixed besides.

    The sizes are those in R (1 + x / t), in which a mineral's absorption is proportional to its abundance, whatever
    the SOC; t comes from the regression without them first, then once more with them.
    """
    groups, held = samples.library.group("region"), controls
    for _ in range(2):
        slope, product = direct.slopes(samples.reflectance, samples.x, groups, controls=held, weights=weights)
        ratio = direct.gauge_ratio(samples.axis, slope[0], product[0], gauge)
        sizes = features[0] + features[1] / ratio
        held = sizes if controls is None else np.hstack([controls, sizes])
    return direct.slopes(samples.reflectance, samples.x, groups, controls=held, weights=weights)


def _curvature_of(axis: Floats) -> Callable[[Floats], Floats]:
    """Returns the function from spectra (n, m) to second derivatives, without the bands of water and organic matter."""
    step = float(np.median(np.diff(axis)))
    window = max(5, 2 * int(FEATURE_WIDTH / step / 2) + 1)
    if axis.size <= 3 * window:
        raise DataError(
            "too few bands to tell mineral features", value=axis.size, remedy="Use a method without mineral features."
        )
    used = np.ones(axis.size, dtype=bool)
    used[: window // 2] = used[-(window // 2) :] = False
    for low, high in ORGANIC_AND_WATER:
        used &= (axis < low) | (axis > high)

    def curvature(spectra: Floats) -> Floats:
        derivative: Any = savgol_filter(spectra, window, 2, deriv=2, axis=-1)
        return derivative[:, used]

    return curvature


def _resampled(regions: NDArray[Any], clusters: NDArray[Any], resamples: int, seed: int) -> Floats:
    """Returns (b, n) how often each row was drawn: whole clusters with replacement, within each region."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((resamples, regions.size))
    for region in np.unique(regions):
        rows = np.flatnonzero(regions == region)
        names, codes = np.unique(clusters[rows], return_inverse=True)
        weights[:, rows] = drawn(rng, names.size, resamples)[:, codes]
    return weights
