"""Folders of public libraries: what was downloaded, what was brought by hand, and what was prepared from them."""

from __future__ import annotations

import os
from pathlib import Path

from jaxsoil.data.root import DATA_VARIABLE

CACHE_VARIABLE = "JAXSOIL_CACHE"
"""Environment variable that names the folder of public libraries; without it they lie in ``~/.cache/jaxsoil``."""

MIRROR_VARIABLE = "JAXSOIL_MIRROR"
"""Environment variable with an address, such as ``http://localhost:8000/``, in place of every publisher's."""


def cache_root() -> Path:
    """Returns the folder of public libraries; it need not exist."""
    where = os.environ.get(CACHE_VARIABLE)
    return Path(where) if where else Path.home() / ".cache" / "jaxsoil"


def downloads(provider: str) -> Path:
    """Returns the folder of what was downloaded from one provider."""
    return cache_root() / "downloads" / provider


def prepared(name: str) -> Path:
    """Returns the folder of a prepared library; it exists whole or not at all."""
    return cache_root() / "prepared" / name


def by_hand(provider: str) -> list[Path]:
    """Returns the folders in which a file that was brought by hand is looked for."""
    data = os.environ.get(DATA_VARIABLE)
    return [cache_root() / "manual" / provider, *([Path(data) / provider] if data else [])]
