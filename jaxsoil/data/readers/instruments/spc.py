"""Galactic (Thermo GRAMS) SPC files of the new format, byte order least significant first.

Layout: Galactic Industries, "Universal Data Format Specification" (1997). A header of 512 bytes, the axis where it is
uneven, then a header of 32 bytes and the values of every spectrum.
"""

from __future__ import annotations

import struct

import numpy as np

from jaxsoil.data.readers.instruments.reading import MOST_BANDS, Reading, Source, make

HEADER = struct.Struct("<BBBbiddiBBBBi9s9sH32s130s30siiBBHf48sfifB187s")
SUBHEADER = struct.Struct("<BbHfffiif4s")
NEW = 0x4B
"""Version byte (the second) of the format that is read."""

SHORT, MULTIPLE, EACH_X, UNEVEN = 1, 4, 64, 128
"""Bits of the first byte: 16-bit values, several spectra, an axis for each, an uneven axis."""

UNITS = {0: None, 1: "cm-1", 2: "um", 3: "nm", 255: None}
QUANTITIES = {0: None, 2: "absorbance", 10: "absorbance", 11: None, 128: "transmittance", 129: "reflectance"}
_OLDER = {0x4C: "byte order most significant first", 0x4D: "the old format of LabCalc", 0xCF: "the Shimadzu format"}


def read(source: Source) -> Reading:
    """Returns the spectra of a file; several get its name and their number as ids.

    Raises:
      DataError: a truncated or damaged file, an older format, an axis for each spectrum, units that are no spectrum's.
    """
    data = source.content()
    if len(data) > 1 and data[1] in _OLDER:
        raise source.error(f"{_OLDER[data[1]]} is not read", "Save it as SPC of the new format, or as JCAMP-DX.")
    if len(data) < HEADER.size or data[1] != NEW:
        raise source.damaged("the header is cut off or no SPC header", f"{len(data)} bytes")
    flags, _, _, exponent, points, first, last, count, x_type, y_type, _, _, _, _, maker, *_ = HEADER.unpack_from(data)
    if x_type not in UNITS or y_type not in QUANTITIES:
        remedy = "Export reflectance or absorbance along nm, um or cm-1."
        raise source.error("the file holds no spectrum", remedy, value=f"axis of type {x_type}, values of {y_type}")
    if flags & EACH_X:
        raise source.error("every spectrum has an axis of its own", "Export each spectrum to a file of its own.")
    uneven = bool(flags & UNEVEN)
    width = 2 if flags & SHORT and exponent != -128 else 4
    count = max(count, 1)
    needed = HEADER.size + 4 * points * uneven + count * (SUBHEADER.size + width * points)
    if not 0 < points <= MOST_BANDS or needed > len(data):
        value = f"{len(data)} of {needed} bytes, {count} spectra of {points} points"
        raise source.damaged("the file is cut off", value)
    at = HEADER.size
    axis = np.linspace(first, last, points)
    if uneven:
        axis, at = np.frombuffer(data, "<f4", points, at).astype(np.float64), at + 4 * points
    values = np.empty((count, points))
    for row in range(count):
        own = SUBHEADER.unpack_from(data, at)[1]
        # The exponent of a spectrum counts in files of several spectra only; others leave it at zero.
        power = own if flags & MULTIPLE else exponent
        floats = -128 in (power, exponent)
        numbers = np.frombuffer(data, "<f4" if floats else f"<i{width}", points, at + SUBHEADER.size)
        values[row] = numbers if floats else numbers * 2.0 ** (power - 8 * width)
        at += SUBHEADER.size + width * points
    ids = [source.path.stem] if count == 1 else [f"{source.path.stem}:{row}" for row in range(count)]
    maker = maker.split(b"\0")[0].decode("latin-1")
    return make(source, "SPC", axis, values, unit=UNITS[x_type], quantity=QUANTITIES[y_type], ids=ids, instrument=maker)
