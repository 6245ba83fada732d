"""ENVI headers with their images (bsq, bil, bip) and spectral libraries.

Layout: L3Harris Geospatial, "ENVI Header Files": a text of ``key = value`` or ``key = {value, ...}`` beside a file of
plain numbers. An image is mapped, not read: :meth:`Image.tile` gives some rows at a time.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data.readers.instruments.reading import (
    MIN_BANDS,
    MOST_BANDS,
    MOST_BYTES,
    Reading,
    Refusal,
    Source,
    guarded,
    make,
    quantity_in,
    settled_axis,
    unit_in,
)

TYPES = {1: "u1", 2: "i2", 3: "i4", 4: "f4", 5: "f8", 12: "u2", 13: "u4", 14: "i8", 15: "u8"}
"""``data type`` of a header; complex numbers are no spectra."""

# Order of (row, sample, band) in the file: axes of the stored array that become these.
_ORDERS = {"bsq": (1, 2, 0), "bil": (0, 2, 1), "bip": (0, 1, 2)}
_DATA_SUFFIXES = ("", ".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".sli", ".bin")
_MOST_HEADER = 16 << 20


@dataclasses.dataclass(frozen=True, eq=False)
class Image:
    """An image on disk.

    Args:
      path: the header.
      axis: (bands,) wavelengths or wavenumbers, ascending; bands that the header calls bad are left out.
      unit: "nm" or "cm-1".
      quantity: "reflectance" or "absorbance".
      shape: (rows, samples, bands).
      nodata: the number in the file that stands for no data, or None.
      instrument: sensor type in the header.
      data: the file of numbers.
    """

    path: Path
    axis: NDArray[np.float64]
    unit: str
    quantity: str
    shape: tuple[int, int, int]
    nodata: float | None
    instrument: str
    data: Path
    _stored: NDArray
    _bands: NDArray[np.intp]
    _factor: float

    def tile(self, rows: slice | Sequence[int]) -> NDArray[np.float32]:
        """Returns (rows, samples, bands) float32 in units of the quantity; NaN in the pixels without data."""
        block = np.asarray(self._stored[rows][..., self._bands], dtype=np.float64)
        empty = ~np.isfinite(block)
        if self.nodata is not None:
            empty |= block == self.nodata
        with np.errstate(over="ignore", invalid="ignore"):
            values = (block * self._factor).astype(np.float32)
        values[empty.any(axis=2)] = np.nan
        return values


def open(path: str | Path, *, quantity: str | None = None, unit: str | None = None) -> Image:
    """Returns the image of a header, or of the image file beside one; nothing but the header is read.

    Args:
      path: the header (.hdr) or its image.
      quantity, unit: what the header does not say.

    Raises:
      DataError: a header that is damaged or absent, an image shorter than the header says, no wavelengths.
    """
    source = Source(Path(path), quantity, unit)
    with guarded(source, "ENVI"):
        source, header = _header(source)
        return _image(source, header)


def read(source: Source) -> Reading:
    """Returns the spectra of a spectral library, or every pixel of a small image (name:row,sample is its id).

    Raises:
      DataError: as :func:`open`; an image larger than ``MOST_BYTES`` as float32.
    """
    source, header = _header(source)
    if "library" in header.get("file type", "").lower():
        image = _image(source, {**header, "bands": header["samples"], "samples": "1", "interleave": "bip"})
        n = image.shape[0]
        ids = _list(header.get("spectra names", ""))
        ids = ids if len(ids) == n else [f"{source.path.stem}:{row}" for row in range(n)]
    else:
        image = _image(source, header)
        rows, samples, bands = image.shape
        if 4 * rows * samples * bands > MOST_BYTES:
            remedy = "Open it with instruments.envi.open(path) and take tiles."
            raise source.error("the image is too large to be read at once", remedy, value=f"shape {image.shape}")
        ids = [f"{source.path.stem}:{row},{sample}" for row in range(rows) for sample in range(samples)]
    values = image.tile(slice(None)).reshape(-1, image.shape[2])
    empty = np.isnan(values).all(axis=1)
    refused = [Refusal("pixels", f"{int(empty.sum())} without data")] if empty.any() else []
    kept = [name for name, leave in zip(ids, empty, strict=True) if not leave]
    return make(
        Source(source.path), "ENVI", image.axis, values[~empty], unit=image.unit, quantity=image.quantity, ids=kept,
        refused=refused, instrument=image.instrument,
    )  # fmt: skip


def _header(source: Source) -> tuple[Source, dict[str, str]]:
    """Returns the header's path as a source, and its keys in lower case."""
    path = source.path
    if path.suffix.lower() != ".hdr":
        beside = [Path(f"{path}.hdr"), path.with_suffix(".hdr"), path.with_suffix(".HDR")]
        header = next((one for one in beside if one.is_file()), None)
        if header is None:
            raise source.error("no header lies beside the image", f"Put {beside[1].name} beside it.")
        path = header
    source = dataclasses.replace(source, path=path)
    if path.stat().st_size > _MOST_HEADER:
        raise source.damaged("the header is too large", f"{path.stat().st_size} bytes")
    text = path.read_bytes().decode("utf-8", "replace")
    if not text.lstrip("\ufeff").startswith("ENVI") or "\0" in text:
        raise source.damaged("the header does not begin with ENVI, or holds NUL bytes", repr(text[:12]))
    fields = re.findall(r"^[ \t]*([A-Za-z][^=\n{}]*?)[ \t]*=[ \t]*(\{[^{}]*\}|[^{}\n]*)", text, re.MULTILINE)
    return source, {key.strip().lower(): value.strip() for key, value in fields}


def _image(source: Source, header: dict[str, str]) -> Image:
    rows, samples, bands = (_whole(source, header, key) for key in ("lines", "samples", "bands"))
    offset = _whole(source, header, "header offset", 0)
    code, endian = _whole(source, header, "data type"), _whole(source, header, "byte order", 0)
    interleave = header.get("interleave", "bsq").lower()
    if code not in TYPES or interleave not in _ORDERS or endian not in (0, 1) or not MIN_BANDS <= bands <= MOST_BANDS:
        value = f"data type {code}, interleave {interleave}, byte order {endian}, {bands} bands"
        raise source.error("the header describes no image of spectra", "Export real numbers in bands.", value=value)
    numbers = np.dtype(TYPES[code]).newbyteorder(">" if endian else "<")
    data = _data_file(source)
    needed, size = offset + rows * samples * bands * numbers.itemsize, data.stat().st_size
    if needed > size or 0 in (rows, samples):
        raise source.damaged("the image is shorter than its header says", f"{size} of {needed} bytes in {data.name}")
    wavelengths = np.array([float(text) for text in _list(header.get("wavelength", ""))])
    good = np.array([float(text) for text in _list(header.get("bbl", ""))]) != 0
    good = good if good.size else np.ones(bands, bool)
    if wavelengths.size != bands or good.size != bands:
        remedy = "Add the key wavelength, with a number for each band."
        raise source.error("the header does not give the bands", remedy, value=f"{wavelengths.size} of {bands}")
    names = np.flatnonzero(good)
    axis, unit, _, descends = settled_axis(source, wavelengths[good], unit_in(header.get("wavelength units", "")))
    names = names[::-1] if descends else names
    words = " ".join(header.get(key, "") for key in ("y plot titles", "z plot titles", "data units", "description"))
    factor = float(header.get("reflectance scale factor") or 1.0)
    if not 0 < factor < np.inf:
        raise source.damaged("the scale factor is damaged", factor)
    quantity = source.settle("quantity", "reflectance" if factor != 1.0 else quantity_in(words))
    if quantity == "reflectance_percent":
        quantity, factor = "reflectance", 100.0 * factor
    order = _ORDERS[interleave]
    stored = np.memmap(data, numbers, "r", offset, tuple((rows, samples, bands)[axis] for axis in np.argsort(order)))
    nodata = header.get("data ignore value")
    if nodata is not None:
        # As the file holds it: -3.4028235e38 is another number in float64.
        nodata = float(numbers.type(nodata)) if numbers.kind == "f" else float(nodata)
    return Image(
        source.path, axis, unit, quantity, (rows, samples, int(names.size)), nodata, header.get("sensor type", ""),
        data, np.transpose(stored, order), names, 1.0 / factor,
    )  # fmt: skip


def _data_file(source: Source) -> Path:
    stem = source.path.with_suffix("")
    for suffix in _DATA_SUFFIXES:
        path = Path(f"{stem}{suffix}")
        if path.is_file() and path.suffix.lower() != ".hdr":
            return path
    remedy = f"Put it beside the header, as {stem.name}.img or {stem.name}."
    raise source.error("the image of the header is absent", remedy)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.strip("{} \n\r\t").split(",") if part.strip()]


def _whole(source: Source, header: dict[str, str], key: str, default: int | None = None) -> int:
    text = header.get(key, "" if default is None else str(default))
    if not re.fullmatch(r"\d{1,12}", text):
        raise source.damaged(f"the header does not give {key!r} as a whole number", text)
    return int(text)
