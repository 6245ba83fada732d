"""Files of a run that a study reads again: one that is damaged is named in one line, as by a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reconstruction_run import write_run

from jaxsoil.data.library import Library
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction import local_networks, other_tests, summaries, transfer
from jaxsoil.studies.reconstruction.tables import read_main, read_predictions

UNREAD = Library.__new__(Library)
"""Data that are not reached."""

READ: dict[str, Callable[[Path], Any]] = {
    "results.csv": read_main,
    "trials.csv": read_main,
    "predictions.parquet": read_predictions,
    "samples.parquet": summaries.alarms,
    "blocks.csv": lambda folder: summaries.region_facts(folder, UNREAD),
    "transfer.csv": transfer.summary,
    "properties.csv": lambda folder: other_tests.gains(folder, "carry_over"),
    "local_networks.parquet": local_networks.read,
}
"""File -> what reads it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), regions=("north", "south", "NA"), models=("plsr", "none"), n=20)


@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_is_named_by_what_reads_it(name: str, folder: Path) -> None:
    path = folder / name
    before = path.read_bytes() if path.exists() else None
    for damage in (b"", (before or b"model,value\n1,2\n")[:-7], bytes(4000)):
        path.write_bytes(damage)
        try:
            with pytest.raises(DataError, match=rf"{name}: .*--overwrite\.$") as caught:
                READ[name](folder)
        finally:
            path.unlink() if before is None else path.write_bytes(before)
        assert "\n" not in str(caught.value)


def test_names_stay_as_they_were_written_and_numbers_to_the_bit(folder: Path) -> None:
    (folder / "properties.csv").write_text(
        "property,unit,model,region,ccc,rmse,bias,n\nph,1,plsr,NA,,0.30000000000000004,-0.1,3\n"
        "ph,1,plsr,007,0.5,0.1,0.1,3\n"
    )
    found = other_tests.gains(folder, "plsr")["property_gains"].set_index("metric")["mean"]
    (folder / "properties.csv").unlink()
    np.testing.assert_array_equal(found[["ccc", "rmse", "abs_bias"]], [0.5, (0.1 + 0.2 + 0.1) / 2, 0.1])
    assert set(read_predictions(folder)["region"]) == {"north", "south", "NA"}
