"""The notebooks: stored clean, alike where they should be, and executed at smoke size in a kernel."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import os
import re
import subprocess
import tomllib
import types
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
FIGURES = {
    "quickstart": 3,
    "structured_reconstruction": 4,
    "multifidelity": 3,
    "layers_and_hybrid": 4,
    "bring_your_own_spectra": 3,
    "tpu_and_sweeps": 3,
}
"""Every notebook and the pictures that it draws."""
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"].get("urls", {})
REPOSITORY = URLS.get("Repository", "https://github.com/OWNER/jaxsoil")
"""Where notebooks install from and Colab opens them: as pyproject.toml says, and OWNER until it says something."""


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.ipynb").read_text("utf-8"))


def sources(name: str) -> list[str]:
    return ["".join(cell["source"]) for cell in read(name)["cells"]]


def shared(name: str, start: str) -> str:
    """The cell that begins like this, its name left out."""
    (cell,) = [text for text in sources(name) if text.startswith(start)]
    return re.sub(r"NEEDED = .*", "NEEDED = {}", cell.replace(f"notebook-{name}", "notebook"))


def test_each_is_known() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_stored_without_outputs_and_opened_alike(name: str) -> None:
    found = read(name)
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    assert set(found["metadata"]) == {"kernelspec", "language_info"}
    cells = found["cells"]
    ids = [cell["id"] for cell in cells]
    assert len(set(ids)) == len(ids) and all(one.startswith(name.replace("_", "-")) for one in ids)
    for cell in cells:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    opening = "".join(cells[0]["source"])
    colab = REPOSITORY.replace("https://github.com/", "https://colab.research.google.com/github/")
    assert f"({colab}/blob/main/notebooks/{name}.ipynb)" in opening
    assert re.search(r"\*\*Run time:\*\* .*\d", opening) and "**What it shows:**" in opening
    for start in ("# Installs jaxsoil", "# Devices, size"):
        assert shared(name, start) == shared("quickstart", start)
    assert f'REPOSITORY = "{REPOSITORY}"' in sources(name)[1]


def install(name: str, monkeypatch: pytest.MonkeyPatch, absent: set[str], pip: int = 0) -> list[list[str]]:
    """Executes the second cell where the modules ``absent`` are not to be had; returns the calls of pip."""
    real, calls = importlib.util.find_spec, []

    def fetch(words: list[str], **_: Any) -> Any:
        calls.append(words)
        absent.difference_update(set() if pip else {"jaxsoil"})
        return types.SimpleNamespace(returncode=pip)

    monkeypatch.setattr(importlib.util, "find_spec", lambda one, *_: None if one in absent else real(one))
    monkeypatch.setattr(subprocess, "run", fetch)
    exec(compile(sources(name)[1], name, "exec"), {})
    return calls


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_fetched_where_it_is_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert install(name, monkeypatch, set()) == []


def test_pip_is_asked_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ((*_, source, jax),) = install("quickstart", monkeypatch, {"jaxsoil"})
    assert source == f"jaxsoil[instruments] @ git+{REPOSITORY}" and jax.startswith("jax")
    monkeypatch.chdir(FOLDER)
    ((*_, source, _),) = install("quickstart", monkeypatch, {"jaxsoil"})
    assert source == f"{ROOT}[instruments]"


@pytest.mark.parametrize("name", FIGURES)
def test_without_the_package_it_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pip could not install it.*pip install -e '\.\[instruments\]'"):
        install(name, monkeypatch, {"jaxsoil"}, pip=1)


@pytest.mark.parametrize("module", ["jcamp", "brukeropus"])
def test_without_the_extra_it_says_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError, match=r"the extra instruments .*pip install 'jaxsoil\[instruments\]'"):
        install("bring_your_own_spectra", monkeypatch, {module})


OWN_KERNEL = ("tpu_and_sweeps",)
"""It sets how many devices JAX finds, before the first import. The others take turns in one kernel, without each
other's names: what they import and compile is the same."""


def executed(notebook: Any, client: Any, folder: Path) -> Any:
    """Executes the cells in the client's kernel, with no names of an earlier notebook, in a folder of their own."""
    import nbformat

    begin = nbformat.v4.new_code_cell(f"%reset -f\nimport os\nos.chdir({str(folder)!r})\ndel os")
    client.nb = nbformat.v4.new_notebook(cells=[begin, *notebook.cells])
    return client.execute(cleanup_kc=False)


@contextmanager
def kernel(folder: Path) -> Iterator[Any]:
    """A client of a kernel that begins as a user's does."""
    import nbclient
    import nbformat

    client = nbclient.NotebookClient(nbformat.v4.new_notebook(), timeout=300, kernel_name="python3")
    with pytest.MonkeyPatch.context() as patch:
        # A user's JAX is neither strict nor type-checked; what a notebook runs is compiled as in other tests.
        for variable in [one for one in os.environ if one.startswith("JAX_NUMPY")]:
            patch.delenv(variable)
        patch.setenv("JAXSOIL_NOTEBOOK_SMOKE", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
        # Settings of an own IPython, and its history, stay out of it.
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        client.execute(cleanup_kc=False)
    try:
        yield client
    finally:
        client.nb = nbformat.v4.new_notebook()
        client.execute(cleanup_kc=True)


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with kernel(tmp_path_factory.mktemp("kernel")) as client:
        yield client


@pytest.mark.parametrize("name", FIGURES)
def test_runs_and_draws(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    import nbformat

    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    own = kernel(tmp_path) if name in OWN_KERNEL else nullcontext(request.getfixturevalue("shared_kernel"))
    with own as client:
        notebook = executed(notebook, client, tmp_path)
    drawn = [
        output["data"]["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output["output_type"] == "display_data" and "image/png" in output["data"]
    ]
    assert len(drawn) == FIGURES[name]
    for png in drawn:
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(png)))[..., :3]
        assert min(pixels.shape[:2]) > 200 and 0.001 < (pixels.min(axis=2) < 0.9).mean() < 0.9
