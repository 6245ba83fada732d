"""The twin: its truth against the mixing equation, its soils against their stated distributions, its switches."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from jaxsoil.data.twin.soil import make, soils
from jaxsoil.data.twin.soil.config import MAIN_MINERALS
from jaxsoil.data.twin.soil.endmembers import CLAY_MINERALS, soc_curve
from jaxsoil.data.twin.soil.make import TwinConfig, make_twin, reference_config, reference_twin
from jaxsoil.runs.errors import DataError

SMALL = TwinConfig(n_samples=240, n_regions=6, n_bands=60)
IDEAL = dataclasses.replace(
    SMALL, moisture=0.0, path_region_log_sd=0.0, path_sample_log_sd=0.0, outlying_state=0.0, gain_log_sd=0.0,
    tilt_log_sd=0.0, curvature_log_sd=0.0, offset_sd=0.0, splice_log_sd=0.0, shift_sd=0.0, noise=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def default():
    return make_twin()


@pytest.fixture(scope="module")
def small():
    return make_twin(SMALL)


# Truth


def test_without_an_instrument_the_spectra_are_the_mixing_equation():
    library = make_twin(IDEAL)
    truth = library.truth
    surface = truth.mass / truth.rho_r
    area = surface / surface.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(truth.area, area, atol=1e-6)
    np.testing.assert_allclose(library.spectra.values, area @ truth.endmembers, atol=1e-5)


def test_the_truth_is_consistent(default):
    truth = default.truth
    assert truth.names[-1] == "SOC" and len(truth.names) == truth.mass.shape[1] == len(truth.endmembers)
    np.testing.assert_allclose(truth.mass.sum(axis=1), 1.0)
    assert truth.mass.min() >= 0
    np.testing.assert_allclose(default.property("soc").values, 100 * truth.mass[:, -1])
    np.testing.assert_array_equal(truth.f_soc, truth.endmembers[-1])
    assert truth.soc_rho_r == truth.config.soc_rho_r
    np.testing.assert_allclose(truth.rho_r[:-1], truth.minerals.rho_r)
    assert truth.decoder_minerals.names == truth.minerals.names


def test_truth_follows_the_selected_rows_and_other_processes(default):
    rows = np.array([3, 40, 7])
    some = pickle.loads(pickle.dumps(default.select(rows)))
    np.testing.assert_array_equal(some.truth.mass, default.truth.mass[rows])
    np.testing.assert_array_equal(some.truth.moisture, default.truth.moisture[rows])
    np.testing.assert_array_equal(some.truth.path, default.truth.path[rows])


# Reproducibility and size


def test_one_seed_gives_the_same_bits_and_another_gives_others(small):
    first, again = small, make_twin(SMALL)
    assert first.fingerprint() == again.fingerprint()
    assert first.fingerprint() != make_twin(dataclasses.replace(SMALL, seed=1)).fingerprint()


def test_chunks_do_not_change_the_library(small, monkeypatch):
    monkeypatch.setattr(make, "_CHUNK", 37)
    np.testing.assert_allclose(make_twin(SMALL).spectra.values, small.spectra.values, atol=1e-6)


@pytest.mark.parametrize(("samples", "regions"), [(1, 1), (17, 17), (101, 4), (250, 1)])
def test_any_size(samples, regions):
    library = make_twin(TwinConfig(n_samples=samples, n_regions=regions, n_bands=20))
    assert len(library) == samples
    assert len(np.unique(library.group("region"))) == regions


def test_the_studys_axis_and_any_other():
    library = make_twin(TwinConfig(n_samples=20, n_regions=2, n_bands=2136))
    np.testing.assert_array_equal(library.spectra.axis, np.arange(365.0, 2501.0))
    other = np.array([400.0, 410.0, 500.0, 2300.0])
    np.testing.assert_array_equal(make_twin(SMALL, axis=other).truth.axis, other)


def test_coarse_bands_are_means_of_fine_ones():
    fine = make_twin(dataclasses.replace(IDEAL, n_bands=2136)).spectra.values
    # 10 nm bands centred on 370, 380 ...: the mean over 365-375 is that of the 1 nm bands within, ends halved.
    coarse = make_twin(IDEAL, axis=np.arange(370.0, 2500.0, 10.0)).spectra.values
    window = np.ones(11)
    window[[0, -1]] = 0.5
    for band in (0, 50, 100, 212):
        np.testing.assert_allclose(coarse[:, band], fine[:, 10 * band : 10 * band + 11] @ window / 10, atol=2e-4)


# Soils


def test_groups_nest_and_pedons_have_five_or_six_horizons(default):
    region, pedon = default.group("region"), default.group("pedon")
    assert all(name.startswith(where) for name, where in zip(pedon, region, strict=True))
    _, first, counts = np.unique(pedon, return_index=True, return_counts=True)
    last_of_region = np.append(region[first][1:] != region[first][:-1], True)
    assert set(counts[~last_of_region]) == {5, 6}
    assert len(np.unique(default.group("sample"))) == len(default)


def test_soc_falls_with_depth_within_pedons(default):
    soc, top = np.log(default.property("soc").values), default.property("depth_top").values
    pedon = default.group("pedon")
    slopes = [np.polyfit(top[pedon == p], soc[pedon == p], 1)[0] for p in np.unique(pedon) if np.sum(pedon == p) > 4]
    assert np.mean(np.array(slopes) < 0) > 0.95
    assert np.all(default.property("depth_bottom").values > top)


def test_horizons_of_a_pedon_resemble_each_other_more_than_their_region(default):
    minerals = default.truth.mass[:, :-1]
    pedon, region = default.group("pedon"), default.group("region")

    def within(groups):
        return sum(((minerals[groups == g] - minerals[groups == g].mean(0)) ** 2).sum() for g in np.unique(groups))

    assert within(pedon) < 0.35 * within(region)


def test_soc_has_the_stated_distribution():
    library = make_twin(TwinConfig(n_samples=20_000, n_regions=4, n_bands=2, n_outlying=0))
    log_soc = np.log(library.property("soc").values)
    spread = [log_soc[library.group("region") == r].std() for r in np.unique(library.group("region"))]
    # Clipping to 0.1-20 % takes a little off the log-SD of 0.8.
    np.testing.assert_allclose(spread, 0.79, atol=0.05)
    assert library.property("soc").values.min() >= 0.1 and library.property("soc").values.max() <= 20.0


def test_two_levels_have_the_variance_of_one_dirichlet():
    # Var = p (1 - p) / (concentration + 1) for a Dirichlet, whatever share of it lies within pedons.
    rng = np.random.default_rng(0)
    share = np.array([0.5, 0.3, 0.2])
    pedons = soils._dirichlet(rng, np.tile(share * soils._between(12.0, 60.0), (200_000, 1)))
    horizons = soils._dirichlet(rng, 60.0 * pedons)
    np.testing.assert_allclose(horizons.mean(0), share, atol=2e-3)
    np.testing.assert_allclose(horizons.var(0), share * (1 - share) / 13.0, rtol=0.02)


def test_outlying_regions_hold_minerals_that_the_others_lack(default):
    truth, region = default.truth, default.group("region")
    assert len(truth.outlying_regions) == 5
    names = np.array(truth.names)
    elsewhere = truth.mass[~np.isin(region, truth.outlying_regions)]
    for turn, outlying in enumerate(truth.outlying_regions):
        unusual = np.isin(names, [name for name in soils.OUTLYING[turn].minerals if name not in MAIN_MINERALS])
        inside = truth.mass[region == outlying][:, unusual].sum(1)
        assert np.percentile(inside, 5) > 2 * elsewhere[:, unusual].sum(1).max()


def test_outlying_regions_lie_outside_in_moisture_and_texture():
    with_state, without = (make_twin(TwinConfig(n_bands=2, outlying_state=state)) for state in (1.0, 0.0))
    region = with_state.group("region")
    for turn, outlying in enumerate(with_state.truth.outlying_regions):
        rows = region == outlying
        moisture = with_state.truth.moisture[rows] / without.truth.moisture[rows]
        path = with_state.truth.path[rows] / without.truth.path[rows]
        np.testing.assert_allclose(moisture, soils.OUTLYING[turn].moisture)
        np.testing.assert_allclose(path, soils.OUTLYING[turn].path)
    np.testing.assert_array_equal(
        with_state.truth.path[~np.isin(region, with_state.truth.outlying_regions)],
        without.truth.path[~np.isin(region, with_state.truth.outlying_regions)],
    )


def test_the_exponents_of_clay_on_soc_spread_between_regions():
    plain, spread = (
        make_twin(dataclasses.replace(SMALL, n_samples=1200, clay_follows_soc_sd=sd)).truth for sd in (0.0, 0.12)
    )
    region = np.repeat(np.arange(6), 200)
    clay = np.isin(plain.names, CLAY_MINERALS)

    def odds(truth):
        return np.log(truth.mass[:, clay].sum(1) / (truth.mass[:, :-1][:, ~clay[:-1]].sum(1)))

    moved, log_soc = odds(spread) - odds(plain), np.log(plain.mass[:, -1])
    slopes = [np.polyfit(log_soc[region == r], moved[region == r], 1)[0] for r in range(6)]
    np.testing.assert_allclose(np.sort(slopes), 0.12 * np.sqrt(3.0) * np.linspace(-1, 1, 6), atol=1e-6)


def test_regions_differ_in_moisture_and_soc(default):
    region = default.group("region")
    for values in (default.truth.moisture, default.property("soc").values):
        medians = [np.median(values[region == r]) for r in np.unique(region)]
        assert max(medians) > 2 * min(medians)


# Spectra


def test_spectra_look_like_soils(default):
    axis, values = default.spectra.axis, default.spectra.values

    def at(wavelength):
        return np.median(values[:, np.argmin(np.abs(axis - wavelength))])

    assert 0.03 < at(400) < at(550) < at(700) < at(1000) < at(1650) < 0.7
    assert at(1415) < at(1350) and at(1920) < 0.95 * min(at(1830), at(2080)) and at(2207) < at(2130)
    assert default.spectra.quantity == "reflectance" and values.min() > 0 and values.max() < 1.1


def test_noise_has_its_standard_deviation():
    quiet = make_twin(IDEAL).spectra.values
    noisy = make_twin(dataclasses.replace(IDEAL, noise=0.001, reflectance_floor=0.0001)).spectra.values
    found = np.std(noisy - quiet, axis=0)
    np.testing.assert_allclose(np.median(found[15:-15]), 0.001, rtol=0.03)
    # The first band lies 15 nm inside the window, the last at its end.
    np.testing.assert_allclose(found[[0, -1]], 0.001 * (1 + 4 * np.exp([-(15 / 2150) / 0.03, 0.0])), rtol=0.15)


# Switches


@pytest.mark.parametrize(
    "switch",
    [
        {"soc_troughs": False},
        {"soc_darkness": 0.1},
        {"noise": 0.0},
        {"gain_log_sd": 0.3},
        {"label_noise": 0.2},
        {"decoder_distortion": 0.1},
        {"path_sample_log_sd": 0.2},
        {"outlying_state": 0.0},
        {"soc_rho_r": 1.4},
    ],
)
def test_a_switch_leaves_the_soils_alone(small, switch):
    switched = make_twin(dataclasses.replace(SMALL, **switch))
    np.testing.assert_array_equal(small.truth.mass, switched.truth.mass)
    np.testing.assert_array_equal(small.ids, switched.ids)


def test_the_null_control_has_no_troughs():
    axis = np.arange(365.0, 2501.0)
    for troughs in (True, False):
        curve = soc_curve(axis, troughs=troughs, darkness=0.037, brightness=0.246)
        minima = axis[1:-1][(curve[1:-1] < curve[:-2]) & (curve[1:-1] < curve[2:])]
        assert (minima.size > 0) is troughs
        if troughs:
            assert all(np.min(np.abs(minima - band)) < 25 for band in (1445, 1730, 1930, 2305, 2350))
        assert curve.min() > 0.0 and curve.max() < 0.26


@pytest.mark.parametrize("darkness", [0.01, 0.037, 0.12])
def test_darkness_is_the_first_percentile_of_f_whatever_the_axis(darkness):
    config = TwinConfig(n_samples=20, n_regions=1, n_bands=2136, soc_darkness=darkness)
    assert np.percentile(make_twin(config).truth.f_soc, 1) == pytest.approx(darkness, abs=2e-4)
    coarse = make_twin(dataclasses.replace(config, n_bands=50)).truth
    assert coarse.f_soc[0] == pytest.approx(darkness, abs=3e-3)


def test_clay_follows_soc_as_asked():
    def slope(exponent):
        library = make_twin(dataclasses.replace(SMALL, n_samples=3000, n_regions=1, clay_follows_soc=exponent))
        mass = library.truth.mass
        clay = mass[:, np.isin(library.truth.names, CLAY_MINERALS)].sum(1)
        rest = 1.0 - clay - mass[:, -1]
        keep = (clay > 0) & (rest > 0)
        return np.polyfit(np.log(mass[keep, -1]), np.log(clay[keep] / rest[keep]), 1)[0]

    # The ratio of clay to the other minerals carries the exponent exactly, on top of its own spread.
    assert slope(0.3) - slope(0.0) == pytest.approx(0.3, abs=1e-6)


def test_label_noise_changes_labels_only(small):
    noisy = make_twin(dataclasses.replace(SMALL, label_noise=0.2))
    log_ratio = np.log(noisy.property("soc").values / (100 * noisy.truth.mass[:, -1]))
    assert np.std(log_ratio) == pytest.approx(0.2, rel=0.15)
    np.testing.assert_array_equal(noisy.spectra.values, small.spectra.values)


def test_the_decoders_library_can_lack_and_distort_minerals():
    wrong = make_twin(
        dataclasses.replace(SMALL, decoder_missing=("Quartz",), decoder_distortion=0.1, decoder_rho_r_log_sd=0.1)
    ).truth
    assert "Quartz" in wrong.minerals.names and "Quartz" not in wrong.decoder_minerals.names
    assert "decoder_missing" in wrong.decoder_minerals.exclusions["Quartz"]
    same = wrong.minerals.select(wrong.decoder_minerals.names)
    error = np.log(wrong.decoder_minerals.spectra.values / same.spectra.values)
    assert 0.05 < np.std(error) < 0.15
    assert 0.05 < np.std(np.log(wrong.decoder_minerals.rho_r / same.rho_r)) < 0.15


def test_the_decoder_gets_an_imperfect_library_unless_the_exact_one_is_asked_for(small):
    given, true = small.truth.decoder_minerals, small.truth.minerals
    assert 0.1 < np.std(np.log(given.spectra.values / true.spectra.values)) < 0.3
    assert any("not the minerals of the soils" in note for note in given.notes)
    exact = make_twin(dataclasses.replace(SMALL, decoder_distortion=0.0)).truth
    np.testing.assert_array_equal(exact.decoder_minerals.spectra.values, exact.minerals.spectra.values)


def test_the_decoder_can_be_given_uncoated_powders():
    truth = make_twin(dataclasses.replace(SMALL, decoder_powders=True, decoder_distortion=0.0)).truth
    quartz = truth.minerals.index("Quartz")
    assert truth.decoder_minerals.spectra.values[quartz, 0] > 2 * truth.minerals.spectra.values[quartz, 0]


# Reference twin


def test_the_reference_twin_is_that_of_the_protocol(data_root):
    library = reference_twin(400)
    assert (len(library), library.spectra.n_bands, len(np.unique(library.group("region")))) == (400, 267, 8)
    assert len(library.truth.names) == 85
    np.testing.assert_allclose(np.diff(library.spectra.axis), 8.0)
    assert not library.truth.moisture.any() and library.truth.soc_rho_r == 1.4


def test_the_reference_twin_without_measured_minerals_uses_the_same_fitted_ones(monkeypatch, data_root):
    measured = reference_twin(40).truth
    monkeypatch.delenv("JAXSOIL_DATA")
    fitted = reference_twin(40).truth
    assert reference_config().minerals == "fitted" and fitted.names == measured.names
    np.testing.assert_array_equal(fitted.mass, measured.mass)
    np.testing.assert_allclose(fitted.endmembers, measured.endmembers, atol=0.05)


def test_regression_on_the_reference_twin_recovers_f_soc():
    # With the true c the model is linear in x = m / (1 - m): R (1/c_bar + x/c) = const + x f/c, region by region.
    library = reference_twin(2000, minerals="fitted", minerals_left_out=("Montmorillonite", "Beidellite"))
    truth = library.truth
    soc = truth.mass[:, -1:]
    x = soc / (1 - soc)
    c_bar = 1 / np.mean((truth.mass[:, :-1] / (1 - soc)) @ (1 / truth.rho_r[:-1]))
    left = library.spectra.values * (1 / c_bar + x / truth.soc_rho_r)
    region = library.group("region")
    for name in np.unique(region):
        rows = region == name
        left[rows] -= left[rows].mean(0)
        x[rows] -= x[rows].mean()
    f = truth.soc_rho_r * (x[:, 0] @ left) / np.sum(x**2)
    assert np.sqrt(np.mean((f - truth.f_soc) ** 2)) < 0.03


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_samples": 0}, "n_samples"),
        ({"n_regions": 0}, "n_regions"),
        ({"n_samples": 3, "n_regions": 4}, "n_regions"),
        ({"n_bands": 1}, "n_bands"),
        ({"wavelength_low": 300.0}, "350-2500"),
        ({"wavelength_high": 2600.0}, "350-2500"),
        ({"horizons_fewest": 7}, "horizons"),
        ({"noise": -0.1}, "noise"),
        ({"noise": float("nan")}, "noise"),
        ({"noise_ends": -1.0}, "noise_ends"),
        ({"curvature_log_sd": -0.01}, "curvature_log_sd"),
        ({"tilt_log_sd": -0.01}, "tilt_log_sd"),
        ({"path_sample_log_sd": -0.1}, "path_sample_log_sd"),
        ({"soc_low": 30.0}, "soc_low"),
        ({"trace_share": 1.0}, "trace_share"),
        ({"minerals": "fited"}, "Did you mean 'fitted'"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes, message):
    with pytest.raises(DataError, match=message):
        TwinConfig(**changes)


def test_unknown_minerals_are_refused_with_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'Quartz'"):
        make_twin(dataclasses.replace(SMALL, decoder_missing=("Quarz",)))
    with pytest.raises(DataError, match="Did you mean 'Calcite'"):
        make_twin(dataclasses.replace(SMALL, main_minerals=("Quartz", "Calcit")))


def test_an_axis_outside_the_minerals_window_is_refused():
    with pytest.raises(DataError, match="350-2500"):
        make_twin(SMALL, axis=np.array([1000.0, 2600.0]))
