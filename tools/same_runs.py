"""Two runs of a study compared: which of their files must have the same bytes, and which have not."""

from __future__ import annotations

import os
from pathlib import Path

PIECES = {"trials", "checkpoints", "states", "parts", "models", "members", "pieces", "direct"}
"""Folders of a run in which finished pieces lie; they hold times as well."""
NOT_COMPARED = {"env.json", "timing.json", "report.html", "report.md", "data_card.md"}
"""Times, the command, and what is drawn from the rest."""


def records(folder: Path) -> int:
    """Records in the logs of a run and of the runs within it."""
    logs = [Path(inside) / name for inside, _, names in os.walk(folder) for name in names if name == "log.jsonl"]
    return sum(path.read_bytes().count(b"\n") for path in logs)


def content(path: Path) -> bytes | list[bytes]:
    """Bytes of a file; of a log its lines, sorted, since trainings that run at a time write as they come."""
    return sorted(path.read_bytes().splitlines()) if path.name == "log.jsonl" else path.read_bytes()


def tables(folder: Path) -> list[Path]:
    """Tables, arrays, maps and logs of a run, by their names within it."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    aside = PIECES | {"figures", "wandb"}
    return [name for name in names if not aside & {*name.parts} and name.name not in NOT_COMPARED]


def differing(whole: Path, folder: Path) -> list[str]:
    """Names of tables that one of two runs lacks, or whose bytes differ."""
    names = {*tables(whole)} | {*tables(folder)}
    both = [name for name in names if (whole / name).is_file() and (folder / name).is_file()]
    same = {name for name in both if content(whole / name) == content(folder / name)}
    return sorted(str(name) for name in names - same)
