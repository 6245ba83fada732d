"""Finished runs with one damaged file: what is read, how it is damaged, and what must become of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from smoke_runs import copied

TEXT = {".json", ".csv", ".jsonl", ".toml"}

_opened: list[str] | None = None


def _listen(event: str, details: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open" and isinstance(details[0], str | bytes):
        _opened.append(str(details[0]))


sys.addaudithook(_listen)


def files_read(folder: Path, action: Callable[[], object]) -> list[Path]:
    """Files of ``folder`` that ``action`` opens, one of each kind, by their names within it.

    Kinds are names without their numbers; of a folder of pieces one file stands for all.
    """
    global _opened
    before = {path for path in folder.rglob("*") if path.is_file()}
    _opened = []
    try:
        action()
    finally:
        opened, _opened = [Path(name) for name in _opened], None
    drawn = {".png", ".html", ".md"}
    names = {path.relative_to(folder) for path in before & {*opened} if path.suffix not in drawn}
    kinds: dict[str, Path] = {}
    for name in sorted(names):
        inside = name.parent / f"*{name.suffix}" if len(name.parts) > 1 and name.suffix == ".npz" else name
        kinds.setdefault(re.sub(r"\d+", "#", str(inside)), name)
    return [*kinds.values()]


def damages(path: Path) -> Iterator[tuple[str, bytes]]:
    """Ways in which a disk that was full or lost power leaves a file: the way's name, and what the file then holds."""
    whole = path.read_bytes()
    # Never at the end of a line: what ends there is a shorter table, which no reader can tell from a whole one.
    yield "half of it", whole[: len(whole) // 2].rstrip(b"\n")
    yield "empty", b""
    if path.suffix in TEXT:
        yield "NULs", bytes(len(whole))


def each_damaged(whole: Path, names: list[Path], target: Path) -> Iterator[tuple[str, Path, Path]]:
    """Makes copies of the run ``whole`` in which one file is damaged: (what was done, the copy, the file's name).

    Files take the ways of :func:`damages` in turn; those of one kind of file differ in nothing but their content.
    """
    for number, name in enumerate(names):
        ways = [*damages(whole / name)]
        way, content = ways[number % len(ways)]
        copy = copied(whole, target / str(name).replace("/", "-"))
        (copy / name).write_bytes(content)
        yield f"{name}: {way}", copy, name
