"""Pictures left undrawn: most of a report's time goes into them, and few tests look at one."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

_DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg==")
"""A PNG of one white pixel."""

_DRAWN = Figure.savefig, ConstrainedLayoutEngine.execute


@contextmanager
def undrawn() -> Iterator[None]:
    """Every figure is built, without its margins, and one white pixel is written in its place."""

    def savefig(figure: Any, target: Any, **options: Any) -> None:
        if hasattr(target, "write"):
            target.write(_DOT)
        else:
            Path(target).write_bytes(_DOT)

    with _as(savefig, lambda *_: None):
        yield


@contextmanager
def drawn() -> Iterator[None]:
    """Figures are drawn, within :func:`undrawn` too."""
    with _as(*_DRAWN):
        yield


@contextmanager
def _as(savefig: Any, execute: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", savefig)
        patch.setattr(ConstrainedLayoutEngine, "execute", execute)
        yield
