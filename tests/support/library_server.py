"""Small public libraries in their publishers' layouts, and a local server that gives them, with faults where asked for.

``write_all(folder)`` writes what the publishers' addresses hold, with few rows: made by formulas, measured nowhere.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tools.instrument_files import opus, r_file

SOILS = 24
"""Layers of KSSL; the first 16 have Neospectra scans."""

LABELS = {
    "oc_usda.c729_w.pct": 1.0, "c.tot_usda.a622_w.pct": 1.2, "n.tot_usda.a623_w.pct": 0.1, "caco3_usda.a54_w.pct": 2.0,
    "ph.h2o_usda.a268_index": 6.0, "cec_usda.a723_cmolc.kg": 15.0, "clay.tot_usda.a334_w.pct": 20.0,
    "silt.tot_usda.c62_w.pct": 30.0, "sand.tot_usda.c60_w.pct": 50.0, "bd_usda.a4_g.cm3": 1.3,
}  # fmt: skip


MID = np.arange(600, 4001, 2.0)
"""cm-1."""


def levels(numbers: np.ndarray) -> np.ndarray:
    """(n,) organic matter of soils by their numbers, 0 to 1: what spectra and labels of all libraries share."""
    return (0.618034 * numbers) % 1.0


def mid(n: int, seed: int = 0, level: np.ndarray | None = None, axis: np.ndarray = MID) -> pd.DataFrame:
    """(n, m) absorbances with the O-H stretching of clays above its surroundings, and a band of organic matter."""
    rng = np.random.default_rng(seed)
    shape = 0.4 + np.exp(-(((axis - 1050) / 150) ** 2)) + 0.6 * np.exp(-(((axis - 3450) / 200) ** 2))
    values = rng.uniform(0.7, 1.1, (n, 1)) * shape + 0.01 * rng.standard_normal((n, axis.size))
    if level is not None:
        values += 0.4 * level[:, None] * np.exp(-(((axis - 2900) / 90) ** 2))
    return pd.DataFrame(values.round(5), columns=[f"{band:g}" for band in axis])


def near(n: int, low: int, high: int, step: int, seed: int = 1, level: np.ndarray | None = None) -> pd.DataFrame:
    """(n, m) reflectances that rise to the red and have the bands of water, low to high nm; organic matter darkens."""
    rng, axis = np.random.default_rng(seed), np.arange(low, high + 1, float(step))
    shape = 1 - 0.8 * np.exp(-(axis - 350) / 400)
    for centre, depth in ((1414, 0.08), (1915, 0.2), (2208, 0.08)):
        shape = shape * (1 - depth * np.exp(-(((axis - centre) / 30) ** 2)))
    if level is not None:
        shape = shape * (1 - level[:, None] * (0.3 * np.exp(-axis / 1500) + 0.1 * np.exp(-(((axis - 2310) / 40) ** 2))))
    values = rng.uniform(0.3, 0.5, (n, 1)) * shape + 0.0005 * rng.standard_normal((n, axis.size))
    return pd.DataFrame(values.round(5), columns=[f"{band:g}" for band in axis])


def write(path: Path, table: pd.DataFrame) -> None:
    """Writes a table as the publishers do, gzipped where the name says so."""
    text = table.to_csv(index=False, na_rep="NA").encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def labels(level: np.ndarray, seed: int = 2) -> pd.DataFrame:
    """n rows of soil laboratory values; the last row lacks its pH."""
    rng, n = np.random.default_rng(seed), len(level)
    table = pd.DataFrame({name: value * rng.uniform(0.5, 1.5, n) for name, value in LABELS.items()})
    for name in ("oc_usda.c729_w.pct", "c.tot_usda.a622_w.pct", "n.tot_usda.a623_w.pct"):
        table[name] = LABELS[name] * (0.4 + 2.0 * level)
    clay, silt = table["clay.tot_usda.a334_w.pct"], table["silt.tot_usda.c62_w.pct"]
    table["sand.tot_usda.c60_w.pct"] = 100.0 - clay - silt
    table.loc[n - 1, "ph.h2o_usda.a268_index"] = np.nan
    return table.round(4)


def ossl(folder: Path, kssl: int = SOILS, others: int = 8) -> None:
    """Writes OSSL: KSSL in both ranges, ICRAF in both, LUCAS (from 400 nm) in vis-NIR."""
    names = [("KSSL.SSL", number) for number in range(kssl)] + [("ICRAF.ISRIC", number) for number in range(others)]
    names += [("LUCAS.SSL", number) for number in range(others)]
    n, level = len(names), levels(np.array([number for _, number in names]))
    keys = pd.DataFrame({"dataset.code_ascii_txt": [name for name, _ in names]})
    keys["id.layer_uuid_txt"] = [f"u{name[:2]}{number:03d}" for name, number in names]
    site = keys.assign(
        **{
            "id.layer_local_c": [str(1000 + number) for _, number in names],
            "id.dataset.site_ascii_txt": [str(number // 2) if name[0] == "K" else None for name, number in names],
            "id.location_olc_txt": [None if name[0] == "K" else f"8F{number:03d}" for name, number in names],
            "location.country_iso.3166_txt": ["USA" if name[0] == "K" else None for name, _ in names],
            "layer.upper.depth_usda_cm": [10.0 * (number % 3) for _, number in names],
            "layer.lower.depth_usda_cm": [10.0 * (number % 3 + 1) for _, number in names],
        }
    )
    write(folder / "ossl_soilsite_L0_v1.2.csv.gz", site)
    write(folder / "ossl_soillab_L1_v1.2.csv.gz", pd.concat([keys, labels(level)], axis=1))
    rows = keys["dataset.code_ascii_txt"] != "LUCAS.SSL"
    scans = mid(n, level=level).rename(columns=lambda band: f"scan_mir.{band}_abs")
    write(folder / "ossl_mir_L0_v1.2.csv.gz", pd.concat([keys, scans], axis=1).loc[rows])
    scans = near(n, 350, 2500, 2, level=level).rename(columns=lambda band: f"scan_visnir.{band}_ref")
    scans.loc[~rows, [f"scan_visnir.{band}_ref" for band in range(350, 400, 2)]] = np.nan
    write(folder / "ossl_visnir_L0_v1.2.csv.gz", pd.concat([keys, scans], axis=1))


def neospectra(folder: Path, soils: int = 16, devices: int = 2) -> None:
    """Writes Neospectra: soils of KSSL on some devices, one soil of Ghana without mid-infrared."""
    names, level = [str(9000 + number) for number in range(soils)], levels(np.arange(soils + 1))
    site = pd.DataFrame({"id.sample_local_c": [*names, "gh1"]})
    site["id.layer_local_c"] = [*(str(1000 + number) for number in range(soils)), None]
    site["id.location_olc_txt"] = [*(f"86{number // 2:03d}" for number in range(soils)), None]
    site["location.country_iso.3166_txt"] = ["USA"] * soils + ["GHA"]
    write(folder / "neospectra_soilsite_v1.2.csv.gz", site)
    lab = pd.concat([site.filter(["id.sample_local_c"]), labels(level)], axis=1)
    write(folder / "neospectra_soillab_v1.2.csv.gz", lab)
    sample = np.repeat(site["id.sample_local_c"].to_numpy(object), devices)
    device = np.tile([f"NEO{number + 1}" for number in range(devices)], soils + 1)
    keys = pd.DataFrame({"id.sample_local_c": sample, "id.scan_local_c": device + "_" + sample})
    scans = near(len(keys), 1350, 2550, 2, level=np.repeat(level, devices)).rename(
        columns=lambda band: f"scan_nir.{band}_ref"
    )
    table = pd.concat([keys, scans], axis=1)
    write(folder / "neospectra_nir_v1.2.csv.gz", pd.concat([table, table.iloc[:1]]))  # a scan that stands there twice
    scans = mid(soils, level=level[:soils]).rename(columns=lambda band: f"scan_mir.{band}_abs")
    write(folder / "neospectra_mir_v1.2.csv.gz", pd.concat([site.filter(["id.sample_local_c"])[:soils], scans], axis=1))


def raca(folder: Path, soils: int = 24) -> Path:
    """Writes RaCA in the agency's layout: the spectra, to be brought by hand; sites and samples, which are listed."""
    level = levels(np.arange(soils))
    table = near(soils, 350, 2500, 1, level=level)
    pedon = [f"C{1 + number // 8:02d}{number // 4:02d}C0{number // 2 % 9}1" for number in range(soils)]
    table.insert(0, "sample_id", np.arange(31650, 31650 + soils))
    table = table.assign(rcapid=pedon, sample_top=0, sample_bottom=5, hzname="A", texture="sil", frag_vol=0)
    table = table.assign(bd=1.2, bd_sd=0.1, bd_source="measured", bd_method="scoop")
    table = table.assign(
        soc=(0.5 + 4.5 * level).round(4), soc_sd=0.1, soc_measured="measured", soc_scan=1.0, soc_lab=1.0
    )
    sites = pd.DataFrame({"RaCA_Id": sorted({name[:8] for name in pedon})})
    write(folder / "RaCa_general_location.csv", sites.assign(Gen_long=-97.2, Gen_lat=39.2))
    numbers = pd.Series(np.arange(31650, 31650 + soils + 2)).astype(object)
    samples = pd.DataFrame({"rcasiteid": pedon[0][:8], "sample.id": numbers, "pedon_no": 1, "TOP": 0, "BOT": 5})
    samples = samples.assign(LU="C", MO=1, c_tot_ncs=2.0, caco3=1.5, Measure_BD=1.2)
    samples.loc[soils:, "sample.id"] = np.nan  # samples that bear no number
    samples.loc[0, "caco3"] = np.nan
    write(folder / "RaCA_samples.csv", samples.iloc[::-1])
    spectra = folder / "by_hand" / "RaCA-spectra.csv"
    spectra.parent.mkdir(exist_ok=True)
    write(spectra, table)
    return spectra


def limesoda(folder: Path, fields: tuple[str, ...] = ("SSP.460",), n: int = 12) -> None:
    """Writes the package LimeSoDa with fields of spectra and one without, as NumPy saves text objects."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        targets = {"SOC_target": np.linspace(1, 2, n), "pH_target": 6.0, "Clay_target": 20.0}
        made = {field: near(n, 350, 2498, 2, seed) for seed, field in enumerate(fields, 1)}
        tables = {field: pd.DataFrame(targets).join(100 * one.add_prefix("wl_")) for field, one in made.items()}
        for name, table in (*tables.items(), ("BB.250", pd.DataFrame(targets))):
            part = io.BytesIO()
            columns = np.array(list(table.columns), dtype=object)
            np.savez(part, dataset_data=table.to_numpy(float), dataset_columns=columns, folds=np.arange(n) % 10 + 1)
            wheel.writestr(f"LimeSoDa/data/{name}.npz", part.getvalue())
    (folder / "limesoda-0.1.5-py3-none-any.whl").write_bytes(buffer.getvalue())


AFSIS = {
    "Bruker_Alpha_KBr": np.linspace(3998.0, 376.0, 400), "Bruker_Alpha_ZnSe": np.linspace(3996.0, 498.0, 380),
    "Bruker_HTSXT": np.linspace(7498.0, 599.8, 700), "Bruker_MPA": np.linspace(12493.0, 3598.0, 500),
}  # fmt: skip
"""Instrument -> its axis, cm-1, descending as OPUS has it."""


def afsis(folder: Path, soils: int = 12) -> Path:
    """Writes AfSIS: instrument files, to be brought by hand, one of them cut short, and the laboratories' tables."""
    level, names = levels(np.arange(soils)), [f"icr{number:06d}" for number in range(soils)]
    archive_of = folder / "by_hand" / "afsis-opus.zip"
    archive_of.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(archive_of, "w") as archive:
        for seed, (instrument, axis) in enumerate(AFSIS.items()):
            if instrument == "Bruker_MPA":
                made = -np.log10(near(soils, 800, 2780, 2, seed, level).to_numpy())
                values = np.stack([np.interp(1e7 / axis, np.arange(800, 2781, 2.0), row) for row in made])
            else:
                values = mid(soils, seed, level, axis).to_numpy()
            for name, row in zip(names, values, strict=True):
                content = opus(row, float(axis[0]), float(axis[-1]))
                archive.writestr(f"afsis/{instrument}/{name}.0", content)
            if instrument == "Bruker_HTSXT":
                archive.writestr(f"afsis/{instrument}/{names[0]}.1", content)  # a second scan of the first soil
                archive.writestr(f"afsis/{instrument}/icr999999.0", content[:400])
        archive.writestr("afsis/Bruker_TXRF/icr000000.csv", "element,ppm\nFe,1\n")
    sites = pd.DataFrame({"SSN": names, "Public": True, "Latitude": -1.0, "Longitude": 30.0})
    sites = sites.assign(Cluster=1, Plot=[number // 2 for number in range(soils)], Depth=["top", "sub"] * (soils // 2))
    write(folder / "georeferences.csv", sites.assign(Site="Ihassunge", Country=["Kenya", "Mali"] * (soils // 2)))
    key = pd.DataFrame({"SSN": names})
    clay = 20 + 40 * level
    icraf = key.assign(
        **{"Total carbon": 0.6 + 2 * level, "Psa asand": 90 - clay, "Psa asilt": 10.0, "Psa aclay": clay}
    )
    write(folder / "Wet_Chemistry_ICRAF.csv", icraf.round(4))
    write(folder / "Wet_Chemistry_CROPNUTS.csv", key.assign(PH=5 + 3 * level).round(4))
    write(folder / "Wet_Chemistry_RRES.csv", key.assign(**{"C % Org": 0.5 + 2 * level}).round(4).iloc[1:])
    return archive_of


def nirsoil(folder: Path, n: int = 24) -> Path:
    """Writes NIRsoil as the R file of its package, to be brought by hand."""
    level, bands = levels(np.arange(n)), np.arange(1100, 2499, 2)
    spectra = -np.log10(near(n, 1100, 2498, 2, level=level).to_numpy())
    columns = {"Nt": np.ones(n), "Ciso": 1 + 3 * level, "CEC": np.full(n, 9.0), "train": np.ones(n),
               "spc": ([f"{band}" for band in bands], spectra)}  # fmt: skip
    target = folder / "by_hand" / "NIRsoil.RData"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(gzip.compress(r_file(columns, name="NIRsoil")))
    return target


def splib07(folder: Path) -> None:
    """Writes the archive of the USGS library: two minerals of each spectrometer, one of them with deleted channels."""
    ascii_data = "ASCIIdata_splib07a"
    axes = {
        "ASD_0.35-2.5_microns_2151_ch": np.arange(350, 2501),
        "BECK_Beckman_0.2-3.0_microns": np.linspace(205, 2976, 480),
    }
    with zipfile.ZipFile(folder / f"{ascii_data}.zip", "w") as archive:
        for name, axis in axes.items():
            lines = [" splib07a Record=1: Wavelengths", *(f" {band / 1000:.6f}" for band in axis)]
            archive.writestr(f"{ascii_data}/splib07a_Wavelengths_{name}.txt", "\n".join(lines) + "\n")
        for mineral, code, scale in (("Quartz_GDS31_0-74um_fr", "BECKb", 0.9), ("Kaolinite_KGa-1_wxyl", "ASDNGa", 0.8),
                                     ("Goethite_WS222", "ASDFRb", 0.3), ("Calcite_WS272", "BECKb", 0.7)):  # fmt: skip
            axis = axes["ASD_0.35-2.5_microns_2151_ch" if code.startswith("ASD") else "BECK_Beckman_0.2-3.0_microns"]
            values = scale * (1 - 0.3 * np.exp(-(((axis - 2208) / 40) ** 2)))
            if mineral.startswith("Goethite"):
                values[10:12] = -1.23e34
            lines = [f" splib07a Record=7: {mineral} {code} AREF", *(f" {value:.6e}" for value in values)]
            archive.writestr(
                f"{ascii_data}/ChapterM_Minerals/splib07a_{mineral}_{code}_AREF.txt", "\n".join(lines) + "\n"
            )
        archive.writestr(f"{ascii_data}/errorbars/ChapterM_Minerals/errorbars_Quartz.txt", "not a spectrum")


def write_all(folder: Path) -> None:
    """Writes all libraries, with few rows each."""
    for make in (ossl, neospectra, limesoda, splib07, raca, afsis, nirsoil):
        make(folder)


def bring(server_folder: Path, cache: Path, provider: str, name: str) -> Path:
    """Puts a file that is not fetched where a user would; returns it."""
    target = cache / "manual" / provider / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(server_folder / "by_hand" / name, target))


class Server:
    """A server of a folder on a free port.

    Attributes:
      address: in front of file names.
      requests: (method, path, Range) of each request.
      faults: path -> what is done at a request for it: "break" ends after half of what is left, "stall" sends half and
        waits, "page" answers with HTML, "refuse" with 404, "busy" with 503; each is taken once, from the left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.requests, self.faults = folder, [], dict[str, list[str]]()
        self.etag: Callable[[Path], str] = lambda path: f'"{path.stat().st_mtime_ns}"'
        self.address = ""

    def listing(self, path: str) -> bytes | None:
        """The lists of files that two publishers have in front of theirs."""
        if path == "/articles/24662088":
            names = ("RaCa_general_location.csv", "RaCA_samples.csv")
            files = [{"name": name, "download_url": self.address + name} for name in names]
            return json.dumps({"files": files}).encode()
        if path == "/limesoda/0.1.5/json":
            name = "limesoda-0.1.5-py3-none-any.whl"
            import hashlib

            digest = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
            entry = {"filename": name, "url": self.address + name, "digests": {"sha256": digest}}
            return json.dumps({"urls": [{"filename": "limesoda-0.1.5.tar.gz", "url": "x"}, entry]}).encode()
        return None


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *arguments: Any, server_of: Server, **options: Any) -> None:
        self.of = server_of
        super().__init__(*arguments, **options)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        wanted = self.headers.get("Range")
        self.of.requests.append((self.command, self.path, wanted))
        waiting = self.of.faults.get(self.path, []) if body else []
        fault = waiting.pop(0) if waiting else ""
        path = self.of.folder / self.path.lstrip("/")
        listed = self.of.listing(self.path)
        if fault in ("refuse", "busy") or (listed is None and not path.is_file()):
            return self.send_error(503 if fault == "busy" else 404)
        data = path.read_bytes() if listed is None else listed
        if fault == "page":
            data, listed = b"<!DOCTYPE html><html><body>Please sign in</body></html>", b"page"
        mark, start = ("" if listed else self.of.etag(path)), 0
        if wanted and self.headers.get("If-Range") == mark and mark:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8" if fault == "page" else "application/octet-stream")
        self.send_header("Content-Length", str(len(data) - start))
        if mark:
            self.send_header("ETag", mark)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if not body:
            return None
        half = start + (len(data) - start) // 2
        self.wfile.write(data[start : half if fault in ("break", "stall") else None])
        self.wfile.flush()
        if fault == "stall":
            time.sleep(8.0)
        self.close_connection = True
        return None


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Server]:
    """Serves a folder on this machine within the block."""
    made = Server(folder)
    http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, server_of=made))
    made.address = f"http://127.0.0.1:{http.server_address[1]}/"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
