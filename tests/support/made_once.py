"""Synthetic run folders that several tests ask for: written once in a process, then copied."""

from __future__ import annotations

import functools
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_FOLDER = tempfile.TemporaryDirectory(prefix="jaxsoil-synthetic-")


def made_once(write: Callable[..., Path]) -> Callable[..., Path]:
    """``write(folder, **options)``, whose files follow from the options alone, as a function that copies them."""

    @functools.wraps(write)
    def copied(folder: Path, **options: Any) -> Path:
        asked = f"{write.__module__}.{write.__qualname__} {sorted(options.items())}"
        made = Path(_FOLDER.name) / hashlib.sha256(asked.encode()).hexdigest()[:16]
        if not made.exists():
            part = made.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)  # of a write that failed
            write(part, **options).rename(made)
        return Path(shutil.copytree(made, folder, dirs_exist_ok=True))

    return copied
