"""Uploads: received within bounds, written under names of our own into a temporary folder, and refused with a reason.

A file keeps nothing of its name but a plain ending, which says its format. The name that a browser sends is text to
show: it never becomes a path.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import itertools
import re
import secrets
import shutil
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxsoil.runs.errors import UsageError

if TYPE_CHECKING:
    from starlette.datastructures import FormData
    from starlette.requests import Request

MOST_BYTES = 256 << 20
"""Largest request: the largest file that the readers take."""

MOST_FILES = 2000
"""Most files of a request, and most members of an archive."""

MOST_UNPACKED = 1 << 30
"""Largest sum of what the archives and compressed tables of a request hold once they are unpacked."""

MOST_DRAINED = 4 << 30
"""Bytes that are still read from a request that is refused: a browser shows the answer only after it has sent all."""

LIMITS = f"{MOST_FILES:,} files and {MOST_BYTES >> 20} MiB at a time"

_LONGEST = 200
_PIECE = 1 << 20
_ENDING = re.compile(r"(?:\.csv)?\.[A-Za-z0-9]{1,10}\Z", re.IGNORECASE)


class TooLarge(UsageError):
    """A request beyond the bounds."""


async def received(request: Request) -> FormData:
    """The form of a request, its files on the disk.

    Raises:
      TooLarge: too many bytes or files.
      UsageError: the request is no form with files, or does not hold together.
    """
    from starlette.formparsers import MultiPartException, MultiPartParser
    from starlette.requests import ClientDisconnect

    body, size = request.stream(), 0

    async def counted() -> AsyncGenerator[bytes, None]:
        nonlocal size
        async for chunk in body:
            size += len(chunk)
            if size > MOST_BYTES:
                raise TooLarge(f"The files are larger than {MOST_BYTES >> 20} MiB together. Send {LIMITS} at most.")
            yield chunk

    try:
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise UsageError("This is no form with files. Use the form of the page.")
        parser: Any = MultiPartParser(
            request.headers, counted(), max_files=MOST_FILES, max_fields=16, max_part_size=1024
        )  # fmt: skip
        return await parser.parse()
    except MultiPartException as error:
        await _drain(body)
        if error.message.startswith("Too many files"):
            raise TooLarge(f"These are too many files. Send {LIMITS} at most, or a table of all spectra.") from error
        raise UsageError(f"The upload does not hold together: {error.message} Send it again.") from error
    except UsageError:
        await _drain(body)
        raise
    except ClientDisconnect as error:
        raise UsageError("The upload was broken off. Send it again.") from error


async def _drain(body: AsyncIterator[bytes]) -> None:
    size = 0
    async for chunk in body:
        size += len(chunk)
        if size > MOST_DRAINED:
            return


@dataclasses.dataclass(frozen=True)
class Written:
    """Files of a request in a temporary folder.

    Attributes:
      folder: where they lie.
      token: with which the names of all of them begin; no file can know it.
      names: name in the folder -> name as it was sent.
      refused: (name as it was sent, reason) of those that were not kept.
    """

    folder: Path
    token: str
    names: dict[str, str]
    refused: list[tuple[str, str]]

    def shown(self, text: str) -> str:
        """A text of a reader with the names that the user knows instead of those in the folder."""

        def known(match: re.Match[str]) -> str:
            return self.names.get(match[1] + match[2]) or self._stems.get(match[1], match[1]) + match[2]

        return self._pattern.sub(known, text).replace(f"{self.folder}/", "")

    @functools.cached_property
    def _stems(self) -> dict[str, str]:
        return {_split(own)[0]: _split(re.split(r"[/\\]", sent)[-1])[0] for own, sent in self.names.items()}

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        folder = re.escape(f"{self.folder}/")
        return re.compile(rf"(?:{folder})?({self.token}-\d+)((?:\.csv)?(?:\.\w+)?)", re.IGNORECASE)


def write(files: Sequence[tuple[str, Any]], folder: Path) -> Written:
    """Writes files into a folder.

    Args:
      files: (name, open file) of each. Files of one name and several endings, such as an image and its header, lie
        beside each other under one name again.
      folder: an empty one.

    Returns:
      What lies there. Archives and compressed tables that would unpack to too much are refused before they are read.
    """
    token, names, refused = secrets.token_hex(8), {}, []
    numbers, count = {}, itertools.count()
    room = MOST_UNPACKED
    for sent, content in files:
        sent = clean(sent)
        key, ending = _split(sent)
        if key not in numbers or (folder / f"{token}-{numbers[key]:05d}{ending}").exists():
            numbers[key] = next(count)
        own = f"{token}-{numbers[key]:05d}{ending}"
        with open(folder / own, "xb") as target:
            shutil.copyfileobj(content, target)
        size, members = _unpacked(folder / own, room)
        if size > room or members > MOST_FILES:
            (folder / own).unlink()
            most = f"{MOST_FILES:,} files and {MOST_UNPACKED >> 30} GiB"
            refused.append((sent, f"it unpacks to more than {most}: send its files in parts"))
            continue
        room -= size
        names[own] = sent
    return Written(folder, token, names, refused)


def clean(text: str, longest: int = _LONGEST) -> str:
    """A name, or what holds one, that somebody else chose as one short line of text that can be shown."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= longest else f"{line[:longest]}…"


def _split(name: str) -> tuple[str, str]:
    match = _ENDING.search(name)
    return (name[: match.start()], match[0]) if match else (name, "")


def _unpacked(path: Path, room: int) -> tuple[int, int]:
    """Bytes and files that an archive or a compressed table says or turns out to hold; (0, 0) of anything else."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
            return sum(member.file_size for member in members), len(members)
        if path.suffix.lower() == ".gz":
            size = 0
            with gzip.open(path) as file:
                while size <= room and (piece := file.read(_PIECE)):
                    size += len(piece)
            return size, 1
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zipfile.LargeZipFile):
        pass  # the readers say what is wrong with it
    return 0, 0
