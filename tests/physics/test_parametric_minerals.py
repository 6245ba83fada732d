"""Fitted mineral curves: the equation by hand, the mean over a band, and the tool that writes the table."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from jaxsoil.data.endmembers import load_usgs
from jaxsoil.physics import parametric_minerals
from jaxsoil.runs.errors import DataError


def test_one_gaussian_by_hand():
    # ln R = -0.5 flat, one absorption of depth 1 at 1000 nm: R = exp(-1.5) there, exp(-0.5 - exp(-2)) two widths on.
    bands = np.array([[1000.0, 50.0, 1.0]])
    found = parametric_minerals.reflectance(np.array([-0.5]), bands, np.array([1000.0, 1100.0]))
    np.testing.assert_allclose(found, [math.exp(-1.5), math.exp(-0.5 - math.exp(-2.0))])


def test_a_band_is_the_mean_over_its_width():
    minerals = parametric_minerals.load_table()[:3]
    fine = np.array([mineral.reflectance(np.arange(1395.25, 1405.0, 0.5)) for mineral in minerals])
    coarse = parametric_minerals.band_reflectance(minerals, np.array([1390.0, 1400.0, 1410.0]))
    np.testing.assert_allclose(coarse[:, 1], fine.mean(axis=1), rtol=1e-3)


def test_the_mean_of_a_straight_line_over_a_band_is_its_middle():
    axis = np.array([400.0, 410.0, 430.0])
    # Bands reach half-way to their neighbours: 395-405, 405-420 and 420-440 nm.
    found = parametric_minerals.band_mean(lambda wavelength: 2.0 * wavelength, axis)
    np.testing.assert_allclose(found, [800.0, 825.0, 860.0])
    np.testing.assert_allclose(parametric_minerals.band_mean(np.sqrt, np.array([900.0])), [30.0])
    with pytest.raises(DataError, match="350-2500"):
        parametric_minerals.band_mean(np.sqrt, np.array([349.0, 400.0]))


def test_the_table_is_what_its_tool_makes(data_root):
    path = Path(__file__).parents[2] / "tools" / "fit_parametric_minerals.py"
    spec = importlib.util.spec_from_file_location("fit_parametric_minerals", path)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    measured = load_usgs(data_root)
    for name in ("Quartz", "Albite"):  # of few absorptions: the fit of one with many takes long
        entry = tool._entry(measured, measured.index(name))
        (mineral,) = (one for one in parametric_minerals.load_table() if one.name == name)
        refitted = parametric_minerals.reflectance(
            np.array(entry["continuum"]), np.array(entry["bands"]), measured.spectra.axis
        )
        # The optimiser's last digits depend on the linear algebra library.
        np.testing.assert_allclose(refitted, mineral.reflectance(measured.spectra.axis), atol=2e-3)
