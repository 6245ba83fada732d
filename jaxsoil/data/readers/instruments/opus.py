"""Bruker OPUS files, read by brukeropus (MIT), block by block after a check that each can be parsed."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from jaxsoil.data.readers.instruments.reading import MOST_BANDS, Reading, Source, make, optional

# Data blocks by the fourth number of their type, best first; the rest (interferograms, phases) are no result.
_QUANTITIES = {4: "absorbance", 15: "absorbance", 12: "reflectance", 5: "transmittance"}
_UNITS = {"WN": "cm-1", "MI": "um"}


def read(source: Source) -> Reading:
    """Returns the result spectrum of a file: absorbance, else reflectance.

    Raises:
      DataError: a truncated or damaged file, or one without such a block (single channels, interferograms, series).
    """
    with optional("brukeropus"):
        from brukeropus.file import FileBlock, pair_data_and_status_blocks, parse_directory, parse_header

    data = source.content()
    _, start, most, _ = parse_header(data)
    if start <= 0 or most <= 0 or start >= len(data):
        raise source.damaged("the directory lies outside the file", f"at {start} of {len(data)} bytes")
    blocks, instrument = [], ""
    for kind, size, at in parse_directory(data[start : min(start + 12 * most, len(data))]):
        is_parameters = kind[2] > 0
        if (not is_parameters and kind[3] not in _QUANTITIES) or kind[5] == 2 or size <= 0:
            continue
        if at + size > len(data):
            raise source.damaged("a block reaches beyond the end of the file", f"{at + size} of {len(data)} bytes")
        if is_parameters and not _is_sound(data[at : at + size]):
            raise source.damaged("a block of parameters is damaged", f"at byte {at}")
        block = FileBlock(filebytes=data, block_type=kind, size=size, start=at)
        block.parse()
        if block.parse_error:
            raise source.damaged("a block cannot be parsed", block.parse_error)
        if is_parameters and kind[2] == 2 and isinstance(block.data, dict):
            instrument = str(block.data.get("ins", instrument))
        blocks.append(block)
    pairs = pair_data_and_status_blocks([block for block in blocks if block.type[2] in (0, 1)])
    for code, quantity in _QUANTITIES.items():
        for block, status in pairs:
            if block.type[3] == code and block.type[4] == 0:
                return _reading(source, block, status.data, quantity, instrument)
    remedy = "Keep the result block (absorbance or reflectance) when the file is saved."
    raise source.error("the file holds no absorbance and no reflectance", remedy, value=f"{len(pairs)} spectra")


def _reading(source: Source, block: Any, status: dict[str, Any], quantity: str, instrument: str) -> Reading:
    points, first, last, unit = (status.get(name) for name in ("npt", "fxv", "lxv", "dxu"))
    if not isinstance(points, int) or not 0 < points <= min(MOST_BANDS, len(block.data)):
        raise source.damaged("the number of points is damaged", f"{points!r} of {len(block.data)}")
    if not isinstance(first, float) or not isinstance(last, float) or status.get("dpf", 1) != 1 or unit not in _UNITS:
        raise source.damaged("the axis is damaged or no spectrum's", f"{first!r} to {last!r} {unit!r}")
    values = block.data[-points:] if block.is_compact_data() else block.data[:points]
    values = values.astype(np.float64) * float(status.get("csf", 1.0))
    axis = np.linspace(first, last, points)
    return make(source, "OPUS", axis, values, unit=_UNITS[unit], quantity=quantity, instrument=instrument)


def _is_sound(block: bytes) -> bool:
    """Whether the parameters follow each other within the block; a negative length would hold the parser for ever."""
    at = 0
    while at + 8 <= len(block) and block[at : at + 3] != b"END":
        length = struct.unpack_from("<h", block, at + 6)[0]
        if length < 0:
            return False
        at += 8 + 2 * length
    return True
