"""Public libraries from a local server: what they hold, and what is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import library_server
import numpy as np
import pandas as pd
import pytest
from library_server import SOILS, Server

from jaxsoil.data import endmembers, registry
from jaxsoil.data.sources import store, stream
from jaxsoil.data.sources.catalogue import sources
from jaxsoil.data.sources.fetch import Limits
from jaxsoil.data.sources.places import prepared
from jaxsoil.data.sources.prepare import prepare
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.lock import held

QUICK = Limits(timeout=2.0, attempts=8, pause=0.01)


def by_hand(server: Server, tmp_path: Path) -> Path:
    return library_server.bring(server.folder, tmp_path / "cache", "raca", "RaCA-spectra.csv")


def altered(server: Server, tmp_path: Path, name: str, change) -> None:
    """Puts an altered copy of a publisher's table into the manual folder, where it comes first."""
    table = change(pd.read_csv(server.folder / name, dtype=str, keep_default_na=False))
    folder = tmp_path / "cache" / "manual" / "ossl"
    folder.mkdir(parents=True, exist_ok=True)
    library_server.write(folder / name, table)


def test_the_library_is_what_the_tables_say(server):
    made = registry.load("ossl_mir")
    scans = pd.read_csv(server.folder / "ossl_mir_L0_v1.2.csv.gz")
    lab = pd.read_csv(server.folder / "ossl_soillab_L1_v1.2.csv.gz")
    keys = ["dataset.code_ascii_txt", "id.layer_uuid_txt"]
    lab = scans[keys].merge(lab, on=keys, how="left")
    np.testing.assert_array_equal(made.spectra.values, scans.filter(like="scan_mir").to_numpy(np.float32))
    assert made.spectra.axis.tolist() == list(range(600, 4001, 2))
    np.testing.assert_array_equal(made.property("soc").values, lab["oc_usda.c729_w.pct"])
    np.testing.assert_array_equal(made.property("cec").values, lab["cec_usda.a723_cmolc.kg"])
    assert made.group("pedon")[:3].tolist() == ["KSSL.SSL:0", "KSSL.SSL:0", "KSSL.SSL:1"]
    assert made.group("pedon")[-1] == "ICRAF.ISRIC:1~8F007"  # from the second column, which has no site's number
    assert made.licence.startswith("by scan") and made.ids[0] == "KSSL.SSL:uKS000"
    values = made.spectra.values
    assert isinstance(values.base, np.memmap) and not values.flags.writeable  # mapped, not read
    part = registry.load("ossl_mir/ICRAF.ISRIC")
    assert len(part) == 8 and set(part.group("source")) == {"ICRAF.ISRIC"}
    with pytest.raises(DataError, match=r"no such part"):
        registry.load("ossl_mir/KSSL")


def test_rows_that_cannot_be_used_are_counted(server, tmp_path):
    def change(table):
        bands = [name for name in table.columns if name.startswith("scan_mir")]
        table.loc[0, bands[5]] = "NA"
        table.loc[1, bands[5]] = "7.5"
        return pd.concat([table, table.iloc[[2, 3]].assign(**{bands[0]: ["0.123", table.loc[3, bands[0]]]})])

    altered(server, tmp_path, "ossl_mir_L0_v1.2.csv.gz", change)
    altered(server, tmp_path, "ossl_soillab_L1_v1.2.csv.gz", lambda table: table.assign(**{
        "oc_usda.c729_w.pct": ["-0.03", "61", *table["oc_usda.c729_w.pct"][2:]],
        "clay.tot_usda.a334_w.pct": ["0", "0", "99", *table["clay.tot_usda.a334_w.pct"][3:]]}))  # fmt: skip
    made = registry.load("ossl_mir")
    assert len(made) == SOILS + 8 - 2 + 1 and made.ids[-1] == "KSSL.SSL:uKS002#2"
    assert made.samples[-1] == made.samples[0] == "KSSL.SSL:1002"
    assert [note for note in made.notes if note.startswith(("left out", "texture"))] == [
        "left out 1 rows: a band is empty",
        "left out 1 rows: absorbance lies outside -0.3 to 4",
        "left out 1 rows: the same scan stands there twice",
        "texture of 2 rows counts as missing: it does not sum to 100 % within 1",
    ]
    assert np.isnan(made.property("clay").values[0])


def test_bands_that_not_all_data_sets_have_are_not_read(server):
    made = registry.load("ossl_visnir")
    assert made.spectra.axis[[0, -1]].tolist() == [400.0, 2498.0] and made.spectra.n_bands == 1050
    assert set(made.group("region")) == {"KSSL.SSL", "ICRAF.ISRIC", "LUCAS.SSL"}


def test_the_rapid_carbon_assessment_is_brought_by_hand_and_its_sites_are_fetched(server, tmp_path):
    with pytest.raises(DataError, match=r"RaCA-spectra\.csv is not fetched.*fetchRaCA.*manual/raca/RaCA-spectra\.csv"):
        registry.load("raca")
    by_hand(server, tmp_path)
    made = registry.load("raca")
    table = pd.read_csv(server.folder / "by_hand" / "RaCA-spectra.csv")
    np.testing.assert_array_equal(made.property("soc").values, table["soc"])
    assert made.property("latitude").values.tolist() == [39.2] * len(table)
    assert made.group("region").tolist() == [name[1:3] for name in table["rcapid"]]


def test_the_agencys_samples_are_joined_by_their_number(server, tmp_path):
    by_hand(server, tmp_path)
    made = registry.load("raca")
    assert set(made.property("carbon").values) == {2.0} and made.property("carbon").unit == "%"
    np.testing.assert_array_equal(made.property("caco3").values, [np.nan, *[1.5] * (len(made) - 1)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.iloc[3:], r"scans have no row in the table that is joined.*31673; 1 scans"),
        (lambda table: pd.concat([table, table.iloc[[4]]]), r"sample\.id: a key occurs twice.*31671"),
        (lambda table: table.rename(columns={"sample.id": "smp_id"}), r"columns of version 2012 of raca .*sample\.id"),
    ],
    ids=["missing", "twice", "no key"],
)
def test_samples_of_the_agency_that_do_not_join_are_refused(server, tmp_path, change, message):
    by_hand(server, tmp_path)
    table = pd.read_csv(server.folder / "RaCA_samples.csv", dtype=str, keep_default_na=False)
    library_server.write(tmp_path / "cache" / "manual" / "raca" / "RaCA_samples.csv", change(table))
    with pytest.raises(DataError, match=message):
        prepare("raca", progress=False)
    assert [path.name for path in prepared("raca").parent.iterdir()] == []


def test_it_is_prepared_without_the_sites_where_these_cannot_be_had(server, tmp_path, capsys):
    by_hand(server, tmp_path)
    server.listing = lambda path: None  # type: ignore[method-assign]
    prepare("raca", limits=QUICK, progress=False)
    said, made = capsys.readouterr().out, registry.load("raca")
    for name, label in (("RaCA_general_location.csv", "latitude"), ("RaCA_samples.csv", "caco3")):
        assert f"{name} cannot be had" in said and np.isnan(made.property(label).values).all()
        assert f"{name} was not to be had: its values are missing." in made.notes


def test_a_handheld_scan_is_a_soil_and_a_device(server):
    made = registry.load("neospectra_nir")
    assert len(made) == 34 and np.unique(made.samples).size == 17
    assert made.ids[:2].tolist() == ["NEO1_9000", "NEO2_9000"]
    assert made.samples[:2].tolist() == ["KSSL.SSL:1000"] * 2  # the layer's name in ossl_mir
    assert made.samples[-1] == "KSSL.SSL:1~gh1"


def test_fields_of_limesoda_become_the_packaged_data_sets(server):
    made = registry.load("SSP.460")
    expected = library_server.near(12, 350, 2498, 2).to_numpy()
    np.testing.assert_allclose(made.spectra.values, expected, atol=1e-6)
    np.testing.assert_allclose(made.property("soc").values, np.linspace(1, 2, 12))
    assert registry.load("limesoda/SSP.460").fingerprint() == made.fingerprint()
    with pytest.raises(DataError, match=r"no such data set"):
        registry.load("limesoda")


def test_nirsoil_is_read_from_its_r_file(server, tmp_path):
    library_server.bring(server.folder, tmp_path / "cache", "nirsoil", "NIRsoil.RData")
    made = registry.load("nirsoil")
    level = library_server.levels(np.arange(24))
    expected = -np.log10(library_server.near(24, 1100, 2498, 2, level=level).to_numpy())
    np.testing.assert_allclose(made.spectra.values, expected, atol=1e-6)
    np.testing.assert_allclose(made.property("soc").values, 1 + 3 * level)


def test_each_instrument_of_afsis_is_a_library_of_the_same_samples(server, tmp_path):
    with pytest.raises(DataError, match=r"afsis-opus\.zip is not fetched.*aws s3 sync.*manual/afsis/afsis-opus\.zip"):
        registry.load("afsis_mpa")
    library_server.bring(server.folder, tmp_path / "cache", "afsis", "afsis-opus.zip")
    made = {name: registry.load(f"afsis_{name}") for name in ("kbr", "znse", "htsxt", "mpa")}
    names = [f"icr{number:06d}" for number in range(12)]
    assert all(np.unique(one.samples).tolist() == names for one in made.values())
    htsxt, level = made["htsxt"], library_server.levels(np.arange(12))
    assert htsxt.ids[:2].tolist() == ["icr000000", "icr000000#2"] and len(htsxt) == 13
    assert "left out 1 files that cannot be read" in htsxt.notes
    axis = library_server.AFSIS["Bruker_HTSXT"]
    assert htsxt.spectra.axis[0] >= 600 and htsxt.spectra.axis[-1] <= 4000
    expected = library_server.mid(12, 2, level, axis).to_numpy()[3, (axis >= 600) & (axis <= 4000)][::-1]
    np.testing.assert_allclose(htsxt.spectra.values[htsxt.samples == names[3]][0], expected, atol=1e-5)
    soc = made["mpa"].property("soc").values
    assert np.isnan(soc[0]) and soc[1] == pytest.approx(0.5 + 2 * level[1], abs=1e-4)
    assert made["kbr"].group("pedon")[:3].tolist() == ["Ihassunge:1:0", "Ihassunge:1:0", "Ihassunge:1:1"]
    sites = pd.read_csv(server.folder / "georeferences.csv", dtype=str)
    library_server.write(tmp_path / "cache" / "manual" / "afsis" / "georeferences.csv", sites.iloc[1:])
    with pytest.raises(DataError, match=r"scans have no row in the table that is joined.*icr000000"):
        prepare("afsis_kbr", again=True, progress=False)


def test_minerals_of_both_spectrometers_lie_on_one_axis(server):
    made = registry.load("splib07")
    assert made.ids.tolist() == ["Calcite_WS272_BECKb", "Kaolinite_KGa-1_wxyl_ASDNGa", "Quartz_GDS31_0-74um_fr_BECKb"]
    expected = 0.9 * (1 - 0.3 * np.exp(-(((made.spectra.axis - 2208) / 40) ** 2)))
    np.testing.assert_allclose(made.spectra.values[2], expected, atol=0.002)  # Beckman's bands are 5.8 nm apart here
    assert any("left out 1 spectra" in note for note in made.notes)
    minerals = endmembers.best_minerals([1000.0, 2000.0])  # those of the mixing decoder, once they are prepared
    assert set(minerals.names) <= {"Calcite", "Kaolinite", "Quartz"} and len(minerals) >= 2
    assert minerals.provenance["Quartz"]["spectrum"] == "splib07a, Quartz_GDS31_0-74um_fr_BECKb"
    np.testing.assert_array_equal(minerals.spectra.values[minerals.index("Quartz")], made.spectra.values[2])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "ossl_soillab_L1_v1.2.csv.gz",
            lambda table: table.drop(columns=["oc_usda.c729_w.pct", "bd_usda.a4_g.cm3"]),
            r"columns of version 1\.2 of ossl_mir are missing: oc_usda\.c729_w\.pct, bd_usda\.a4_g\.cm3",
        ),
        (
            "ossl_mir_L0_v1.2.csv.gz",
            lambda table: table.drop(columns="scan_mir.600_abs"),
            r"version 1\.2 of ossl_mir has 1701 bands.*found: 1700 bands, 602 to 4000",
        ),
        (
            "ossl_soilsite_L0_v1.2.csv.gz",
            lambda table: table[table["id.layer_uuid_txt"] != "uKS003"],
            "scans have no row in the table that is joined.*KSSL.SSL:uKS003; 1 scans",
        ),
        (
            "ossl_soilsite_L0_v1.2.csv.gz",
            lambda table: pd.concat([table, table.iloc[[4]]]),
            "a key occurs twice.*KSSL.SSL:uKS004",
        ),
        (
            "ossl_soillab_L1_v1.2.csv.gz",
            lambda table: table.assign(**{"id.layer_uuid_txt": "other" + table["id.layer_uuid_txt"]}),
            "scans have no row in the table",  # none at all, though some may lack theirs
        ),
        (
            "ossl_soillab_L1_v1.2.csv.gz",
            lambda table: table.assign(**{"n.tot_usda.a623_w.pct": "low"}),
            "a label is text, not a number",
        ),
        (
            "ossl_mir_L0_v1.2.csv.gz",
            lambda table: table.assign(**{"scan_mir.800_abs": "n.d."}),
            r"the table cannot be read.*n\.d\.",
        ),
        (
            "ossl_mir_L0_v1.2.csv.gz",
            lambda table: table.assign(**{f"scan_mir.{band}_abs": "NA" for band in (800, 900)}),
            "too few spectra can be used.*32 of 32 rows left out",
        ),
    ],
    ids=["labels", "bands", "key missing", "key twice", "no key", "text label", "text band", "all incomplete"],
)
def test_tables_of_another_version_are_refused_and_leave_nothing(server, tmp_path, name, change, message):
    altered(server, tmp_path, name, change)
    with pytest.raises(DataError, match=message):
        prepare("ossl_mir", progress=False)
    assert [path.name for path in prepared("ossl_mir").parent.iterdir()] == []


def test_a_table_that_is_cut_short_is_refused(server, tmp_path):
    folder = tmp_path / "cache" / "manual" / "ossl"
    folder.mkdir(parents=True)
    data = (server.folder / "ossl_mir_L0_v1.2.csv.gz").read_bytes()
    (folder / "ossl_mir_L0_v1.2.csv.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"the table cannot be read"):
        prepare("ossl_mir", progress=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is a thing of Linux")
def test_a_disk_that_fills_while_preparing_leaves_nothing(server, monkeypatch):
    monkeypatch.setattr(store, "open_values", lambda folder: open("/dev/full", "wb"))  # noqa: SIM115
    with pytest.raises(DataError, match=r"the disk is full.*nothing half-written is left"):
        prepare("ossl_mir", progress=False)
    assert list(prepared("ossl_mir").parent.iterdir()) == []
    monkeypatch.undo()


def test_what_a_killed_process_left_is_cleared_away(server):
    left = prepared("ossl_mir").parent / ".ossl_mir-abc.making"
    left.mkdir(parents=True)
    prepare("ossl_mir", progress=False)
    assert [path.name for path in left.parent.iterdir()] == ["ossl_mir"]


def test_two_at_once_prepare_once(server):
    with (
        held(prepared("neospectra_mir")),
        pytest.raises(UsageError, match=r"neospectra_mir is being prepared: .*process"),
    ):
        prepare("neospectra_mir", progress=False)
    server.faults["/neospectra_mir_v1.2.csv.gz"] = ["stall"]
    threads = [
        threading.Thread(
            target=prepare, args=("neospectra_mir",), kwargs={"progress": False, "wait": 120.0, "limits": QUICK}
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path for _, path, _ in server.requests} == {
        f"/neospectra_{name}_v1.2.csv.gz" for name in ("mir", "soillab", "soilsite")
    }
    assert sum(path == "/neospectra_soillab_v1.2.csv.gz" for _, path, _ in server.requests) == 1
    assert len(registry.load("neospectra_mir")) == 16


def test_a_damaged_store_says_how_to_make_it_again(server):
    folder = prepare("neospectra_mir", progress=False)
    with open(folder / store.VALUES, "rb+") as stream_out:
        stream_out.truncate(1000)
    with pytest.raises(DataError, match=r"damaged.*jaxsoil data prepare neospectra_mir --again"):
        registry.load("neospectra_mir")
    prepare("neospectra_mir", progress=False, again=True)
    assert len(registry.load("neospectra_mir")) == 16


def test_blocks_hold_few_rows_and_all_of_them(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((500, 40)).round(6), columns=[f"b{band}" for band in range(40)])
    table.insert(0, "id", [f"s{row}" for row in range(500)])
    library_server.write(tmp_path / "t.csv.gz", table)
    parts = list(stream.blocks(tmp_path / "t.csv.gz", list(table.columns[1:]), ["id"], block=20_000))
    row = len(",".join(map(str, table.iloc[0])))
    assert max(len(values) for values, _ in parts) <= 1.2 * 20_000 / row
    np.testing.assert_array_equal(
        np.concatenate([values for values, _ in parts]), table.iloc[:, 1:].to_numpy(np.float32)
    )
    assert [name for _, others in parts for name in others["id"].tolist()] == table["id"].tolist()


def test_the_catalogue_is_whole():
    for name, source in sources().items():
        assert name == source.name and source.licence and source.citation and source.homepage and source.rows > 0
        assert sum(source.parts.values()) in (0, source.rows)
        kinds = (source.spectra is not None, bool(source.manifests), bool(source.instruments), name == "splib07")
        assert sum(kinds) == 1
