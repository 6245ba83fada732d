"""The page of a bundle without a browser: its numbers, what it refuses, what it leaves behind, whom it answers."""

from __future__ import annotations

import dataclasses
import gzip
import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Reader, named_bundle, number, table_file
from small_bundle import small_bundle, soils

from jaxsoil.bundle.bundle import TWIN_WARNING, Bundle, Model, Target, prepared
from jaxsoil.bundle.predict import predict, predict_files
from jaxsoil.bundle.predictors import Linear
from jaxsoil.web import answer, uploads
from jaxsoil.web.app import make_app

for needed in ("starlette", "httpx2", "python_multipart"):
    pytest.importorskip(needed, reason="the page is optional: pip install 'jaxsoil[web]'")

from starlette.testclient import TestClient  # noqa: E402

SAID = {"unit": "nm", "quantity": "reflectance"}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return named_bundle()


@pytest.fixture
def client(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client on the page; whatever a request writes lies in a folder of its own, which must be empty afterwards."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    yield TestClient(make_app(bundle, "127.0.0.1"), base_url="http://127.0.0.1:8765")
    assert list(scratch.iterdir()) == []


def post(client: TestClient, *files: tuple[str, bytes], **said: str) -> Any:
    return client.post("/", files=[("files", file) for file in files], data=said)


def read(client: TestClient, *files: tuple[str, bytes], **said: str) -> Reader:
    answered = post(client, *files, **said)
    assert answered.status_code == 200, answered.text
    return Reader(answered.text)


def test_one_sample_has_its_numbers_neighbours_and_reconstruction(
    client: TestClient, bundle: Bundle, tmp_path: Path
) -> None:
    page = read(client, ("mine.csv", table_file(tmp_path, "mine.csv", 1).read_bytes()), **SAID)
    row = predict(bundle, soils(1, 5)[0]).iloc[0]
    header, (name, value, interval, region) = page.tables["values"]
    assert name == "soc (%)" and header[1:] == ["value", "interval", "interval for a new region"]
    shown = [value, *interval.split(" to "), *region.split(" to ")]
    columns = ["value", "low", "high", "region_low", "region_high"]
    np.testing.assert_allclose([number(text) for text in shown], row[columns].to_numpy(float), rtol=5e-3)

    x = prepared(soils(1, 5)[0].values, ("absorbance", "snv"), "reflectance")
    rows, distances = bundle.domain.nearest(x)
    found = page.tables["neighbours"][1:]
    assert [name for name, _ in found] == [f"soil {n}" for n in rows[0]]
    np.testing.assert_allclose([number(text) for _, text in found], distances[0], atol=6e-4)
    assert ("Like the soils that the model knows" in page.text) == bool(row["applicable"])
    # The default model, PLSR, has no decoder: the bundle's other one draws.
    error = predict(bundle, soils(1, 5)[0], model="ann")["rebuilt"].iloc[0]
    assert f"The decoder of ann rebuilds the spectrum with an RMSE of {answer.significant(error)}" in page.text
    assert {own.get("class") for tag, own in page.tags if tag == "path"} == {"measured", "rebuilt"}


def test_many_samples_give_a_table_and_the_file_that_predict_writes(
    client: TestClient, bundle: Bundle, tmp_path: Path
) -> None:
    paths = [table_file(tmp_path, "a.csv", 5), table_file(tmp_path, "b.csv", 3, seed=6)]
    page = read(client, *((path.name, path.read_bytes()) for path in paths), **SAID)
    own = predict_files(bundle, paths, quantity="reflectance", unit="nm").table
    rows = page.tables["samples"][1:]
    assert [row[0] for row in rows] == own["id"].tolist() and [row[-1] for row in rows] == ["a.csv"] * 5 + ["b.csv"] * 3
    np.testing.assert_allclose([number(row[2]) for row in rows], own["value"].to_numpy(float), rtol=5e-3)
    assert [row[4] != "none" for row in rows] == (own["flags"] != "").tolist()
    kept = page.csv()
    assert kept["file"].tolist() == ["a.csv"] * 5 + ["b.csv"] * 3 and list(kept.columns) == list(own.columns)
    np.testing.assert_allclose(kept[["value", "low", "high"]], own[["value", "low", "high"]].astype(float), rtol=1e-5)
    assert "8 samples predicted" in " ".join(page.text.split())


def test_model_and_interval_are_those_of_the_form(client: TestClient, bundle: Bundle, tmp_path: Path) -> None:
    page = read(client, ("a.csv", table_file(tmp_path, "a.csv", 2).read_bytes()), model="forest", level="0.8", **SAID)
    own = predict(bundle, soils(2, 5)[0], model="forest", level=0.8)
    low = [number(row[3].split(" to ")[0]) for row in page.tables["samples"][1:]]
    np.testing.assert_allclose(low, own["low"].to_numpy(float), rtol=5e-3)
    chosen = [own["value"] for tag, own in page.tags if tag == "option" and "selected" in own]
    assert chosen == ["reflectance", "nm", "forest", "0.8"]


def test_several_properties_stand_with_their_sample(tmp_path: Path) -> None:
    bundle = small_bundle()
    model = bundle.model()
    assert isinstance(model.predictor, Linear)
    slopes, start = model.predictor.coefficients, model.predictor.intercept
    double = Linear(np.repeat(slopes, 2, axis=1), np.concatenate([start, start + 1.0]), ("log10", "log10"))
    targets = (*model.targets, Target("clay", "%", 1.0, 60.0))
    two = dataclasses.replace(bundle, models={"plsr": Model(double, model.steps, targets, model.calibrations)})
    client = TestClient(make_app(two, "127.0.0.1"), base_url="http://127.0.0.1:8765")
    page = read(client, ("a.csv", table_file(tmp_path, "a.csv", 3).read_bytes()), **SAID)
    rows = page.tables["samples"][1:]
    assert [row[0] for row in rows] == ["s0", "", "s1", "", "s2", ""]
    assert [row[1] for row in rows] == ["soc (%)", "clay (%)"] * 3
    ratio = [number(clay[2]) / number(soc[2]) for soc, clay in zip(rows[::2], rows[1::2], strict=True)]
    np.testing.assert_allclose(ratio, 10.0, rtol=0.01)
    # No property "clay" was held out, and no model has a decoder.
    assert rows[1][3] == "– to –" and "rebuilds" not in page.text
    assert page.tables["neighbours"][1][0].startswith("row ")


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>.csv", "../../../evil.csv", "/etc/cron.d/evil.csv", "a\nb.csv"]
)
def test_a_name_is_text_and_no_path(name: str, client: TestClient, tmp_path: Path) -> None:
    content = table_file(tmp_path, "mine.csv", 2).read_bytes()
    answered = post(client, (name, content), ("<b>bad</b>.csv", b""), **SAID)
    page = Reader(answered.text)
    assert answered.status_code == 200 and "<script>alert" not in answered.text and "<b>" not in answered.text
    assert len(page.tables["samples"]) == 3 and page.tables["refused"][1][0] == "<b>bad</b>.csv"
    assert not list(tmp_path.rglob("*evil*"))


def test_what_a_file_holds_is_text_too(client: TestClient, tmp_path: Path) -> None:
    path = table_file(tmp_path, "mine.csv", 3)
    text = path.read_text().replace("\ns0,", "\n<i>x</i>,").replace("\ns1,", "\n=1+2,").replace("\ns2,", "\n-7,")
    page = read(client, ("mine.csv", text.encode()), **SAID)
    assert [row[0] for row in page.tables["samples"][1:]] == ["<i>x</i>", "=1+2", "-7"]
    assert "i" not in {tag for tag, _ in page.tags}
    # A spreadsheet would run the second.
    assert page.csv()["id"].tolist() == ["<i>x</i>", "'=1+2", "-7"]


def test_refusals_have_the_names_and_reasons_of_predict(client: TestClient, bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    good = table_file(folder, "good.csv", 2)
    lines = good.read_text().splitlines()
    half = lines[1].split(",")
    half[1:] = ["0.3"] * len(half[1:])
    (folder / "flat.csv").write_text("\n".join([lines[0], ",".join(half), lines[2]]))
    (folder / "empty.csv").write_bytes(b"")
    (folder / "notes.docx").write_bytes(b"words")
    (folder / "noend").write_bytes(b"words")
    (folder / ".hidden").write_bytes(b"words")
    files = [(f"mine/{path.name}", path.read_bytes()) for path in sorted(folder.iterdir())]
    page = read(client, *files, **SAID)
    own: Any = predict_files(bundle, folder, quantity="reflectance", unit="nm").table
    own = own[own["refused"] != ""]
    expected = {(f"mine/{Path(file).name}", name) for file, name in own[["file", "id"]].to_numpy()}
    rows = page.tables["refused"][1:]
    assert {(file, name) for file, name, _ in rows} == expected and len(rows) == 4
    reasons = {file: reason for file, _, reason in rows}
    for file, reason in own[["file", "refused"]].to_numpy():
        name = f"mine/{Path(file).name}"
        assert reasons[name] == " ".join(
            reason.replace(str(folder), "mine").replace("found: noend", f"found: {name}").split()
        )
    assert sum(reason != "" for reason in page.csv()["refused"]) == 4


def test_archives_are_read_within_bounds(client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(table_file(tmp_path, "in.csv", 2), "deep/in.csv")
        archive.writestr("<u>.txt", b"")
    page = read(client, ("pack.zip", packed.getvalue()), **SAID)
    assert [row[-1] for row in page.tables["samples"][1:]] == ["pack.zip/deep/in.csv"] * 2
    assert page.tables["refused"][1][0] == "pack.zip/<u>.txt"
    monkeypatch.setattr(uploads, "MOST_UNPACKED", 2000)
    packed_csv = gzip.compress(table_file(tmp_path, "big.csv", 9).read_bytes())
    page = read(client, ("pack.zip", packed.getvalue()), ("big.csv.gz", packed_csv), **SAID)
    assert [row[0] for row in page.tables["refused"][1:]] == ["pack.zip", "big.csv.gz"]
    assert all("it unpacks to more than" in row[2] for row in page.tables["refused"][1:])


def test_too_much_is_refused_with_what_is_allowed(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 3)
    answered = post(client, *((f"{n}.csv", b"x") for n in range(4)))
    assert answered.status_code == 413 and "too many files" in answered.text
    monkeypatch.setattr(uploads, "MOST_BYTES", 1000)
    answered = post(client, ("large.csv", bytes(2000)))
    assert answered.status_code == 413 and "larger than" in answered.text and uploads.LIMITS in answered.text


def test_a_form_that_cannot_be_carried_out_says_why(client: TestClient) -> None:
    for said, message in (
        ({}, "No file was sent"),
        ({"model": "plrs"}, "Did you mean &#39;plsr&#39;"),
        ({"level": "2"}, "is no level"),
        ({"unit": "<b>"}, "is no unit"),
    ):
        answered = client.post(
            "/", data=said, files=[("files", ("", b""))] if not said else [("files", ("a.csv", b"1"))]
        )
        assert answered.status_code == 400 and message in answered.text, said
    answered = client.post("/", data={"model": "plsr"})
    assert answered.status_code == 400 and "no form with files" in answered.text
    answered = client.post("/", content=b"--x\r\nhalf", headers={"content-type": "multipart/form-data; boundary=y"})
    assert answered.status_code == 400 and "does not hold together" in answered.text
    assert client.get("/none").status_code == 404 and client.put("/").status_code == 405


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[", "localhost.evil.example:8765"])
def test_a_name_that_another_site_points_here_gets_no_answer(host: str, client: TestClient) -> None:
    answered = client.get("/", headers={"host": host})
    assert answered.status_code == 403 and "answers only under the address" in answered.text


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:8765", "[::1]:8765", "192.168.1.7"])
def test_own_names_and_addresses_get_one(host: str, client: TestClient) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin"}, True),
        ({}, True),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://["}, False),
        ({"sec-fetch-site": "cross-site"}, False),
    ],
)
def test_a_form_of_another_site_is_refused(headers: dict[str, str], allowed: bool, client: TestClient) -> None:
    answered = client.post("/", files={"files": ("a.csv", b"1")}, headers=headers)
    assert answered.status_code == (200 if allowed else 403)


def test_every_answer_forbids_what_the_page_does_not_use(client: TestClient) -> None:
    for answered in (client.get("/"), client.get("/none"), post(client), client.get("/", headers={"host": "evil"})):
        policy = answered.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
        assert answered.headers["cache-control"] == "no-store"
    page = Reader(client.get("/").text)
    links = {value for _, own in page.tags for name, value in own.items() if name in ("src", "href", "action")}
    assert links == {"page.js", "page.css", "data:,", "./"}
    assert not [
        own for tag, own in page.tags if tag == "style" or "style" in own or any(k.startswith("on") for k in own)
    ]
    for name in ("page.js", "page.css"):
        found = client.get(f"/{name}")
        assert found.status_code == 200 and "//" not in found.text.replace("// ", "").replace("/*", "")


def test_a_failure_is_a_page_and_the_next_request_is_served(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestClient(make_app(bundle, "127.0.0.1"), "http://127.0.0.1:8765", raise_server_exceptions=False)
    content = table_file(tmp_path, "a.csv", 1).read_bytes()
    with monkeypatch.context() as broken:
        broken.setattr(answer, "draw", lambda *_: 1 / 0)
        answered = post(client, ("a.csv", content), **SAID)
    assert answered.status_code == 500 and "The page failed" in answered.text and "Traceback" not in answered.text
    assert "content-security-policy" in answered.headers
    assert post(client, ("a.csv", content), **SAID).status_code == 200


def test_a_twin_says_so() -> None:
    client = TestClient(make_app(small_bundle(twin=True), "127.0.0.1"), base_url="http://127.0.0.1:8765")
    assert TWIN_WARNING in client.get("/").text


def test_long_tables_are_cut_on_the_page_alone(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "MOST_ROWS", 3)
    monkeypatch.setattr(answer, "MOST_CARDS", 2)
    page = read(client, ("a.csv", table_file(tmp_path, "a.csv", 7).read_bytes()), **SAID)
    assert len(page.tables["samples"]) == 1 + 3 and len(page.csv()) == 7
    assert (
        sum(tag == "article" or own.get("id", "") in ("sample-1", "sample-2", "sample-3") for tag, own in page.tags)
        == 2
    )
