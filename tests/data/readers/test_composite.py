"""Several data sets as one: a common axis, names of groups, properties, refusals."""

import numpy as np
import pytest

from jaxsoil.data import registry
from jaxsoil.data.library import Library, Property
from jaxsoil.data.readers.composite import grid_axis, join
from jaxsoil.data.readers.schema import Composite, Grid
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import Spectra


def member(name, low, high, step, quantity="reflectance", soc=(1.0, 2.0), unit="%", **groups):
    axis = np.arange(low, high + step / 2, step)
    values = 1e-4 * axis + 0.1 * np.arange(len(soc))[:, None]
    values = -np.log10(values) if quantity == "absorbance" else values
    return Library(
        name=name,
        spectra=Spectra(values, axis, "nm", quantity),
        ids=np.array([f"s{row}" for row in range(len(soc))]),
        properties={"soc": Property(list(soc), "%"), "nitrogen": Property([1.0] * len(soc), unit)},
        groups={key: np.array(value) for key, value in groups.items()},
        notes=("a note",),
    )


COMPOSITE = Composite("both", "Both", ("a", "b"), Grid("nm", 1000.0, 1050.0, 10.0), ("soc",))


def test_members_come_to_one_axis_as_reflectance():
    parts = [
        member("a", 900, 1100, 1, soc_method=["wet oxidation"] * 2),
        member("b", 990, 1060, 2, "absorbance", soc=(1.0, np.nan, 0.0, 3.0), sample=["x", "x", "y", "z"]),
    ]
    made = join(COMPOSITE, parts)
    assert made.spectra.quantity == "reflectance" and len(made) == 4
    np.testing.assert_array_equal(made.spectra.axis, [1000, 1010, 1020, 1030, 1040, 1050])
    np.testing.assert_allclose(made.spectra.values[0], 1e-4 * made.spectra.axis, rtol=1e-5)
    np.testing.assert_allclose(made.spectra.values[3], 1e-4 * made.spectra.axis + 0.3, rtol=1e-3)
    assert made.group("region").tolist() == ["a", "a", "b", "b"]
    assert made.group("sample").tolist() == ["a/s0", "a/s1", "b/x", "b/z"]
    assert made.ids.tolist() == ["a/s0", "a/s1", "b/s0", "b/s3"]
    # A member that does not state the laboratory's method has one that is not stated.
    assert made.group("soc_method").tolist() == ["wet oxidation"] * 2 + ["not stated"] * 2
    assert "b: left out 2 rows without soc > 0" in made.notes and "a: a note" in made.notes


def test_a_pedon_never_parts_a_sample():
    made = join(
        COMPOSITE,
        [member("a", 900, 1100, 1, sample=["x", "x"]), member("b", 900, 1100, 1, pedon=["p", "q"])],
    )
    assert made.group("pedon").tolist() == ["a/x", "a/x", "b/p", "b/q"]


def test_pedons_of_one_member_and_profiles_of_another_stay_whole():
    pedons = member("a", 900, 1100, 1, pedon=["p", "p"])
    made = join(COMPOSITE, [pedons, member("b", 900, 1100, 1, profile=["q", "q"])])
    for name in ("pedon", "profile"):
        assert made.group(name).tolist() == ["a/p", "a/p", "b/q", "b/q"]
    assert made.blocks.tolist() == ["a/p", "a/p", "b/q", "b/q"]


def test_members_that_do_not_fit_are_refused():
    good = member("a", 900, 1100, 1)
    with pytest.raises(DataError, match=r"b, column 1050 nm: .*beyond what was measured"):
        join(COMPOSITE, [good, member("b", 900, 1045, 1)])
    with pytest.raises(DataError, match=r"both, column nitrogen: .*different units.*%, g/kg"):
        join(COMPOSITE, [good, member("b", 900, 1100, 1, unit="g/kg")])
    with pytest.raises(DataError, match=r"both, column b: .*no row left"):
        join(COMPOSITE, [good, member("b", 900, 1100, 1, soc=(0.0, np.nan))])


def test_grid_axis_includes_both_ends():
    np.testing.assert_allclose(grid_axis(Grid("nm", 365.0, 2500.0, 5.0))[[0, -1]], [365.0, 2500.0])
    assert grid_axis(Grid("nm", 0.1, 0.7, 0.1)).size == 7


def test_a_composite_of_ones_own(tmp_path):
    axis = np.arange(400, 2401, 10)
    shape = (1 - 0.8 * np.exp(-(axis - 350) / 300)) * (1 - 0.2 * np.exp(-0.5 * ((axis - 1930) / 30) ** 2))
    shape = shape * (1 - 0.2 * np.exp(-0.5 * ((axis - 1420) / 30) ** 2))
    for name in ("north", "south"):
        rows = [",".join(f"{value:.5f}" for value in level * shape) + ",1.5" for level in (0.3, 0.4)]
        header = ",".join(str(band) for band in axis) + ",soc"
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
        (tmp_path / f"{name}.toml").write_text(
            f'name = "{name}"\ntitle = "x"\ndata = "{name}.csv"\n[axis]\nunit = "nm"\n'
            '[values]\nquantity = "reflectance"\n[labels.soc]\ncolumn = "soc"\nunit = "%"\n'
        )
    both = tmp_path / "both.toml"
    text = 'name = "both"\ntitle = "x"\nmembers = ["north.toml", "south.toml"]\n[grid]\nunit = "nm"\n'
    both.write_text(text + "low = 500\nhigh = 2300\nstep = 20\n")
    made = registry.load(both)
    assert set(made.group("region")) == {"north", "south"} and made.spectra.n_bands == 91
    both.write_text(text.replace("south.toml", "both.toml") + "low = 500\nhigh = 2300\nstep = 20\n")
    with pytest.raises(DataError, match="contains itself"):
        registry.load(both)
    both.write_text(text + "low = 500\nhigh = 2300\nstep = 0\n")
    with pytest.raises(DataError, match="positive step"):
        registry.load(both)
    for step in ("1e-300", "nan"):
        both.write_text(text + f"low = 500\nhigh = 2300\nstep = {step}\n")
        with pytest.raises(DataError, match="positive step"):
            registry.load(both)
