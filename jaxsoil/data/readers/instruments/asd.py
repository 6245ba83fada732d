"""ASD FieldSpec binary files, versions 1 to 8.

Layout: ASD Inc., "ASD File Format: Version 8", Rev. B (2012). A header of 484 bytes is followed by the spectrum and,
from version 2 on, by the white reference. What comes after these is not needed for a reflectance.
"""

from __future__ import annotations

import struct

import numpy as np

from jaxsoil.data.readers.instruments.reading import MOST_BANDS, Reading, Source, make

VERSIONS = (b"ASD", b"as2", b"as3", b"as4", b"as5", b"as6", b"as7", b"as8")
"""First three bytes of the versions 1 to 8."""

HEADER = 484
DATA_TYPE, FIRST, STEP, FORMAT, CHANNELS, NUMBER, MODEL = 186, 191, 195, 199, 204, 400, 431
"""Offsets in the header: kind of data, first wavelength, step, number format, channels, serial number, model."""

REFERENCE = 18
"""Bytes of the reference's header before its description: a flag (2) and two times (8 each)."""

TYPES = ("raw", "reflectance", "radiance", "no units", "irradiance", "quality index", "transmittance", "unknown",
         "absorbance")  # fmt: skip
MODELS = ("", "PSII", "LSVNIR", "FieldSpec VNIR", "FieldSpec FR", "FieldSpec NIR", "CHEM", "FieldSpec FR unattended")
_NUMBERS = {0: "<f4", 1: "<i4", 2: "<f8"}


def read(source: Source) -> Reading:
    """Returns the one spectrum of a file: spectrum over reference where it holds both.

    Raises:
      DataError: a truncated file, raw counts without a reference, radiance and other kinds that are no reflectance.
    """
    data = source.content()
    if len(data) < HEADER or data[:3] not in VERSIONS:
        raise source.damaged("the header is cut off", f"{len(data)} bytes")
    kind, code = data[DATA_TYPE], data[FORMAT]
    first, step = struct.unpack_from("<ff", data, FIRST)
    (channels,) = struct.unpack_from("<H", data, CHANNELS)
    (serial,) = struct.unpack_from("<H", data, NUMBER)
    if code not in _NUMBERS or not 0 < channels <= MOST_BANDS or not (np.isfinite(first) and step > 0):
        raise source.damaged("the header does not hold together", f"{channels} channels, number format {code}")
    numbers = np.dtype(_NUMBERS[code])
    end = HEADER + channels * numbers.itemsize
    if len(data) < end:
        raise source.damaged("the spectrum is cut off", f"{len(data)} of {end} bytes")
    spectrum = np.frombuffer(data, numbers, channels, HEADER).astype(np.float64)
    name = TYPES[kind] if kind < len(TYPES) else f"data of type {kind}"
    reference = _reference(source, data, end, numbers, channels) if data[:3] != VERSIONS[0] else None
    quantity = "absorbance" if name == "absorbance" else "reflectance"
    if name not in ("raw", "reflectance", "absorbance"):
        raise source.error(f"the file holds {name}", "Export reflectance.")
    if name == "raw" and reference is None:
        raise source.error("raw counts without a white reference are no reflectance", "Export reflectance.")
    if name != "absorbance" and reference is not None:
        if np.median(reference) > 100.0 * max(float(np.abs(spectrum).max()), 1e-30):
            value = f"up to {spectrum.max():.3g} against {np.median(reference):.3g}"
            raise source.error("spectrum and reference are not of one kind", "Export reflectance.", value=value)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            spectrum = spectrum / reference
    axis = first + float(step) * np.arange(channels)
    model = MODELS[data[MODEL]] if data[MODEL] < len(MODELS) else ""
    return make(source, "ASD", axis, spectrum, unit="nm", quantity=quantity, instrument=f"ASD {model} {serial}")


def _reference(source: Source, data: bytes, at: int, numbers: np.dtype, channels: int) -> np.ndarray | None:
    """Returns the white reference, None where all of it is zero."""
    if len(data) < at + REFERENCE + 2:
        raise source.damaged("the reference is cut off", f"{len(data)} bytes")
    (length,) = struct.unpack_from("<h", data, at + REFERENCE)
    start = at + REFERENCE + 2 + length
    if length < 0 or len(data) < start + channels * numbers.itemsize:
        raise source.damaged("the reference is cut off", f"{len(data)} of {start + channels * numbers.itemsize} bytes")
    reference = np.frombuffer(data, numbers, channels, start).astype(np.float64)
    return reference if np.any(reference) else None
