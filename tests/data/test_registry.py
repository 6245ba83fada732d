"""Data sets by name: descriptions without data, unknown names, the environment variable."""

import numpy as np
import pandas as pd
import pytest

from jaxsoil.data import registry
from jaxsoil.runs.errors import DataError


def test_every_packaged_data_set_is_described_without_data(monkeypatch):
    monkeypatch.delenv("JAXSOIL_DATA", raising=False)
    described = dict(registry.describe())
    assert tuple(described) == registry.names()
    assert registry.names()[0] == "twin"
    assert {"fields", "fields_vnir", "soils_vnir", "geeves", "H.138", "yamsys"} <= set(described)
    assert all(described.values())


def test_names_that_are_not_known(monkeypatch):
    with pytest.raises(DataError, match=r"'fields'.*\.toml"):
        registry.load("fiels")
    with pytest.raises(DataError, match="needs a manifest"):
        registry.load("mine.csv")


def test_the_folder_of_the_data(monkeypatch, tmp_path):
    monkeypatch.delenv("JAXSOIL_DATA", raising=False)
    with pytest.raises(DataError, match=r"JAXSOIL_DATA is not set.*export JAXSOIL_DATA"):
        registry.load("geeves")
    monkeypatch.setenv("JAXSOIL_DATA", str(tmp_path / "absent"))
    with pytest.raises(DataError, match="names no folder"):
        registry.load("geeves")
    monkeypatch.setenv("JAXSOIL_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"geeves_391_reflectance\.parquet: the data file does not exist"):
        registry.load("geeves")


def test_the_whole_assessment_loads_in_the_layout_of_its_agency(monkeypatch, tmp_path):
    """Nine rows: one with a dead pixel is left out; two modelled and one missing have no label."""
    axis = np.arange(350, 2501)
    table = pd.DataFrame(np.linspace(0.1, 0.4, 9)[:, None] + 1e-4 * (axis - 350), columns=axis.astype(str))
    table.insert(0, "sample_id", np.arange(31650, 31659))
    table["rcapid"] = ["C0101C01", "C0101C01", "C0102C02", "C1803R01", "C1803R01", "C1803R01", "C05", "C05", "C05"]
    table["soc"] = [1.0, 2.0, 3.0, np.nan, 0.0, 40.0, 5.0, 6.0, 7.0]
    table["soc_measured"] = ["modeled"] * 2 + ["measured"] * 7
    table = table.assign(bd=1.2, bd_source="measured", sample_top=0, sample_bottom=5)
    table.loc[6, "2100"] = np.nan  # a dead pixel
    table.loc[7, "360"] = np.nan  # below the range that the study reads
    (tmp_path / "raca").mkdir()
    table.to_csv(tmp_path / "raca" / "RaCA-spectra.csv", index=False, na_rep="NA")
    sites = pd.DataFrame({"RaCA_Id": ["C05", "C0101C01"], "Gen_lat": [1.0, 2.0], "Gen_long": [-3.0, -4.0]})
    sites.to_csv(tmp_path / "raca" / "RaCA_general_location.csv", index=False)
    monkeypatch.setenv("JAXSOIL_DATA", str(tmp_path))
    monkeypatch.setenv("JAXSOIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("JAXSOIL_MIRROR", "http://127.0.0.1:9/")  # nobody answers, and nobody waits to try again
    monkeypatch.setattr("jaxsoil.data.sources.fetch.time.sleep", lambda seconds: None)
    made = registry.load("raca")
    assert made.ids.tolist() == ["31650", "31651", "31652", "31653", "31654", "31655", "31657", "31658"]
    assert made.group("region").tolist() == ["01", "01", "01", "18", "18", "18", "05", "05"]
    np.testing.assert_array_equal(made.property("soc").values, [np.nan, np.nan, 3.0, np.nan, 0.0, 40.0, 6.0, 7.0])
    assert made.property("latitude").values[[0, -1]].tolist() == [2.0, 1.0]
    assert made.spectra.axis[[0, -1]].tolist() == [365.0, 2500.0]
    assert made.spectra.values.shape[1] == 2136
    assert [note.split(":")[0] for note in made.notes[3:]] == [
        "left out 1 rows",
        "4 scans have no row in RaCA_general_location.csv",
        "RaCA_samples.csv was not to be had",
        "soc of 2 rows counts as missing",
        "soc",
    ]
