"""Plausibility of spectra on entry: mistakes of unit, scale and quantity that would otherwise stay silent.

Each check can be switched off by name (``confirm`` in a manifest) once somebody has looked at the data.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import check_axis, check_finite

CHECKS = {
    "unit": "nm against cm-1",
    "scale": "percent against fraction",
    "range": "reflectance in (0, 1.5], absorbance in [-0.3, 4]",
    "quantity": "reflectance against absorbance, by the water and hydroxyl bands",
}

RANGES = {"reflectance": (0.0, 1.5), "absorbance": (-0.3, 4.0), "pretreated": (-np.inf, np.inf)}
"""Values that a spectrum of soil may have; a reflectance lies above its lower end."""

Floats = NDArray[np.floating]

# Water and hydroxyl bands of soils in nm (Stenberg et al. 2010, Adv. Agron. 107): centre and two shoulders.
# They are troughs of reflectance and peaks of absorbance.
_WATER_BANDS_NM = ((1930.0, 1830.0, 2120.0), (1420.0, 1330.0, 1560.0))
_HALF_WINDOW_NM = 10.0
# Soils brighten from blue to red: iron oxides and organic matter absorb towards the blue.
_VISIBLE_NM = (510.0, 650.0)
# The O-H stretching of water and clays near 3400 cm-1 against the transparent window near 2600 cm-1.
_MIR_CM = (2600.0, 3400.0)
_HALF_WINDOW_CM = 50.0


def check_entry(
    values: Floats, axis: Floats, unit: str, quantity: str, *, source: object = None, confirm: Collection[str] = ()
) -> None:
    """Raises DataError for the first implausibility in spectra that come from outside.

    Args:
      values: (n, m) values after scaling.
      axis: (m,) axis in ``unit``, ascending.
      unit: "nm" or "cm-1".
      quantity: "reflectance", "absorbance" or "pretreated" (of which only axis and NaN are checked).
      source: file or table, for the message.
      confirm: names of checks in ``CHECKS`` that are not made.
    """
    check_axis(axis, source=source)
    check_finite(values, axis, source=source)
    if "unit" not in confirm:
        check_unit(axis, unit, source=source)
    if quantity == "pretreated" or values.size == 0:
        return
    if "scale" not in confirm:
        check_scale(values, quantity, source=source)
    for name, check in (("quantity", check_quantity), ("range", check_range)):
        if name not in confirm:
            check(values, axis, unit, quantity, source=source)


def check_unit(axis: Floats, unit: str, *, source: object = None) -> None:
    """Raises DataError where an axis declared in one unit looks like one in the other.

    Wavelengths beyond 3000 nm that begin below 1500 nm, or that have steps of one size as an interferometer has
    only in wavenumbers, are taken for cm-1. Wavenumbers between 300 and 2600 that span 700 or more are taken
    for nm, since mid-infrared spectra of soils hold the O-H and C-H stretching above 2600 cm-1.
    """
    low, high = float(axis[0]), float(axis[-1])
    steps = np.diff(axis)
    even = steps.size > 1 and steps.max() < 2.0 * steps.min()
    looks = unit
    if unit == "nm" and high > 3000.0 and (low < 1500.0 or even):
        looks = "cm-1"
    if unit == "cm-1" and low >= 300.0 and high <= 2600.0 and high - low >= 700.0:
        looks = "nm"
    if looks != unit:
        problem = f"the axis is declared in {unit} but looks like {looks}"
        value = f"{low:g} to {high:g}, {axis.size} bands"
        remedy = f'Write unit = "{looks}" under [axis], or confirm = ["unit"] if {unit} is right.'
        raise DataError(problem, source=source, column="axis", value=value, remedy=remedy)


def check_scale(values: Floats, quantity: str, *, source: object = None) -> None:
    """Raises DataError where reflectance looks like percent, or like a fraction divided by 100 again."""
    middle, brightest = float(np.median(values)), float(np.median(values.max(axis=1)))
    value = f"median {middle:.3g}"
    if quantity == "reflectance" and middle > 1.5:
        problem = "reflectance must be a fraction but looks like percent"
        remedy = 'Write scale = 0.01 under [values], or confirm = ["scale"] if the scale is right.'
    elif quantity == "reflectance" and 0.0 < brightest < 0.02:
        problem = "reflectance looks like a fraction divided by 100 again"
        value = f"half of the spectra stay below {brightest:.3g}"
        remedy = 'Write scale = 1 under [values] (only percent needs 0.01), or confirm = ["scale"].'
    elif quantity == "absorbance" and middle > 5.0:
        problem = "absorbance log10(1/R) of soils lies between 0 and 2"
        remedy = 'If this is reflectance in percent, write quantity = "reflectance" and scale = 0.01.'
    else:
        return
    raise DataError(problem, source=source, column="all bands", value=value, remedy=remedy)


def check_range(values: Floats, axis: Floats, unit: str, quantity: str, *, source: object = None) -> None:
    """Raises DataError that names the first value outside (0, 1.5] (reflectance) or [-0.3, 4] (absorbance)."""
    bad = outside_range(values, quantity)
    if not bad.any():
        return
    row, band = (int(index[0]) for index in np.nonzero(bad))
    interval = "(0, 1.5]" if quantity == "reflectance" else "[-0.3, 4]"
    value = f"{values[row, band]:.4g} in row {row}; {int(bad.any(axis=1).sum())} rows"
    told = {"source": source, "column": f"{axis[band]:g} {unit}", "value": value}
    remedy = "Leave those bands out (low, high under [axis]), exclude those rows with a reason, "
    remedy += 'or confirm = ["range"] if the values are right.'
    raise DataError(f"{quantity} lies outside {interval}", remedy=remedy, **told)


def outside_range(values: Floats, quantity: str) -> NDArray[np.bool_]:
    """Returns which values lie outside :data:`RANGES`; NaN does."""
    low, high = RANGES[quantity]
    with np.errstate(invalid="ignore"):
        return ~((values > low if quantity == "reflectance" else values >= low) & (values <= high))


def check_quantity(values: Floats, axis: Floats, unit: str, quantity: str, *, source: object = None) -> None:
    """Raises DataError where most spectra show their bands the wrong way round for the declared quantity.

    The evidence is the first that the axis covers of: water near 1930 nm against its shoulders, water and
    hydroxyl near 1420 nm, the slope from 510 to 650 nm, and the O-H stretching near 3400 cm-1 against 2600 cm-1.
    An axis that covers none of them is not judged.
    """
    evidence = _absorbance_evidence(values, axis, unit)
    if evidence is None:
        return
    what, peaks = evidence
    looks = "absorbance" if quantity == "reflectance" else "reflectance"
    share = float(np.mean(peaks)) if looks == "absorbance" else 1.0 - float(np.mean(peaks))
    if share > 0.5:
        problem = f"declared {quantity} but looks like {looks}"
        remedy = f'Write quantity = "{looks}" under [values], or confirm = ["quantity"] if {quantity} is right.'
        raise DataError(problem, source=source, column=what, value=f"{100 * share:.0f} % of the spectra", remedy=remedy)


def _absorbance_evidence(values: Floats, axis: Floats, unit: str) -> tuple[str, NDArray[np.bool_]] | None:
    """Returns what was looked at, and (n,) whether each spectrum looks like absorbance; None without evidence."""
    nm, cm = (axis, 1e7 / axis) if unit == "nm" else (1e7 / axis, axis)
    for centre, left, right in _WATER_BANDS_NM:
        middle, low, high = (_window(values, nm, at, _HALF_WINDOW_NM) for at in (centre, left, right))
        if middle is not None and low is not None and high is not None:
            weight = (centre - left) / (right - left)
            return f"the water band near {centre:g} nm", middle > (1 - weight) * low + weight * high
    blue, red = (_window(values, nm, at, _HALF_WINDOW_NM) for at in _VISIBLE_NM)
    if blue is not None and red is not None:
        return "the slope from 510 to 650 nm", blue > red
    clear, hydroxyl = (_window(values, cm, at, _HALF_WINDOW_CM) for at in _MIR_CM)
    if clear is not None and hydroxyl is not None:
        return "the O-H band near 3400 cm-1", hydroxyl > clear
    return None


def _window(values: Floats, axis: Floats, centre: float, half: float) -> Floats | None:
    inside = np.abs(axis - centre) <= half
    return values[:, inside].mean(axis=1, dtype=np.float64) if inside.any() else None
