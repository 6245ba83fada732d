"""From constituents to absorbance: Kubelka-Munk, a mirrored part, and what an instrument adds to a scan.

    F = k / s,   R_diffuse = 1 + F - sqrt(F^2 + 2 F)                         (Kubelka and Munk)
    r = f sum_j m_j |n_j - 1|^2 / |n_j + 1|^2                                (Fresnel at normal incidence)
    R = r + (1 - r) R_diffuse,   A = log10(1 / R)

k sums the absorption of the constituents by mass, s is the scattering, f the share of the surfaces that mirror light
to the detector. Each grain mirrors by its own complex index n_j, of damped oscillators at its strong lattice bands:
quartz mirrors so much between 1080 and 1230 cm-1 (reststrahlen) that soils have a minimum of absorbance there, where
they absorb most. Levels and depths were set so that the median soil looks like the measured sets of docs/data.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.twin.infrared.bands import CONSTITUENTS, MINERAL, NAMES, ORGANICS, Constituent
from jaxsoil.spectra.perturbations import carbon_dioxide_profile, gaussian

_LATTICE = 5.0  # minerals' bands of at least this strength below 1600 cm-1 are oscillators that mirror
_OSCILLATOR = 0.52  # an oscillator's share in the static permittivity, per absorption x width / position of its band
_DAMPING = 0.5  # its width over that of the band in a powder, which the grains' disorder broadens
_BROAD = 150.0  # cm-1: wider bands are Gaussian
_PERMITTIVITY = 2.25  # far above the bands: an index of 1.5
_WIDTH = 64  # standard normal numbers drawn for a row, of which a caller takes the first
_Arrays = dict[str, jax.Array]
ROWS = 512  # scans that are computed at a time: a fixed shape is compiled once


@dataclasses.dataclass(frozen=True, eq=False)
class Optics:
    """Spectra of the constituents, in both forms, on one axis: first forms in the first K rows, then the second.

    Args:
      axis: (M,) cm-1 or nm.
      absorption: (2 K, M) absorption for a mass fraction of 1.
      mirror: (2 K, M) what a surface of each constituent mirrors, 0 to 1.
      base: (M,) absorption of every soil.
      dark: (M,) absorption of organic matter without bands, for a mass fraction of 1.
      scatter: (M,) scattering of a soil with 40 % sand, in the unit of the absorption.
      coarse: how strongly sand lowers the scattering, ln per mass fraction.
      gas: (M,) profile of carbon dioxide.
      noise: (M,) profile of the noise.
    """

    axis: NDArray[np.float64]
    absorption: NDArray[np.float32]
    mirror: NDArray[np.float32]
    base: NDArray[np.float32]
    dark: NDArray[np.float32]
    scatter: NDArray[np.float32]
    coarse: float
    gas: NDArray[np.float32]
    noise: NDArray[np.float32]

    @property
    def n_bytes(self) -> int:
        """Bytes of the tables."""
        arrays = (getattr(self, field.name) for field in dataclasses.fields(self))
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


def draw_scans(
    number: NDArray[np.integer],
    mass: NDArray,
    sand: NDArray,
    instrument: Mapping[str, NDArray],
    which: NDArray[np.integer],
    wave: NDArray,
    z: NDArray,
    sd: Mapping[str, float],
    noise: float | NDArray,
) -> dict[str, NDArray[Any]]:
    """Returns scans that add their own draws to what their instrument does.

    Args:
      number: (n,) counts the scans: the noise follows it.
      mass: (n, 2 K) mass fractions in both forms.
      sand: (n,) mass fraction.
      instrument: packing, mirrored, gain, offset, tilt, curve, shift and blur of each instrument, (L,) each, and
        ``drift``, the amplitude of a slow wave (absorbance).
      which: (n,) instrument of each scan.
      wave: (n,) phase of the slow wave, radians.
      z: (n, 8) or more standard normal numbers.
      sd: of the scans' own draws, by the names of what is returned.
      noise: SD of the noise in the middle of the range.

    Returns:
      What holds for each scan, (n,) but for ``mass``: ``number``, ``mass``, ``sand``; ``packing``, ln of the scattering
      of this filling; ``mirrored``, the share f; ``gain, offset, tilt, curve`` of the absorbance, tilt and curve at the
      ends of the axis; ``shift``, relative error of the axis; ``blur``, weight of each neighbouring band; ``gas``,
      absorbance of carbon dioxide of either sign; ``noise``, its SD.
    """
    of = {name: values[which] for name, values in instrument.items()}
    return dict(
        number=number,
        mass=mass,
        sand=sand,
        packing=of["packing"] + sd["packing"] * z[:, 0],
        mirrored=of["mirrored"] * np.exp(sd["mirrored"] * z[:, 1]),
        gain=of["gain"] * np.exp(sd["gain"] * z[:, 2]),
        offset=of["offset"] + of["drift"] * np.sin(wave) + sd["offset"] * z[:, 3],
        tilt=of["tilt"] + of["drift"] * np.cos(1.7 * wave) + sd["tilt"] * z[:, 4],
        curve=of["curve"] + sd["curve"] * z[:, 5],
        shift=of["shift"],
        blur=of["blur"],
        gas=sd["gas"] * z[:, 6],
        noise=noise * np.exp(0.2 * z[:, 7]),
    )


def normal(seed: int, stream: int, rows: NDArray[np.integer], width: int) -> NDArray[np.float64]:
    """Returns (n, width <= 64) standard normal numbers; those of a row depend on seed, stream and row alone."""
    rows = np.asarray(rows, np.uint32)
    out = np.empty((rows.size, width))
    for start in range(0, rows.size, ROWS):
        part = rows[start : start + ROWS]
        # One shape and one width: a single program is compiled.
        drawn = np.asarray(_normal(_key(seed, stream), np.resize(part, ROWS)))
        out[start : start + part.size] = drawn[: part.size, :width]
    return out


def absorbances(optics: Optics, scans: Mapping[str, NDArray], seed: int, stream: int) -> NDArray[np.float32]:
    """Returns (n, M) absorbances of the scans of :func:`draw_scans`, computed in blocks of ``ROWS``."""
    table, key, n = _device_table(optics), _key(seed, stream), len(scans["number"])
    out = np.empty((n, optics.axis.size), np.float32)
    for start in range(0, n, ROWS):
        block = {}
        for name, values in scans.items():
            part = np.asarray(values, np.uint32 if name == "number" else np.float32)[start : start + ROWS]
            block[name] = np.resize(part, (ROWS, *part.shape[1:]))
        out[start : start + ROWS] = np.asarray(_scan(table, block, key))[: n - start]
    return out


def mid_infrared(axis: NDArray[np.float64]) -> Optics:
    """Returns the constituents on an axis in cm-1 within 600-4000."""
    absorption, mirror = _fundamentals(axis)
    return Optics(
        axis=axis,
        absorption=absorption,
        mirror=mirror,
        # Multi-phonon absorption of the silicates rises towards the lattice bands, steeply below 1700 cm-1.
        base=(0.003 + 5.8 * _step(axis, 700.0, 430.0) + 2.8 * _step(axis, 1600.0, 95.0)).astype(np.float32),
        dark=(0.5 + 0.8 * np.exp(-(((axis - 1300.0) / 900.0) ** 2))).astype(np.float32),
        scatter=(0.37 * (axis / 2300.0) ** 0.1).astype(np.float32),
        coarse=0.5,
        gas=carbon_dioxide_profile(axis).astype(np.float32),
        # The detector and the beam splitter are weakest at the ends.
        noise=(1.0 + 4.0 * np.exp(-(axis - 600.0) / 60.0) + 1.0 * np.exp(-(4000.0 - axis) / 250.0)).astype(np.float32),
    )


def near_infrared(axis: NDArray[np.float64], resolution: float = 16.0) -> Optics:
    """Returns the constituents on an axis in nm, bands broadened by the instrument (full width, nm)."""
    absorption = np.zeros((2 * len(CONSTITUENTS), axis.size))
    for at, constituent, form in _forms():
        for band in constituent.overtones:
            # The second form lies where its fundamentals do: the relative shift is that of the mid-infrared.
            centre = band.centre / (1.0 + form * constituent.shift / 2000.0)
            width = np.hypot(band.width * (constituent.broadening if form else 1.0), resolution)
            absorption[at] += band.strength * band.width / width * gaussian(axis, centre, width)
    oxides = 1.6 * np.exp(-(axis - 1350.0) / 120.0)  # the wing of the crystal-field band near 900 nm
    absorption[[NAMES.index("iron oxides"), NAMES.index("iron oxides") + len(NAMES)]] += oxides
    water = 3.0 * np.exp((axis - 2550.0) / 130.0)  # the wing of the fundamentals near 2900 nm
    absorption[[NAMES.index("water"), NAMES.index("water") + len(NAMES)]] += water
    zeros = np.zeros_like(absorption, dtype=np.float32)
    return Optics(
        axis=axis,
        absorption=absorption.astype(np.float32),
        # No lattice bands: all constituents mirror alike.
        mirror=zeros + _fresnel(np.full(axis.size, _PERMITTIVITY)).astype(np.float32),
        base=(0.035 + 0.02 * (axis - 1350.0) / 1200.0).astype(np.float32),
        dark=(0.9 + 3.0 * np.exp(-(axis - 1350.0) / 600.0)).astype(np.float32),
        scatter=((axis / 1950.0) ** -0.4).astype(np.float32),
        coarse=1.1,
        gas=np.zeros(axis.size, np.float32),
        noise=(1.0 + 2.0 * np.exp(-(2550.0 - axis) / 60.0) + np.exp(-(axis - 1350.0) / 60.0)).astype(np.float32),
    )


def both_forms(mass: NDArray, logits: NDArray) -> NDArray[np.float64]:
    """Returns (n, 2 K): the mass in the first and in the second form."""
    second = 1.0 / (1.0 + np.exp(-logits))
    return np.concatenate([mass * (1.0 - second), mass * second], axis=1)


def _step(axis: NDArray, centre: float, width: float) -> NDArray:
    """1 far below ``centre``, 0 far above."""
    return 1.0 / (1.0 + np.exp((axis - centre) / width))


def _fresnel(permittivity: NDArray) -> NDArray:
    """What a plane surface reflects at normal incidence."""
    index = np.sqrt(permittivity)
    return np.abs((index - 1.0) / (index + 1.0)) ** 2


def _fundamentals(axis: NDArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns absorption and mirrored share (2 K, M).

    Bands are half Gaussian, half Lorentzian; hydrogen bonds, which broaden the widest, leave no Lorentzian wings.
    """
    absorption = np.zeros((2 * len(CONSTITUENTS), axis.size))
    permittivity = np.full(absorption.shape, _PERMITTIVITY, np.complex128)
    for at, constituent, form in _forms():
        for band in constituent.bands:
            centre = band.centre * (1.0 + form * constituent.shift / 2000.0)
            width = band.width * (constituent.broadening if form else 1.0)
            height = band.strength * band.width / width
            half = width / 2.0
            lorentz = half**2 / ((axis - centre) ** 2 + half**2)
            gauss = gaussian(axis, centre, width)
            absorption[at] += height * (gauss if band.width >= _BROAD else 0.5 * (lorentz + gauss))
            if band.kind == MINERAL and band.strength >= _LATTICE and band.centre < 1600.0:
                strength, damping = _OSCILLATOR * height * width / centre, _DAMPING * width
                permittivity[at] += strength * centre**2 / (centre**2 - axis**2 - 1j * damping * axis)
    return absorption.astype(np.float32), _fresnel(permittivity).astype(np.float32)


def _forms() -> list[tuple[int, Constituent, int]]:
    """Returns row, constituent and form (0 or 1) of the tables of ``Optics``."""
    k = len(CONSTITUENTS)
    return [(row + form * k, constituent, form) for form in (0, 1) for row, constituent in enumerate(CONSTITUENTS)]


def _device_table(optics: Optics) -> dict[str, Any]:
    names = ("absorption", "mirror", "base", "dark", "scatter", "gas", "noise")
    table = {name: getattr(optics, name) for name in names}
    scaled = 2.0 * (optics.axis - optics.axis[0]) / (optics.axis[-1] - optics.axis[0]) - 1.0
    # dA = A' dx with dx = shift * x.
    slope = optics.axis / np.gradient(optics.axis)
    extra = {"scaled": scaled, "slope": slope, "coarse": optics.coarse, "organic": np.isin((*NAMES, *NAMES), ORGANICS)}
    return {name: np.asarray(value, np.float32) for name, value in (table | extra).items()}


def _key(seed: int, stream: int) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), stream)


@jax.jit
def _normal(key: jax.Array, rows: jax.Array) -> jax.Array:
    return jax.vmap(lambda row: jax.random.normal(jax.random.fold_in(key, row), (_WIDTH,), jnp.float32))(rows)


@jax.jit
def _scan(table: _Arrays, scan: _Arrays, key: jax.Array) -> jax.Array:
    """Returns (ROWS, M) absorbances."""
    column = {name: value[:, None] for name, value in scan.items() if value.ndim == 1}
    row = {name: value[None, :] for name, value in table.items() if value.ndim == 1}
    mass = scan["mass"]
    highest = jax.lax.Precision.HIGHEST
    organic = jnp.dot(mass, table["organic"], precision=highest)[:, None]
    absorbed = jnp.dot(mass, table["absorption"], precision=highest) + row["base"] + organic * row["dark"]
    scattered = row["scatter"] * jnp.exp(column["packing"] - table["coarse"] * (column["sand"] - 0.4))
    ratio = absorbed / scattered
    # 1 + F - sqrt(F^2 + 2 F) cancels for large F; this is the same number.
    diffuse = 1.0 / (1.0 + ratio + jnp.sqrt(ratio * (ratio + 2.0)))
    mirrored = column["mirrored"] * jnp.dot(mass, table["mirror"], precision=highest)
    absorbance = -jnp.log10(mirrored + (1.0 - mirrored) * diffuse)
    return _instrument(absorbance, row, column, scan["number"], key)


def _instrument(absorbance: jax.Array, row: _Arrays, column: _Arrays, number: jax.Array, key: jax.Array) -> jax.Array:
    """Absorbances (ROWS, M) as the instrument records them: blurred, shifted, scaled, with baseline, gas and noise."""
    padded = jnp.pad(absorbance, ((0, 0), (1, 1)), mode="edge")
    left, right = padded[:, :-2], padded[:, 2:]
    seen = absorbance + column["blur"] * (left + right - 2.0 * absorbance)
    seen = seen + column["shift"] * row["slope"] * 0.5 * (right - left)
    scaled = row["scaled"]
    curve = scaled**2 - 1.0 / 3.0
    seen = column["gain"] * seen + column["offset"] + column["tilt"] * scaled + column["curve"] * curve
    seen = seen + column["gas"] * row["gas"]
    bands = absorbance.shape[1]
    white = jax.vmap(lambda scan: jax.random.normal(jax.random.fold_in(key, scan), (bands,), jnp.float32))(number)
    return seen + column["noise"] * row["noise"] * white
