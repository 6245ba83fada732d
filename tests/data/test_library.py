"""Library refuses what does not hold, selects rows of everything, and has a fingerprint of its content."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from jaxsoil.data.library import Library, Property
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra import Spectra


def library(n=4, **changes):
    fields = {
        "name": "toy",
        "spectra": Spectra(np.linspace(0.1, 0.9, 3 * n).reshape(n, 3), [400.0, 500.0, 600.0], "nm", "reflectance"),
        "ids": np.array([f"s{row}" for row in range(n)]),
        "properties": {"soc": Property(np.arange(n) + 0.5, "%"), "clay": Property([np.nan] * n, "%")},
        "groups": {"region": np.array(["a", "b"] * (n // 2)), "pedon": np.array([f"p{r}" for r in range(n)])},
    }
    return Library(**(fields | changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": np.array(["s0", "s1", "s2"])}, r"toy, column ids: .*another number of rows.*\(3,\)"),
        ({"ids": np.array(["s0", "s1", "s1", "s2"])}, "'s1'.*ids repeat|unique.*'s1'"),
        ({"properties": {"soc": Property([1.0], "%")}}, "column soc"),
        ({"properties": {"soc": Property([1.0] * 4, "g/kg")}}, r"soc.*in % by mass.*g/kg"),
        ({"properties": {"soc": Property([1.0, -0.1, 1.0, 1.0], "%")}}, r"soc.*between 0 and 100.*-0.1 at 's1'"),
        ({"properties": {"soc": Property([1.0, 101.0, 1.0, 1.0], "%")}}, r"between 0 and 100"),
        ({"groups": {"region": np.array(["a", " ", "b", "b"])}}, r"column region: a group name is empty.*row 1"),
        ({"groups": {"soc_is": np.array(["measured", "modeled", "measured", "measured"])}}, "Did you mean 'modelled'"),
        ({"groups": {"regoin": np.array(["a"] * 4)}}, "Did you mean 'region'"),
    ],
)
def test_what_does_not_hold_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        library(**change)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'clay'"):
        library().property("clya")
    with pytest.raises(DataError, match=r"column sample: .*no such group.*\[groups\]"):
        library().group("sample")
    assert library().property("soc").unit == "%"


def test_rows_are_selected_in_everything():
    truth = SimpleNamespace(select=lambda rows: SimpleNamespace(kept=np.arange(4)[rows]))
    made = library(truth=truth).select(np.array([False, True, False, True]))
    assert made.ids.tolist() == ["s1", "s3"] and len(made) == 2
    np.testing.assert_array_equal(made.property("soc").values, [1.5, 3.5])
    assert made.group("region").tolist() == ["b", "b"]
    assert made.truth.kept.tolist() == [1, 3]


def test_contents_cannot_be_changed():
    made = library()
    for array in (made.ids, made.property("soc").values, made.group("region")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]
    with pytest.raises(TypeError):
        vars(made)["groups"]["region"] = made.group("pedon")


def test_with_spectra_keeps_the_rows():
    made = library()
    assert made.with_spectra(made.spectra.to_absorbance()).spectra.quantity == "absorbance"
    with pytest.raises(DataError, match="another number of rows"):
        made.with_spectra(made.spectra[:2])


def test_fingerprint_follows_content_only():
    made = library()
    assert made.fingerprint() == library(notes=("a note",), licence="MIT").fingerprint()
    wide = np.array([*made.ids.tolist(), "a much longer name"])[:4]
    assert library(ids=wide).fingerprint() == made.fingerprint()
    changed = made.spectra.values.copy()
    changed[0, 0] += 1e-4
    others = [
        library(spectra=made.spectra.replace(values=changed)),
        library(ids=np.array(["s0", "s1", "s2", "x"])),
        library(properties={"soc": made.property("soc")}),
        library(groups={"region": made.group("region")}),
        made.select([1, 0, 2, 3]),
    ]
    assert len({other.fingerprint() for other in [made, *others]}) == len(others) + 1


def test_a_library_can_be_pickled():
    made = library()
    assert pickle.loads(pickle.dumps(made)).fingerprint() == made.fingerprint()


def test_samples_and_the_blocks_that_no_split_parts():
    pedons = [f"p{row // 2}" for row in range(4)]
    made = library(groups={"pedon": np.array(pedons), "sample": np.array(["x", "x", "y", "z"])})
    assert made.samples.tolist() == ["x", "x", "y", "z"] and made.blocks.tolist() == pedons
    bare = library(groups={"region": np.array(["a", "a", "b", "b"])})
    assert bare.samples.tolist() == bare.blocks.tolist() == ["s0", "s1", "s2", "s3"]


def test_regions_say_what_their_soc_is():
    assert library().kinds_of_soc == {}
    kinds = np.array(["measured", "modelled", "measured", "measured"])
    assert library(groups={"region": np.array(list("abac")), "soc_is": kinds}).kinds_of_soc == {"b": "modelled"}
    assert library(groups={"soc_is": kinds}).kinds_of_soc == {"toy": "measured, modelled"}
