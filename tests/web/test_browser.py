"""The page in a browser: files go in, numbers come out, by keyboard alone, on a phone and on a desktop."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import named_bundle, number, read_csv, table_file

from jaxsoil.bundle.bundle import Bundle
from jaxsoil.bundle.predict import predict_files
from jaxsoil.web.app import make_app
from jaxsoil.web.serve import listening

pytestmark = pytest.mark.browser

for needed in ("starlette", "uvicorn", "python_multipart", "selenium"):
    pytest.importorskip(needed, reason="the page is optional: pip install 'jaxsoil[web]', and selenium")
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
if not (CHROMIUM and DRIVER):
    pytest.skip("Chromium and its driver are not installed", allow_module_level=True)

import uvicorn  # noqa: E402
from selenium import webdriver  # noqa: E402
from selenium.common.exceptions import WebDriverException  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

WIDTHS = {"phone": 360, "desktop": 1280}
MOST_TABS = 40


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return named_bundle()


@pytest.fixture(scope="module")
def address(bundle: Bundle) -> Iterator[str]:
    """The page of the bundle, served from a thread of this process."""
    with listening("127.0.0.1", 0) as own:
        server = uvicorn.Server(uvicorn.Config(make_app(bundle, "127.0.0.1"), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        yield f"http://127.0.0.1:{own.getsockname()[1]}/"
        server.should_exit = True
        thread.join(timeout=30)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(downloads: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which Chromium cannot set up as root
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(params=list(WIDTHS))
def page(request: pytest.FixtureRequest, browser: Any, address: str) -> Any:
    """The browser at the form, at a width; the page must fit it."""
    width = WIDTHS[request.param]
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": request.param == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    yield browser
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    # An answer such as 400 is told by the network; scripts and the policy of the page must have nothing to say.
    assert [entry for entry in browser.get_log("browser") if entry["source"] != "network"] == []


def press(page: Any, *keys: str) -> None:
    """Presses keys wherever the focus is."""
    ActionChains(page).send_keys(*keys).perform()


def tab_to(page: Any, **wanted: str) -> Any:
    """Presses Tab until the focus is on the element with these attributes; all that are passed have a name."""
    for _ in range(MOST_TABS):
        press(page, Keys.TAB)
        found = page.switch_to.active_element
        if found.tag_name == "body":
            continue  # between the last element and the first
        assert found.accessible_name, found.get_attribute("outerHTML")
        if all(found.get_attribute(name) == value for name, value in wanted.items()):
            return found
    raise AssertionError(f"no key leads to {wanted}")


def gone(element: Any) -> bool:
    """Whether the page of an element was left; in the middle of it Chromium says so in words of its own."""
    try:
        element.is_enabled()
    except WebDriverException:
        return True
    return False


def send(page: Any, paths: list[Path], *, said: bool = True) -> None:
    """Chooses files, says what they do not, and presses the button, by keyboard; waits for the answer."""
    field = tab_to(page, id="files")
    if paths:
        # A browser's own dialog cannot be driven; its field takes the names.
        field.send_keys("\n".join(map(str, paths)))
    if said:
        tab_to(page, id="quantity")
        press(page, "refl")
        tab_to(page, id="unit")
        press(page, "nm")
    old = page.find_element(By.TAG_NAME, "html")
    tab_to(page, type="submit")
    press(page, Keys.ENTER)
    WebDriverWait(page, 60).until(lambda _: gone(old))
    WebDriverWait(page, 60).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, "#results, #problem"))


def cells(page: Any, table: str) -> list[list[str]]:
    rows = page.find_elements(By.CSS_SELECTOR, f"{table} tbody tr")
    return [[cell.get_property("textContent").strip() for cell in row.find_elements(By.XPATH, "*")] for row in rows]


def test_good_and_bad_files_give_the_numbers_of_predict(
    page: Any, bundle: Bundle, downloads: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    folder.mkdir()
    table_file(folder, "<img src=x onerror=alert(1)>.csv", 3)
    table_file(folder, "good.csv", 2, seed=6)
    (folder / "empty.csv").write_bytes(b"")
    (folder / "words.docx").write_bytes(b"words")
    paths = sorted(folder.iterdir())
    send(page, paths)
    own: Any = predict_files(bundle, folder, quantity="reflectance", unit="nm").table
    good, bad = own[own["refused"] == ""], own[own["refused"] != ""]
    rows = cells(page, "#samples")
    assert [row[0] for row in rows] == good["id"].tolist()
    assert [row[-1] for row in rows] == [Path(file).name for file in good["file"]]
    np.testing.assert_allclose([number(row[2]) for row in rows], good["value"].to_numpy(float), rtol=5e-3)
    ends = np.array([[number(end) for end in row[3].split(" to ")] for row in rows])
    np.testing.assert_allclose(ends, good[["low", "high"]].to_numpy(float), rtol=5e-3)
    assert [row[0] for row in cells(page, "#refused")] == [Path(file).name for file in bad["file"]]
    assert not page.find_elements(By.TAG_NAME, "img")

    # The results have the focus: the next key leads into them, to the table to keep.
    assert page.switch_to.active_element.get_attribute("id") == "results"
    before = set(downloads.iterdir())
    tab_to(page, id="csv")
    press(page, Keys.ENTER)
    WebDriverWait(page, 20).until(lambda _: [p for p in set(downloads.iterdir()) - before if p.suffix == ".csv"])
    (saved,) = set(downloads.iterdir()) - before
    kept = read_csv(saved.read_bytes())
    np.testing.assert_allclose(kept["value"].dropna(), good["value"].to_numpy(float), rtol=1e-5)

    # A link in the table opens its sample.
    tab_to(page, href=f"{page.current_url.split('#')[0]}#sample-2")
    press(page, Keys.ENTER)
    shown = page.find_element(By.ID, "sample-2")
    WebDriverWait(page, 10).until(lambda _: shown.is_displayed())
    assert len(shown.find_elements(By.CSS_SELECTOR, "svg.chart path")) == 2
    value = shown.find_element(By.CSS_SELECTOR, ".values td.number").text
    assert number(value) == pytest.approx(float(good["value"].iloc[1]), rel=5e-3)


def test_one_sample_stands_by_itself(page: Any, bundle: Bundle, tmp_path: Path) -> None:
    path = table_file(tmp_path, "mine.csv", 1)
    send(page, [path])
    own = predict_files(bundle, path, quantity="reflectance", unit="nm").table.iloc[0]
    (row,) = cells(page, ".values")
    assert number(row[1]) == pytest.approx(own["value"], rel=5e-3)
    assert len(cells(page, ".neighbours")) == 3 and page.find_element(By.CSS_SELECTOR, ".verdict").is_displayed()
    # The lines are drawn: the wider of them fills most of the panel.
    panel, line = (page.find_element(By.CSS_SELECTOR, what).rect for what in ("svg.chart", "svg.chart path"))
    assert line["width"] > 0.7 * panel["width"] and panel["width"] <= WIDTHS["desktop"]


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_what_the_file_does_not_say_is_asked_for(page: Any, tmp_path: Path) -> None:
    send(page, [table_file(tmp_path, "mine.csv", 2)], said=False)
    (row,) = cells(page, "#refused")
    assert row[0] == "mine.csv" and "does not say its unit" in row[2]
    send(page, [])
    assert "No file was sent" in page.find_element(By.ID, "problem").text
    assert page.switch_to.active_element.get_attribute("id") == "problem"


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_too_much_is_told_before_it_is_sent(page: Any, tmp_path: Path) -> None:
    page.execute_script("document.getElementById('chosen').dataset.bytes = 100")
    page.find_element(By.ID, "files").send_keys(str(table_file(tmp_path, "mine.csv", 2)))
    button = page.find_element(By.CSS_SELECTOR, "button")
    assert "too much" in page.find_element(By.ID, "chosen").text and not button.is_enabled()


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_files_can_be_dropped_anywhere(page: Any, bundle: Bundle, tmp_path: Path) -> None:
    text = table_file(tmp_path, "mine.csv", 2).read_text()
    page.execute_script(
        """
        document.getElementById("unit").value = "nm";
        document.getElementById("quantity").value = "reflectance";
        const dropped = new DataTransfer();
        dropped.items.add(new File([arguments[0]], "mine.csv"));
        const event = new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true});
        document.querySelector("h1").dispatchEvent(event);
        """,
        text,
    )
    WebDriverWait(page, 60).until(lambda driver: driver.find_elements(By.ID, "results"))
    assert [row[0] for row in cells(page, "#samples")] == ["s0", "s1"]


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_without_the_script_the_form_works_as_well(page: Any, tmp_path: Path) -> None:
    page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.refresh()
        page.find_element(By.ID, "files").send_keys(str(table_file(tmp_path, "mine.csv", 2)))
        page.find_element(By.ID, "quantity").send_keys("refl")
        page.find_element(By.ID, "unit").send_keys("nm")
        page.find_element(By.CSS_SELECTOR, "button").click()
        deadline = time.monotonic() + 60
        while not page.find_elements(By.ID, "results") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(cells(page, "#samples")) == 2
    finally:
        page.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
