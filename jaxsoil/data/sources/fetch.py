"""Downloads: whole or not at all, resumed where they broke, and compared with the checksum of the first time."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import read_json, write_json

RECORD = "checksums.json"
"""File beside the downloads: name -> address, SHA-256 and bytes of the first time."""

_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_MAGIC = {".gz": b"\x1f\x8b", ".zip": b"PK", ".whl": b"PK", ".rda": b"", ".rdata": b"", ".csv": b"", ".txt": b""}
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<error")
_BLOCK = 1 << 18
_MARGIN = 64 << 20
# Some servers refuse the name of urllib, and a compressed transfer could not be resumed.
_HEADERS = {"User-Agent": "jaxsoil", "Accept-Encoding": "identity"}


@dataclasses.dataclass(frozen=True)
class Limits:
    """How patient a download is.

    Args:
      timeout: seconds without a byte after which the connection counts as stalled.
      attempts: connections in all; each goes on where the one before broke off.
      pause: seconds before the second one, doubled before each further one.
    """

    timeout: float = 30.0
    attempts: int = 5
    pause: float = 2.0


LIMITS = Limits()


class _Broken(Exception):
    """A connection that failed and is tried again."""


def fetch(
    url: str, target: Path, *, sha256: str = "", limits: Limits = LIMITS, progress: bool = True, accept: bool = False
) -> Path:
    """Returns ``target``, downloaded from ``url`` unless it is there already.

    A download grows in ``target`` + ".part" and goes on from there after an interruption, if the server still has the
    same file (its ETag or date says so). The SHA-256 of the first download is recorded beside it; later ones, and the
    file itself whenever it is used again, must have the same.

    Args:
      url: address.
      target: file.
      sha256: checksum that the publisher states, "" where there is none.
      limits: patience.
      progress: whether to draw a progress bar.
      accept: fetch the file again, take it even if its checksum differs from the recorded one, and record the new one.

    Raises:
      DataError: the server refuses, answers with a page, breaks off or stalls too often; a checksum that differs; a
        disk without room. A file under the name ``target`` is always a whole one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    known = _records(target.parent).get(target.name, {})
    expected = sha256 or ("" if accept else str(known.get("sha256", "")))
    if target.exists() and not accept:
        if expected and checksum(target) != expected:
            remedy = "Delete the file, so that it is fetched again."
            raise DataError("the file is not the one that was fetched", source=target, column="SHA-256", remedy=remedy)
        return target
    part, reason = target.with_name(target.name + ".part"), ""
    for attempt in range(limits.attempts):
        if attempt:
            time.sleep(limits.pause * 2 ** (attempt - 1))
        try:
            _receive(url, part, limits, progress)
            break
        except _Broken as problem:
            reason = str(problem)
    else:
        remedy = "Check the connection and run the same command again: it goes on where this one broke off."
        value = f"{limits.attempts} attempts, the last: {reason}"
        raise DataError("the download failed", source=url, value=value, remedy=remedy)
    found = checksum(part)
    if expected and found != expected:
        said = "the publisher's" if sha256 else f"the one recorded on {known.get('fetched', 'an earlier day')}"
        _discard(part)
        remedy = "A publisher may have changed the file: read what is new, then accept it with --accept-changed."
        raise DataError(f"the checksum differs from {said}", source=url, column="SHA-256", value=found, remedy=remedy)
    size = part.stat().st_size
    os.replace(part, target)
    _validator(part).unlink(missing_ok=True)
    entry = {"url": url, "sha256": found, "bytes": size, "fetched": time.strftime("%Y-%m-%d", time.gmtime())}
    write_json(target.parent / RECORD, {**_records(target.parent), target.name: entry})
    return target


def checksum(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remote_size(url: str, timeout: float = 10.0) -> int | None:
    """Returns the bytes that a server states for a file, without fetching it; None where it does not say."""
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        asked = urllib.request.Request(url, method="HEAD", headers=_HEADERS)
        with urllib.request.urlopen(asked, timeout=timeout) as answer:
            return int(answer.headers["Content-Length"]) if answer.headers["Content-Length"] else None
    return None


def get_json(url: str, limits: Limits = LIMITS) -> Any:
    """Returns the JSON behind an address, such as a list of files.

    Raises:
      DataError: the server does not answer with JSON.
    """
    reason = ""
    for attempt in range(limits.attempts):
        if attempt:
            time.sleep(limits.pause * 2 ** (attempt - 1))
        try:
            with _opened(url, {}, limits.timeout) as answer:
                return json.loads(answer.read(1 << 24))
        except (_Broken, OSError, http.client.HTTPException) as problem:
            reason = str(problem)
        except ValueError as error:
            remedy = "Check the address in a browser; the publisher may have moved the files."
            raise DataError("the list of files is no JSON", source=url, value=str(error), remedy=remedy) from error
    raise DataError("the list of files cannot be read", source=url, value=reason, remedy="Check the connection.")


def _receive(url: str, part: Path, limits: Limits, progress: bool) -> None:
    """Receives a file, from where ``part`` ends; raises _Broken where it is worth another try."""
    start = part.stat().st_size if part.is_file() and _validator(part).exists() else 0
    asked = {"Range": f"bytes={start}-", "If-Range": _validator(part).read_text("utf-8")} if start else {}
    with _opened(url, asked, limits.timeout) as answer:
        start = start if _goes_on(answer, start) else 0
        length = answer.headers["Content-Length"]
        total = start + int(length) if length else None
        if answer.headers.get_content_type() == "text/html":
            raise _page(url, answer.headers["Content-Type"])
        mark = answer.headers["ETag"] or answer.headers["Last-Modified"] or ""
        mark = "" if mark.startswith("W/") else mark  # a weak mark does not promise the same bytes
        if not start:
            _validator(part).unlink(missing_ok=True)
        with full_disk(part.parent, lambda: _discard(part)):
            if mark:
                _validator(part).write_text(mark, "utf-8")
            needed, free = (total or 0) - start, shutil.disk_usage(part.parent).free
            if needed + _MARGIN > free:
                raise OSError(errno.ENOSPC, f"{needed / 1e9:.2f} GB needed, {free / 1e9:.2f} GB free")
            with open(part, "ab" if start else "wb") as stream:
                for block in _blocks(answer, part, url, start, total, progress):
                    stream.write(block)
                stream.flush()
                with contextlib.suppress(OSError):
                    os.fsync(stream.fileno())


@contextlib.contextmanager
def full_disk(folder: Path, discard: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Turns the error of a full disk into DataError, after ``discard`` has removed what is half-written."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        discard()
        remedy = "Free the disk, or name another folder with JAXSOIL_CACHE; nothing half-written is left."
        raise DataError("the disk is full", source=folder, value=str(error), remedy=remedy) from error


def _blocks(answer: Any, part: Path, url: str, start: int, total: int | None, progress: bool) -> Iterator[bytes]:
    """Yields what arrives; raises _Broken where the connection ends early or stalls."""
    from tqdm import tqdm

    name, received, first = part.name.removesuffix(".part"), start, start == 0
    bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=not progress, leave=False)
    with bar:
        while True:
            try:
                block = answer.read1(_BLOCK)
            except TimeoutError as error:
                raise _Broken(f"it stalled after {received} of {total or 'unknown'} bytes") from error
            except (OSError, http.client.HTTPException) as error:
                raise _Broken(f"it broke off after {received} of {total or 'unknown'} bytes: {error}") from error
            if not block:
                break
            if first:
                _require_kind(name, block, url)
                first = False
            received += len(block)
            bar.update(len(block))
            yield block
    if total is not None and received < total:
        raise _Broken(f"it ended after {received} of {total} bytes")
    if not received:
        raise _Broken("it is empty")


@contextlib.contextmanager
def _opened(url: str, headers: dict[str, str], timeout: float) -> Iterator[Any]:
    """An answer of the server; raises _Broken where another try may help, DataError where it will not."""
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers={**_HEADERS, **headers}), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _RETRIED:
            raise _Broken(f"status {error.code}") from error
        if error.code == 416:  # what is there is longer than the file, which therefore is another one
            raise _Broken("the file on the server is another one than the part that is here") from error
        remedy = "The publisher may have moved the file: fetch it in a browser and put it into the manual folder."
        value = f"status {error.code} {error.reason}"
        raise DataError("the server refuses the file", source=url, value=value, remedy=remedy) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(str(error)) from error
    with answer:
        yield answer


def _goes_on(answer: Any, start: int) -> bool:
    """Whether the answer is the rest of a file from ``start``; a server without ranges sends all of it."""
    if not start or answer.status != 206:
        return False
    if not (answer.headers["Content-Range"] or "").startswith(f"bytes {start}-"):
        raise _Broken(f"the server sends another range than asked for: {answer.headers['Content-Range']}")
    return True


def _require_kind(name: str, first: bytes, url: str) -> None:
    """Refuses a page, and a file whose first bytes are not those of its kind."""
    head = first[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(_PAGES):
        raise _page(url, head[:60].decode("latin-1"))
    magic = _MAGIC.get(Path(name).suffix.lower(), b"")
    if not first.startswith(magic):
        remedy = "Open the address in a browser; the publisher may have moved the file."
        value = repr(first[:16])
        raise DataError(f"the server sends something else than {name}", source=url, value=value, remedy=remedy)


def _page(url: str, what: str) -> DataError:
    remedy = "Open it in a browser: it may ask for a consent or say that the file has moved."
    return DataError("the server sends a page instead of the file", source=url, value=what, remedy=remedy)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator(part).unlink(missing_ok=True)


def _validator(part: Path) -> Path:
    """File that holds the ETag or the date of what is in ``part``."""
    return part.with_name(part.name + ".etag")


def _records(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError):
        return read_json(folder / RECORD, remedy="Delete it: checksums are recorded anew, and not compared once.")
    return {}
