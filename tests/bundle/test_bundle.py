"""A bundle comes back as it was written, and is refused where it was altered, is newer or holds what it must not."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_bundle import small_bundle, soils

from jaxsoil.bundle.bundle import (
    AGAIN,
    ARRAYS,
    CARD,
    FACTS,
    FORMAT,
    NO_BUNDLE,
    NONCOMMERCIAL_WARNING,
    TWIN_WARNING,
    Bundle,
    Target,
    checksum,
    forbidden,
)
from jaxsoil.bundle.describe import describe
from jaxsoil.bundle.predict import predict
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra

NETWORKS = ("ann", "mlp", "cnn")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_bundle().save(tmp_path_factory.mktemp("bundles") / "small")


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    for path in written.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def rewrite(folder: Path, **changes: Any) -> None:
    """Changes facts and makes the checksum hold again, as somebody with bad intentions would."""
    facts = json.loads((folder / FACTS).read_text())
    facts.pop("sha256")
    facts |= changes
    facts["arrays_sha256"] = hashlib.sha256((folder / ARRAYS).read_bytes()).hexdigest()
    (folder / FACTS).write_text(json.dumps(facts | {"sha256": checksum(facts)}))


@pytest.mark.parametrize("model", ["plsr", "forest", "process", "ann", "mlp", "cnn"])
def test_every_kind_of_model_comes_back_and_predicts_the_same(model: str, written: Path) -> None:
    spectra, _ = soils(20, seed=5)
    before, after = (predict(bundle, spectra, model=model) for bundle in (small_bundle(), Bundle.load(written)))
    assert before.equals(after)
    assert np.isfinite(after["value"].to_numpy()).all()


def test_it_is_written_to_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = small_bundle().save(tmp_path / "again")
    for name in (FACTS, ARRAYS, CARD):
        assert (again / name).read_bytes() == (written / name).read_bytes()


def test_another_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="something else than a bundle"):
        small_bundle().save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", [FACTS, ARRAYS])
def test_an_altered_byte_is_refused(name: str, copy: Path) -> None:
    content = bytearray((copy / name).read_bytes())
    place = content.index(b"small") if name == FACTS else len(content) // 2
    content[place] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(DataError, match="altered"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", [FACTS, ARRAYS])
@pytest.mark.parametrize("kept", [0, 1000])
def test_a_truncated_file_is_refused(name: str, kept: int, copy: Path) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:kept])
    with pytest.raises(DataError, match=name):
        Bundle.load(copy)


def test_a_newer_format_is_refused_with_what_to_do(copy: Path) -> None:
    rewrite(copy, format=FORMAT + 1)
    with pytest.raises(DataError, match=r"newer version.*Install a newer jaxsoil"):
        Bundle.load(copy)


@pytest.mark.parametrize("wrong", [None, "1", 0, True, 1.5])
def test_a_format_that_is_none_is_refused(wrong: Any, copy: Path) -> None:
    rewrite(copy, format=wrong)
    with pytest.raises(DataError, match="no bundle"):
        Bundle.load(copy)


class Harmful:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("harm-was-done"),)


def test_a_pickle_among_the_arrays_is_refused_and_not_run(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(copy / ARRAYS, axis=np.array([Harmful()], dtype=object), allow_pickle=True)
    rewrite(copy)
    with pytest.raises(DataError):
        Bundle.load(copy)
    assert not Path("harm-was-done").exists()


def test_packed_arrays_are_refused_before_they_are_unpacked(copy: Path) -> None:
    with zipfile.ZipFile(copy / ARRAYS, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("axis.npy", bytes(50_000_000))
    rewrite(copy)
    with pytest.raises(DataError, match="packed"):
        Bundle.load(copy)


def test_missing_parts_are_refused(copy: Path) -> None:
    with np.load(copy / ARRAYS) as stored:
        arrays = {name: stored[name] for name in stored.files}
    # Of the many parameters of a network one stands for all.
    for name in {"/".join(name.split("/")[:4]): name for name in arrays}.values():
        np.savez(copy / ARRAYS, **{key: values for key, values in arrays.items() if key != name})
        rewrite(copy)
        try:
            bundle = Bundle.load(copy)
        except DataError as error:
            # What all parts rest on is read first; a part says itself that it is not complete.
            assert error.remedy == (AGAIN if name == "axis" else "Write the bundle again."), name
            continue
        # A network is put together when it predicts: what is missing shows there.
        model = name.split("/")[1]
        assert model in NETWORKS
        with pytest.raises(Exception, match=r"\w"):
            predict(bundle, soils(2)[0], model=model)


def test_a_bundle_of_before_the_brightness_is_read_and_says_what_it_lacks(copy: Path, written: Path) -> None:
    with np.load(copy / ARRAYS) as stored:
        arrays = {name: stored[name] for name in stored.files if not name.startswith("domain/brightness/")}
    np.savez(copy / ARRAYS, **arrays)
    rewrite(copy)
    old, spectra = Bundle.load(copy), soils(20, seed=5)[0]
    dark = Spectra(0.1 * spectra.values, spectra.axis, spectra.unit, spectra.quantity)
    found, known = predict(old, dark), predict(Bundle.load(written), dark)
    assert "brightness" not in old.domain.limits and "brightness: not known to this bundle" in describe(old)
    assert np.isnan(found["brightness"].to_numpy(float)).all() and not any(
        "brightness" in flags for flags in found["flags"]
    )
    assert all("brightness" in flags for flags in known["flags"]) and found["value"].equals(known["value"])


def test_a_forest_that_would_never_end_is_refused(copy: Path) -> None:
    with np.load(copy / ARRAYS) as stored:
        arrays = {name: stored[name] for name in stored.files}
    children = arrays["models/forest/predictor/children"].copy()
    children[1] = 0  # back to the root
    np.savez(copy / ARRAYS, **{**arrays, "models/forest/predictor/children": children})
    rewrite(copy)
    with pytest.raises(DataError, match="trees of a forest"):
        Bundle.load(copy)


def test_a_run_folder_names_the_bundles_in_it(written: Path) -> None:
    with pytest.raises(DataError, match=r"Bundles in it: small"):
        Bundle.load(written.parent)


def test_an_unknown_model_is_refused_with_the_nearest(written: Path) -> None:
    with pytest.raises(DataError, match="Did you mean 'plsr'"):
        Bundle.load(written).model("pls")


def test_the_description_says_what_matters(written: Path) -> None:
    said = describe(Bundle.load(written))
    for words in ("1300 to 2450 nm", "Apache-2.0", "drawn at random", "CCC 0.900", "soc in %", "limit"):
        assert words in said
    assert TWIN_WARNING not in said
    assert (written / CARD).read_text().startswith("# Bundle small")


def test_a_twin_says_so_in_every_output() -> None:
    bundle = small_bundle(twin=True)
    assert TWIN_WARNING in describe(bundle)
    assert set(predict(bundle, soils(3)[0])["warning"]) == {TWIN_WARNING}


def test_a_licence_without_commercial_use_goes_with_the_model(tmp_path: Path) -> None:
    bundle = small_bundle()
    limited = dataclasses.replace(bundle, data={**bundle.data, "licence": "a: MIT; b: CC BY-NC 4.0"})
    read = Bundle.load(limited.save(tmp_path / "limited"))
    assert NONCOMMERCIAL_WARNING in describe(read) and NONCOMMERCIAL_WARNING not in describe(bundle)
    assert set(predict(read, soils(3)[0])["warning"]) == {NONCOMMERCIAL_WARNING}


def test_no_bundle_is_made_of_data_that_allow_no_derived_works(tmp_path: Path) -> None:
    bundle, licence = small_bundle(), "b: CC BY-ND 4.0"
    with pytest.raises(DataError, match=r"allows no derived works.*BY-ND"):
        dataclasses.replace(bundle, data={**bundle.data, "licence": licence}).save(tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    assert forbidden(licence, tmp_path / "bundle") and not forbidden("CC BY-SA 4.0", tmp_path / "other")
    assert licence in (tmp_path / "bundle" / NO_BUNDLE).read_text("utf-8") and not (tmp_path / "other").exists()


def test_the_range_of_a_target_holds_most_training_values() -> None:
    target = Target.of("soc", "%", np.append(np.arange(1.0, 102.0), np.nan))
    assert (target.low, target.high) == (3.5, 98.5)
    assert target.outside(np.array([1.0, 50.0, 200.0, np.nan])).tolist() == [True, False, True, True]
    wide, narrow = np.array([0.1, 1000.0]), np.array([40.0, 60.0])
    low, high = (np.array([pair[place] for pair in (wide, narrow)]) for place in (0, 1))
    assert target.uninformative(low, high).tolist() == [True, False]
