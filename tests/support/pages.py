"""Reading the page of `jaxsoil serve` as its reader does, and a bundle and files for it."""

from __future__ import annotations

import base64
import dataclasses
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
from small_bundle import small_bundle, soils

from jaxsoil.bundle.bundle import Bundle, prepared
from jaxsoil.evaluation.domain import Domain


def named_bundle() -> Bundle:
    """The small bundle with names of its training spectra."""
    bundle, (spectra, _) = small_bundle(), soils(160)
    x = prepared(spectra.values, ("absorbance", "snv"), "reflectance")
    domain = Domain.fit(x, np.arange(160), names=[f"soil {row}" for row in range(160)])
    return dataclasses.replace(bundle, domain=domain)


def table_file(folder: Path, name: str, n: int, seed: int = 5) -> Path:
    """A CSV of n soils, whose header says neither unit nor quantity."""
    spectra, _ = soils(n, seed)
    frame = pd.DataFrame(spectra.values, columns=[f"{band:g}" for band in spectra.axis])
    frame.insert(0, "id", [f"s{row}" for row in range(n)])
    frame.to_csv(folder / name, index=False)
    return folder / name


class Reader(HTMLParser):
    """Tables of a page as rows of text, links by id, and all tags with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._table, self._inside = "", False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag == "table":
            self._table = found.get("id") or found.get("class") or f"table {len(self.tables)}"
            self.tables[self._table] = []
        elif tag == "tr":
            self.tables[self._table].append([])
        elif tag in ("td", "th"):
            self.tables[self._table][-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._inside:
            cells = self.tables[self._table][-1]
            cells[-1] = " ".join(f"{cells[-1]}{data}".split())

    def csv(self) -> pd.DataFrame:
        """The table to keep."""
        (link,) = [own["href"] for tag, own in self.tags if tag == "a" and own.get("id") == "csv"]
        return read_csv(base64.b64decode((link or "").partition(",")[2]))


def read_csv(content: bytes) -> pd.DataFrame:
    """A table of predictions with empty texts as they are."""
    return pd.read_csv(
        io.BytesIO(content), dtype={"file": str, "id": str}, keep_default_na=False, na_values={"value": ""}
    )


def number(text: str) -> float:
    """A number of the page."""
    return float(text.replace("−", "-").replace("∞", "inf"))
