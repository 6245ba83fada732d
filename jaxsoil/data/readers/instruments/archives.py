"""ZIP archives of instrument files: checked by what they declare, then unpacked into a temporary folder."""

from __future__ import annotations

import contextlib
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from jaxsoil.data.readers.instruments.reading import Source

MOST_BYTES = 4 << 30
"""Largest sum of the declared sizes of the members."""

MOST_RATIO = 200
"""Largest quotient of declared and packed size of a member of more than a MiB; spectra reach about 10."""

MOST_MEMBERS = 200_000


def check_members(source: Source, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Returns the files in an archive.

    Raises:
      DataError: too many or too large members (a bomb), an encrypted one, a link, a path that leaves the folder.
    """
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if len(members) > MOST_MEMBERS or total > MOST_BYTES:
        raise source.error("the archive is too large", "Unpack it.", value=f"{len(members)} files, {total} bytes")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        outside = path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]
        if outside or stat.S_ISLNK(member.external_attr >> 16):
            remedy = "Do not unpack it; ask for an archive of plain files."
            raise source.error("the archive holds a path outside its folder, or a link", remedy, value=member.filename)
        if member.flag_bits & 1:
            raise source.error("the archive is encrypted", "Unpack it.", value=member.filename)
        if member.file_size > MOST_RATIO * max(member.compress_size, 1) and member.file_size > 1 << 20:
            value = f"{member.filename}: {member.file_size} from {member.compress_size} bytes"
            raise source.error("the archive inflates as a bomb does", "Do not unpack it.", value=value)
    return [member for member in members if not member.is_dir()]


@contextlib.contextmanager
def unpacked(source: Source) -> Iterator[Path]:
    """Within the context, a temporary folder holds the members of the archive."""
    with zipfile.ZipFile(source.path) as archive, tempfile.TemporaryDirectory(prefix="jaxsoil-zip-") as folder:
        for member in check_members(source, archive):
            target = Path(folder, *PurePosixPath(member.filename.replace("\\", "/")).parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            # The stream ends at the declared size whatever the packed data hold.
            with archive.open(member) as packed, open(target, "wb") as file:
                shutil.copyfileobj(packed, file)
        yield Path(folder)
