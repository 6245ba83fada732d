"""JCAMP-DX files (McDonald and Wilks 1988, Appl. Spectrosc. 42, 151), decoded by jcamp (MIT)."""

from __future__ import annotations

import contextlib
import io
import re
from typing import Any

import numpy as np

from jaxsoil.data.readers.instruments.reading import MOST_BANDS, Reading, Source, make, optional, quantity_in, unit_in

# Lines have 80 characters; the decoding of repeated digits takes time and memory with the square of their length.
_LONGEST = 1024


def read(source: Source) -> Reading:
    """Returns the one spectrum of a file.

    Raises:
      DataError: several spectra in one file, points that are missing, a checksum of differences that fails, peaks
        instead of a spectrum, units that are no spectrum's.
    """
    with optional("jcamp"):
        import jcamp

    text = source.content().decode("utf-8", "replace")
    lines = text.splitlines()
    if "\0" in text or any(len(line) > _LONGEST for line in lines if not line.startswith(("##", "$$"))):
        raise source.damaged("the file holds NUL bytes, or lines longer than the format allows")
    # The axis is made from NPOINTS before the points are counted.
    if any(int(number) > MOST_BANDS for number in re.findall(r"(?im)^#+\s*npoints\s*=\s*([0-9]+)", text)):
        raise source.damaged("the number of points is damaged")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        content: dict[str, Any] = jcamp.read([line + "\n" for line in lines])
    if "children" in content:
        raise source.error("the file holds several spectra", "Export each to a file of its own.")
    points = content.get("npoints")
    x, y = np.asarray(content.get("x", [])), np.asarray(content.get("y", []))
    if not ({"xydata", "xypoints"} & content.keys()) or not isinstance(points, int) or points > MOST_BANDS:
        raise source.damaged("the file holds no spectrum", f"{points} points")
    if "Y-Check failed" in printed.getvalue() or len(x) != points or len(y) != points:
        raise source.damaged("points are missing or damaged", f"{len(x)} and {len(y)} of {points}")
    ends = [content.get(key) for key in ("firstx", "lastx")]
    if all(isinstance(end, int | float) for end in ends) and not np.allclose(x[[0, -1]], np.array(ends), rtol=1e-3):
        raise source.damaged("the axis does not run from FIRSTX to LASTX", f"{x[0]:g} to {x[-1]:g}")
    words = str(content.get("yunits", ""))
    made_by = next((str(content[key]) for key in ("spectrometer/data system", "origin") if key in content), "")
    # The name of a quantity that is none of a spectrum's is handed on; "arbitrary units" name none.
    other = None if not words.strip() or "arbitrary" in words.lower() else words.strip().lower()
    unit, quantity = unit_in(str(content.get("xunits", ""))), quantity_in(words) or other
    return make(source, "JCAMP-DX", x, y, unit=unit, quantity=quantity, instrument=made_by)
