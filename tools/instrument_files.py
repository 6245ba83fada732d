"""Makes valid instrument files of every format from the documented layouts: for fuzzing, and for tests of readers."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

NM = np.arange(1000.0, 2500.0, 10.0)
CM = np.arange(4000.0, 600.0, -20.0)


def spectrum(rng: np.random.Generator, axis: np.ndarray, n: int = 1) -> np.ndarray:
    """Returns (n, m) smooth reflectances between 0.1 and 0.6."""
    phase = rng.uniform(0.0, 6.0, (n, 1))
    return 0.35 + 0.2 * np.sin(phase + np.linspace(0.0, 3.0, axis.size)) + rng.normal(0.0, 1e-3, (n, axis.size))


def asd(
    values: np.ndarray,
    reference: np.ndarray | None = None,
    *,
    version: int = 8,
    kind: int = 1,
    numbers: str = "<f8",
    first: float = 1000.0,
    step: float = 10.0,
    description: bytes = b"white",
) -> bytes:
    """Returns an ASD file; ``kind`` is its data type (0 raw, 1 reflectance, 8 absorbance), ``numbers`` f4, i4 or f8."""
    header = bytearray(484)
    header[:3] = b"ASD" if version == 1 else f"as{version}".encode()
    header[3:14] = b"made by us\0"
    struct.pack_into("<9h", header, 160, 0, 30, 12, 1, 5, 126, 0, 0, 0)  # the 1st of June 2026, 12:30
    header[186] = kind
    struct.pack_into("<ff", header, 191, first, step)
    header[199] = {"<f4": 0, "<i4": 1, "<f8": 2}[numbers]
    struct.pack_into("<H", header, 204, len(values))
    struct.pack_into("<H", header, 400, 1234)
    header[431] = 4
    parts = [bytes(header), np.asarray(values).astype(numbers).tobytes()]
    if version > 1:
        flag = 0 if reference is None else -1
        parts.append(struct.pack("<hddh", flag, 0.0, 0.0, len(description)) + description)
        parts.append((np.zeros(len(values)) if reference is None else reference).astype(numbers).tobytes())
    if version > 5:
        parts.append(bytes(80))
    return b"".join(parts)


def spc(
    values: np.ndarray,
    first: float = 4000.0,
    last: float = 620.0,
    *,
    coding: str = "float",
    x_type: int = 1,
    y_type: int = 2,
    axis: np.ndarray | None = None,
    version: int = 0x4B,
) -> bytes:
    """Returns an SPC file of (n, m) values; ``coding`` is "float", "int32" or "int16", ``axis`` an uneven one."""
    n, m = values.shape
    several = n > 1
    exponent = -128 if coding == "float" else int(np.ceil(np.log2(np.abs(values).max()))) + 1
    flags = (coding == "int16") | 4 * several | 128 * (axis is not None)
    header = struct.pack(
        "<BBBbiddiBBBBi9s9s",
        flags, version, 0, exponent, m, first, last, n, x_type, y_type, 0, 0, 0, b"", b"Nicolet",
    )  # fmt: skip
    parts = [header.ljust(512, b"\0")]
    if axis is not None:
        parts.append(axis.astype("<f4").tobytes())
    for row in range(n):
        parts.append(struct.pack("<Bbhfffiif4x", 0, exponent if several else 0, row, 0, 0, 0, m, 0, 0))
        bits = {"float": 0, "int32": 32, "int16": 16}[coding]
        stored = values[row] if not bits else np.round(values[row] * 2.0 ** (bits - exponent))
        parts.append(stored.astype({0: "<f4", 32: "<i4", 16: "<i2"}[bits]).tobytes())
    return b"".join(parts)


def opus(values: np.ndarray, first: float, last: float, *, block: int = 4, unit: bytes = b"WN\0\0") -> bytes:
    """Returns an OPUS file of one result block (4 absorbance, 5 transmittance, 12 reflectance)."""

    def parameter(name: bytes, value: Any) -> bytes:
        if isinstance(value, bytes):
            return name + b"\0" + struct.pack("<hh", 2, len(value) // 2) + value
        kind, form = (0, "<i") if isinstance(value, int) else (1, "<d")
        packed = struct.pack(form, value)
        return name + b"\0" + struct.pack("<hh", kind, len(packed) // 2) + packed

    end = b"END\0" + bytes(4)
    status = b"".join(
        [parameter(b"DPF", 1), parameter(b"NPT", len(values)), parameter(b"FXV", first), parameter(b"LXV", last),
         parameter(b"CSF", 1.0), parameter(b"MXY", float(values.max())), parameter(b"MNY", float(values.min())),
         parameter(b"DXU", unit), end]
    )  # fmt: skip
    machine = parameter(b"INS", b"Vertex 70\0") + end
    numbers = values.astype("<f4").tobytes()
    # Bits 0-1: amplitude (3); 2-3: ratioed (3); 4-9: parameters (1 of data, 2 of the instrument); 10-16: the block.
    codes = (3 | 3 << 2 | block << 10, 3 | 3 << 2 | 1 << 4 | block << 10, 3 | 3 << 2 | 2 << 4)
    at = 24 + 12 * 8
    directory, body = b"", b""
    for code, content in zip(codes, (numbers, status, machine), strict=True):
        content += bytes(-len(content) % 4)
        directory += struct.pack("<iii", code, len(content) // 4, at + len(body))
        body += content
    return b"\n\n\xfe\xfe" + struct.pack("<diii", 920622.0, 24, 8, 3) + directory.ljust(96, b"\0") + body


def jcamp(values: np.ndarray, axis: np.ndarray, *, form: str = "AFFN", x: str = "1/CM", y: str = "ABSORBANCE") -> str:
    """Returns a JCAMP-DX file; ``form`` is "AFFN", "DIF" (differences) or "XY" (pairs)."""
    factor = 1e-6
    whole = np.round(values / factor).astype(int)
    head = [
        "##TITLE=soil", "##JCAMP-DX=4.24", "##DATA TYPE=INFRARED SPECTRUM", "##ORIGIN=made by us", f"##XUNITS={x}",
        f"##YUNITS={y}", f"##FIRSTX={axis[0]}", f"##LASTX={axis[-1]}", f"##NPOINTS={axis.size}", "##XFACTOR=1.0",
    ]  # fmt: skip
    if form == "XY":
        lines = [f"{at}, {value:.6f}" for at, value in zip(axis, values, strict=True)]
        return "\n".join([*head, "##YFACTOR=1.0", "##XYPOINTS=(XY..XY)", *lines, "##END="]) + "\n"
    lines = []
    for start in range(0, axis.size, 8):
        if form == "DIF":
            # Each line but the first begins with the last value of the one before it, as a check.
            begin = max(start - 1, 0)
            lines.append(f"{axis[begin]:g}{_squeezed(whole[begin])}" + "".join(_differences(whole[begin : start + 8])))
        else:
            lines.append(" ".join([f"{axis[start]:g}", *map(str, whole[start : start + 8])]))
    return "\n".join([*head, f"##YFACTOR={factor}", "##XYDATA=(X++(Y..Y))", *lines, "##END="]) + "\n"


def _squeezed(value: int) -> str:
    text = str(abs(value))
    return ("@ABCDEFGHI" if value >= 0 else "@abcdefghi")[int(text[0])] + text[1:]


def _differences(values: np.ndarray) -> list[str]:
    texts = [(step < 0, str(abs(step))) for step in np.diff(values).tolist()]
    return [("%jklmnopqr" if negative else "%JKLMNOPQR")[int(text[0])] + text[1:] for negative, text in texts]


def wide_csv(
    values: np.ndarray, axis: np.ndarray, *, delimiter: str = ",", decimal: str = ".", name: str = "{:g}"
) -> str:
    """Returns a table with a row a sample: an id, clay, and a column for each band."""
    header = ["sample_id", "clay", *(name.format(at) for at in axis)]
    rows = [[f"s{row}", f"{10 + row}", *(f"{value:.5f}" for value in one)] for row, one in enumerate(values)]
    body = [delimiter.join([row[0], *(cell.replace(".", decimal) for cell in row[1:])]) for row in rows]
    return "\n".join([delimiter.join(header), *body]) + "\n"


def r_file(columns: dict[str, Any], *, name: str | None = None, rows: list[str] | None = None) -> bytes:
    """Returns an R data frame as .rds, or as .rda under ``name``.

    Columns are arrays of numbers, lists of text, (names, matrix) for a matrix column, or columns of a data frame in it.
    Rows are numbered, or bear the names ``rows``.
    """

    def integer(*numbers: int) -> bytes:
        return struct.pack(f">{len(numbers)}i", *numbers)

    def text(value: str) -> bytes:
        return integer(0x40009, len(value.encode())) + value.encode()

    def strings(values: list[str]) -> bytes:
        return integer(16, len(values)) + b"".join(text(value) for value in values)

    def pairs(items: dict[str, bytes]) -> bytes:
        return b"".join(integer(0x402, 1) + text(key) + value for key, value in items.items()) + integer(254)

    def column(value: Any) -> bytes:
        if isinstance(value, tuple):
            names, matrix = value
            numbers = integer(14 | 0x200, matrix.size) + matrix.astype(">f8").tobytes(order="F")
            dimnames = integer(19, 2) + integer(254) + strings(names)
            return numbers + pairs({"dim": integer(13, 2, *matrix.shape), "dimnames": dimnames})
        if isinstance(value, dict):
            return frame(value)
        if isinstance(value, list):
            return strings(value)
        return integer(14, len(value)) + np.asarray(value).astype(">f8").tobytes()

    def frame(columns: dict[str, Any]) -> bytes:
        first = next(iter(columns.values()))
        n = len(first[1] if isinstance(first, tuple) else first)
        named = integer(13, 2, -(2**31), -n) if rows is None else strings(rows)
        own = pairs({"names": strings(list(columns)), "class": strings(["data.frame"]), "row.names": named})
        return integer(0x313, len(columns)) + b"".join(map(column, columns.values())) + own

    version = b"X\n" + integer(2, 0x40000, 0x20300)
    return version + frame(columns) if name is None else b"RDX2\n" + version + pairs({name: frame(columns)})


def envi(
    cube: np.ndarray, axis: np.ndarray, *, interleave: str = "bil", unit: str = "Nanometers", extra: str = ""
) -> dict[str, bytes]:
    """Returns header and image of (rows, samples, bands) numbers."""
    code = {"f4": 4, "f8": 5, "i2": 2, "u2": 12}[cube.dtype.str[1:]]
    rows, samples, bands = cube.shape
    order = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}[interleave]
    header = (
        f"ENVI\ndescription = {{\n  made by us}}\nsamples = {samples}\nlines = {rows}\nbands = {bands}\n"
        f"header offset = 0\nfile type = ENVI Standard\ndata type = {code}\ninterleave = {interleave}\nbyte order = 0\n"
        f"wavelength units = {unit}\nz plot titles = {{Wavelength, Reflectance}}\n{extra}"
        f"wavelength = {{\n {', '.join(f'{at:g}' for at in axis)}}}\n"
    )
    return {"scene.hdr": header.encode(), "scene.img": np.ascontiguousarray(cube.transpose(order)).tobytes()}


def zipped(files: dict[str, bytes]) -> bytes:
    """Returns a ZIP archive of the files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _make_asd(rng: np.random.Generator) -> dict[str, bytes]:
    values, version = spectrum(rng, NM)[0], int(rng.integers(1, 9))
    if version == 1:
        return {"a.asd": asd(values, version=1, numbers=str(rng.choice(["<f4", "<f8"])))}
    numbers = str(rng.choice(["<f4", "<i4", "<f8"]))
    return {"a.asd": asd(20_000 * values, np.full(NM.size, 20_000.0), version=version, numbers=numbers)}


def _make_spc(rng: np.random.Generator) -> dict[str, bytes]:
    values = spectrum(rng, CM, int(rng.integers(1, 4)))
    return {
        "a.spc": spc(
            values, coding=str(rng.choice(["float", "int32", "int16"])), axis=CM if rng.random() < 0.3 else None
        )
    }


def _make_jcamp(rng: np.random.Generator) -> dict[str, bytes]:
    return {"a.jdx": jcamp(spectrum(rng, CM)[0], CM, form=str(rng.choice(["AFFN", "DIF", "XY"]))).encode()}


def _make_csv(rng: np.random.Generator) -> dict[str, bytes]:
    choice = int(rng.integers(5))
    values = spectrum(rng, NM, 5)
    if choice == 0:
        pairs = "\n".join(f"{at:g}\t{value:.5f}" for at, value in zip(NM, values[0], strict=True))
        return {"a.txt": f"Wavelength (nm)\tReflectance\n{pairs}\n".encode()}
    if choice == 1:
        return {"a.csv": wide_csv(values, NM, delimiter=";", decimal=",", name="{:g}nm").encode()}
    if choice == 2:
        return {"a.csv.gz": gzip.compress(wide_csv(values, NM, name="scan_visnir.{:g}_ref").encode())}
    return {"a.csv": wide_csv(values, NM, name=str(rng.choice(["X{:g}", "{:g}", "scan_visnir.{:g}_ref"]))).encode()}


_COMPRESSIONS: tuple[Literal["snappy", "gzip", "zstd"], ...] = ("snappy", "gzip", "zstd")


def _make_parquet(rng: np.random.Generator) -> dict[str, bytes]:
    import pandas as pd

    frame = pd.DataFrame(spectrum(rng, NM, 5).astype(np.float32), columns=[f"{at:g}" for at in NM])
    frame.insert(0, "id", [f"s{row}" for row in range(5)])
    return {"a.parquet": frame.to_parquet(compression=_COMPRESSIONS[int(rng.integers(3))])}


def _make_r(rng: np.random.Generator) -> dict[str, bytes]:
    names, matrix = [f"{at:g}" for at in NM], spectrum(rng, NM, 4)
    columns: dict[str, Any] = {"id": [f"s{row}" for row in range(4)], "soc": np.arange(4.0), "spc": (names, matrix)}
    data = r_file(columns, name="soils" if rng.random() < 0.5 else None)
    suffix = "rda" if data.startswith(b"RDX") else "rds"
    return {f"a.{suffix}": gzip.compress(data) if rng.random() < 0.3 else data}


def _make_envi(rng: np.random.Generator) -> dict[str, bytes]:
    cube = spectrum(rng, NM, 6).reshape(2, 3, -1)
    interleave = str(rng.choice(["bsq", "bil", "bip"]))
    if rng.random() < 0.5:
        return envi(
            (10_000 * cube).astype("<i2"), NM, interleave=interleave, extra="reflectance scale factor = 10000\n"
        )
    return envi(cube.astype("<f4"), NM, interleave=interleave, extra="data ignore value = -9999\n")


def _make_npz(rng: np.random.Generator) -> dict[str, bytes]:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, values=spectrum(rng, NM, 3), axis=NM, unit="nm", quantity="reflectance")
    return {"a.npz": buffer.getvalue()}


def _make_zip(rng: np.random.Generator) -> dict[str, bytes]:
    return {"a.zip": zipped(_make_asd(rng))}


MAKERS: dict[str, Callable[[np.random.Generator], dict[str, bytes]]] = {
    "OPUS": lambda rng: {"a.0": opus(spectrum(rng, CM)[0], CM[0], CM[-1], block=int(rng.choice([4, 12])))},
    "ASD": _make_asd,
    "SPC": _make_spc,
    "JCAMP-DX": _make_jcamp,
    "CSV": _make_csv,
    "Parquet": _make_parquet,
    "R": _make_r,
    "ENVI": _make_envi,
    "NumPy": _make_npz,
    "ZIP": _make_zip,
}
"""Name of a format -> maker of the files of one example; the first is the one to read."""
