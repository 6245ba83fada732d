"""The benchmark's library, shortened: what is prepared from it is what was written."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxsoil.data.sources import store, stream


@pytest.fixture
def benchmark(benchmark_module: Callable[[str], Any]) -> Any:
    return benchmark_module("libraries")


def test_a_library_of_many_blocks_is_prepared_in_order(benchmark: Any, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(stream.blocks, "__kwdefaults__", {"block": 30_000, "progress": False})
    benchmark.write_library(tmp_path, rows=700, bands=60)
    used = benchmark.prepare(tmp_path, bands=60)
    assert used["peak_mb"] > 0 and used["cpu"] > 0
    made = store.open_folder(tmp_path / "prepared")
    lines = gzip.decompress((tmp_path / benchmark.SCANS).read_bytes()).decode().splitlines()[1:]
    cells = [line.split(",") for line in lines]
    np.testing.assert_array_equal(made.spectra.values, np.array([row[2:] for row in cells], np.float32))
    assert made.ids.tolist() == [row[0] for row in cells] and made.samples[600] == "k300"
    np.testing.assert_allclose(made.property("soc").values[600], 0.5)
    assert benchmark.floor(tmp_path)[0] > 0
    assert benchmark.reading(made.spectra.values) > 0
