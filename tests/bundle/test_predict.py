"""Predictions: against the models themselves, in any unit and quantity, and rows that cannot be used."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_bundle import AXIS, small_bundle, soils

from jaxsoil.bundle.bundle import Bundle, prepared
from jaxsoil.bundle.networks import Network
from jaxsoil.bundle.predict import COLUMNS, predict, predict_files
from jaxsoil.evaluation.domain import Domain, levels
from jaxsoil.evaluation.shift import intervals
from jaxsoil.models import forest, plsr
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.preprocess import SNV, Absorbance, Pipeline

PREPARE = Pipeline((Absorbance(), SNV()))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return small_bundle()


def write_csv(path: Path, spectra: Spectra, ids: list[str] | None = None) -> Path:
    frame = pd.DataFrame(spectra.values, columns=[f"{band:g}" for band in spectra.axis])
    frame.insert(0, "id", ids or [f"s{row}" for row in range(len(frame))])
    frame.to_csv(path, index=False)
    return path


def test_linear_and_forest_predict_what_the_fitted_models_do(bundle: Bundle) -> None:
    (spectra, soc), (new, _) = soils(160), soils(30, seed=2)
    x, z, target = PREPARE(spectra).values, PREPARE(new).values, np.log10(soc)
    for name, fitted in (("plsr", plsr.fit(x, target, 8)), ("forest", forest.fit(x, target, seed=0, n_trees=5))):
        found = predict(bundle, new, model=name)["value"]
        np.testing.assert_allclose(found, 10.0 ** fitted.predict(z), rtol=1e-3)


def test_intervals_and_alarms_are_those_of_their_rooms(bundle: Bundle) -> None:
    new, _ = soils(12, seed=3)
    found, z = predict(bundle, new), PREPARE(new).values
    scores = bundle.domain.space.scores(z)
    own = intervals(bundle.model().calibrations["soc"], found["value"], scores, 0.9, "density")
    np.testing.assert_allclose(found["low"], own.low, rtol=1e-3)
    np.testing.assert_allclose(found["high"], own.high, rtol=1e-3)
    distance, residual = bundle.domain.space.distances(z.astype(np.float64))
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-3)
    np.testing.assert_allclose(found["residual"], residual, rtol=1e-3)
    assert set(found["distance_limit"]) == {bundle.domain.limits["distance"]}
    # Four regions allow no level above 80 %.
    region = intervals(bundle.model().calibrations["soc"], found["value"], scores, 0.8, "region")
    np.testing.assert_allclose(found["region_high"], region.high, rtol=1e-3)


def test_unit_quantity_and_axis_are_converted(bundle: Bundle) -> None:
    spectra, _ = soils(9, seed=4)
    plain = predict(bundle, spectra)["value"]
    np.testing.assert_allclose(predict(bundle, spectra.to_absorbance())["value"], plain, rtol=1e-4)
    np.testing.assert_allclose(predict(bundle, spectra.to_unit("cm-1"))["value"], plain, rtol=1e-4)
    fine = np.arange(1290.0, 2471.0, 2.0)
    finer = Spectra(
        np.stack([np.interp(fine, AXIS, row) for row in spectra.values]).astype(np.float32), fine, "nm", "reflectance"
    )
    np.testing.assert_allclose(predict(bundle, finer)["value"], plain, rtol=0.1)


def test_an_axis_that_does_not_cover_the_models_is_refused(bundle: Bundle) -> None:
    spectra, _ = soils(2)
    short = Spectra(spectra.values[:, 30:], AXIS[30:], "nm", "reflectance")
    with pytest.raises(DataError, match="beyond what was measured"):
        predict(bundle, short)


def test_rows_that_cannot_be_used_do_not_stop_the_others(bundle: Bundle) -> None:
    spectra, _ = soils(5)
    values = spectra.values.copy()
    values[1, 7], values[3] = 0.0, 0.3
    found = predict(bundle, Spectra(values, AXIS, "nm", "reflectance"), ids=list("abcde"))
    assert found.loc[found["refused"] == "", "id"].tolist() == ["a", "c", "e"]
    reasons = found[found["refused"] != ""].set_index("id")["refused"]
    assert "not positive" in reasons["b"] and "flat" in reasons["d"]
    assert {name for name, again in zip(found["id"], found["remeasure"], strict=True) if again} >= {"b", "d"}
    assert list(found.columns) == [name for name in COLUMNS if name != "file"]


def test_strange_spectra_raise_an_alarm_and_usual_ones_do_not(bundle: Bundle) -> None:
    usual, _ = soils(100, seed=6)
    other = usual.values * (1.0 - 0.3 * np.exp(-0.5 * ((AXIS - 1550.0) / 60.0) ** 2)).astype(np.float32)
    # Of 160 training spectra the limits are a little tight for new ones.
    assert np.mean(predict(bundle, usual)["applicable"].to_numpy(dtype=float)) > 0.5
    strange = predict(bundle, Spectra(other, AXIS, "nm", "reflectance"))
    assert set(strange["applicable"]) == {False} and set(strange["remeasure"]) == {True}
    assert all("residual" in flags for flags in strange["flags"])


@pytest.mark.parametrize(
    ("factor", "power"), [(3.0, 1.0), (0.1, 1.0), (100.0, 1.0), (1.0, 2.303)], ids=["x3", "/10", "percent", "ln"]
)
def test_snv_hides_a_level_that_no_training_soil_has_and_the_brightness_shows_it(
    factor: float, power: float, bundle: Bundle
) -> None:
    usual, _ = soils(40, seed=12)
    wrong = Spectra((factor * usual.values**power).astype(np.float32), AXIS, "nm", "reflectance")
    before, after = (predict(bundle, spectra, model="plsr") for spectra in (usual, wrong))
    # The model, its domain and its intervals see no difference: absorbance is shifted or stretched, and SNV undoes it.
    for name in ("value", "distance", "residual", "neighbours"):
        np.testing.assert_allclose(after[name], before[name], rtol=5e-3)
    assert all("brightness" in flags for flags in after["flags"]) and set(after["applicable"]) == {False}
    assert sum("brightness" in flags for flags in before["flags"]) <= 6


def test_a_limit_of_brightness_leaves_the_stated_share_of_like_soils_outside(bundle: Bundle) -> None:
    found = predict(bundle, soils(1500, seed=13)[0])
    assert 0.02 < np.mean(found["brightness"] > bundle.domain.limits["brightness"]) < 0.1
    # Against the two numbers by hand.
    own = -np.log10(soils(160)[0].values.astype(np.float64))
    np.testing.assert_allclose(levels(own), np.stack([own.mean(axis=1), np.log10(own.std(axis=1))], axis=1))


def test_training_spectra_are_recognised(bundle: Bundle) -> None:
    assert set(predict(bundle, soils(160)[0])["seen"]) == {True}
    assert set(predict(bundle, soils(50, seed=9)[0])["seen"]) == {False}


def test_the_nearest_training_spectra_are_known_by_name(bundle: Bundle) -> None:
    spectra, _ = soils(160)
    x = prepared(spectra.values, ("absorbance", "snv"), "reflectance")
    domain = Domain.fit(x, np.arange(160), names=[f"soil {row}" for row in range(160)])
    rows, distances = domain.nearest(x[7:9])
    # Against all distances on the leading components, without a tree.
    scores = (x - domain.space.mean) @ domain.space.components[:5].T
    every = np.linalg.norm(scores[7:9, None] - scores[None], axis=2)
    np.testing.assert_array_equal(rows, np.argsort(every, axis=1)[:, :3])
    np.testing.assert_allclose(distances.mean(axis=1), domain.judge(x[7:9]).neighbours, atol=1e-5)
    assert domain.nearest(x[:0])[0].shape == (0, 3)
    again = Domain.read(domain.arrays())
    assert again.names is not None and again.names[rows[:, 0]].tolist() == ["soil 7", "soil 8"]
    assert Domain.read(bundle.domain.arrays()).names is None
    with pytest.raises(DataError, match="none of its rows"):
        Domain.read(domain.arrays() | {"names": np.array(["one"])})


def test_a_decoder_adds_its_error_with_its_limit(bundle: Bundle) -> None:
    found = predict(bundle, soils(4)[0], model="ann")
    assert np.isfinite(found["rebuilt"].to_numpy()).all() and set(found["rebuilt_limit"]) == {0.2}
    assert np.isnan(predict(bundle, soils(4)[0], model="plsr")["rebuilt"].to_numpy(dtype=float)).all()
    decoder = bundle.model("ann").predictor
    assert isinstance(decoder, Network)
    rebuilt = decoder.rebuild(soils(4)[0].values)
    assert rebuilt is not None
    error = np.sqrt(np.mean((rebuilt - soils(4)[0].values) ** 2, axis=1))
    np.testing.assert_allclose(error, found["rebuilt"].to_numpy(float), rtol=1e-5)
    blind = dataclasses.replace(decoder, config={**decoder.config, "decoder": "none"})
    assert blind.rebuild(soils(4)[0].values) is None
    # Behind SNV a decoder rebuilds the same reflectance whatever the level: its error has the level in it.
    behind = dataclasses.replace(decoder, config={**decoder.config, "input": "snv"})
    dark = np.float32(0.1) * soils(4)[0].values
    again, brighter = behind.rebuild(dark), behind.rebuild(10.0 * dark)
    assert again is not None and brighter is not None
    np.testing.assert_allclose(again, brighter, rtol=1e-3, atol=1e-4)
    error = behind(dark)[1]
    assert error is not None
    np.testing.assert_allclose(error, np.sqrt(np.mean((again - dark) ** 2, axis=1)), rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 2, 3, 1023, 1025])
def test_any_number_of_rows_gives_each_its_own_value(rows: int, bundle: Bundle) -> None:
    spectra, _ = soils(rows, seed=8)
    whole = predict(bundle, spectra, model="ann")["value"].to_numpy()
    last = predict(bundle, spectra[rows - 1 :], model="ann")["value"].to_numpy()
    assert whole.shape == (rows,)
    np.testing.assert_allclose(whole[-1:], last, rtol=1e-5)


def test_files_give_what_their_spectra_give(bundle: Bundle, tmp_path: Path) -> None:
    spectra, _ = soils(6, seed=7)
    path = write_csv(tmp_path / "mine.csv", spectra)
    found = predict_files(bundle, path, quantity="reflectance", unit="nm")
    assert (found.files, found.failed, found.refused, found.predicted) == (1, 0, 0, 6)
    np.testing.assert_allclose(found.table["value"], predict(bundle, spectra)["value"], rtol=1e-5)
    assert found.table["id"].tolist() == [f"s{row}" for row in range(6)] and found.spectra.shape == (0, AXIS.size)
    kept = predict_files(bundle, [path, path], quantity="reflectance", unit="nm", keep=8).spectra
    np.testing.assert_allclose(kept, np.concatenate([spectra.values, spectra.values[:2]]), rtol=1e-5)


def test_a_file_that_cannot_be_read_becomes_a_refusal(bundle: Bundle, tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", soils(3)[0])
    (tmp_path / "b.csv").write_bytes(b"")
    (tmp_path / "c.docx").write_bytes(b"text")
    found = predict_files(bundle, tmp_path, quantity="reflectance", unit="nm")
    assert (found.files, found.failed, found.predicted) == (1, 2, 3)
    refused = found.table[found.table["refused"] != ""]
    assert sorted(Path(file).name for file in refused["file"]) == ["b.csv", "c.docx"]
    assert set(refused["remeasure"]) == {True}


def test_nothing_readable_gives_an_empty_table_with_its_columns(bundle: Bundle, tmp_path: Path) -> None:
    found = predict_files(bundle, tmp_path)
    assert found.predicted == 0 and list(found.table.columns) == list(COLUMNS)
