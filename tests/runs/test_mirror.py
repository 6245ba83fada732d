"""What Weights & Biases is given of a run: its configuration, flat, and a few spectra of each region."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxsoil.runs.mirror import Inputs, flat
from jaxsoil.spectra.container import Spectra


def test_a_configuration_becomes_flat_and_comparable() -> None:
    config = {
        "train": {"lr": 1e-3, "keep": "best"},
        "networks": ["ann", "none"],
        "twin": {},
        "n": None,
        "rows": [[1, 2]],
    }
    expected = {"train.lr": 1e-3, "train.keep": "best", "networks": "ann, none", "twin": {}, "n": None}
    assert flat(config) == expected | {"rows": "[[1, 2]]"}


def test_a_few_spectra_of_each_region_are_kept(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((40, 700)).astype(np.float32)
    regions = np.array(["north", "NA"] * 15 + ["one"] + ["NA"] * 9)
    kept = Inputs.of(Spectra(values, np.arange(400.0, 1100.0), "nm", "reflectance"), regions)
    kept.write(tmp_path / "wandb" / "inputs.npz")
    read = Inputs.read(tmp_path / "wandb" / "inputs.npz")
    assert read.label == "reflectance by nm" and list(read.spectra) == ["north", "NA", "one"]
    axis, spectra = read.spectra["north"]
    np.testing.assert_array_equal(axis, np.arange(400.0, 1100.0, 3.0))
    # Rows 0, 2, ..., 28 are north's: the first, the middle and the last of them.
    np.testing.assert_array_equal(spectra, values[[0, 14, 28]][:, ::3])
    np.testing.assert_array_equal(read.spectra["one"][1], values[[30]][:, ::3])
    alone = Inputs.of(Spectra(values[:2, :9], np.arange(9.0) + 400.0, "nm", "reflectance"), "all of them")
    np.testing.assert_array_equal(alone.spectra["all of them"][1], values[:2, :9])
