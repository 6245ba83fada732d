"""Every command of the pages can be parsed, every snippet runs, and every link of the Markdown leads somewhere."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import documents
import pytest
from command import EXPERIMENTS

from jaxsoil.experiments import import_file

ROOT = documents.ROOT
COMMANDS = [(place, words) for page in documents.PAGES for place, words in documents.commands(page)]
PYTHON = [block for page in documents.PAGES for block in documents.blocks(page) if block.language == "python"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

NEEDED = {
    "docs/libraries.md": "public libraries, which are fetched",
    "docs/intervals.md": "a run of region_out on measured data",
}
"""Pages whose snippets need what no test has: their names are looked up, and they are not run."""


def data_names() -> set[str]:
    """Names that ``--data`` takes."""
    from jaxsoil.data import pairs, registry
    from jaxsoil.data.rasters import landscape
    from jaxsoil.data.sources.catalogue import sources

    return {*registry.names(), *pairs.names(), *landscape.names(), *sources(), "laboratories"}


def check_run(words: list[str]) -> None:
    """Parses words of ``experiments/run.py`` as it does, without running anything."""
    from jaxsoil.cli import run_parser
    from jaxsoil.experiments import configure, file_of, load, load_file

    options, rest = run_parser().parse_known_args(words)
    if options.list:
        return
    folder = EXPERIMENTS
    if options.exp.endswith(".py"):
        if options.exp == "path/to/own.py":  # a place that the reader fills in
            return
        folder, options.exp = file_of(str(ROOT / options.exp))
    experiment = load(options.exp, folder)
    config = configure(experiment, options.exp, "paper" if options.paper else "smoke" if options.smoke else "", rest)
    assert config.data.endswith(".toml") or config.data.split("/")[0] in data_names(), config.data
    file = load_file(options.exp, folder)
    for name in (options.sweep or "").split(","):
        assert not name or ".py:" in name or hasattr(file, f"sweep_{name}"), name


def check_jaxsoil(words: list[str]) -> None:
    """Parses words of the command ``jaxsoil``."""
    from jaxsoil.cli import console_parser

    if words[0] in ("run", "plan"):
        check_run(["--exp", *words[1:]])
    else:
        console_parser().parse_args(words)


def check_script(path: Path, words: list[str]) -> None:
    """A script of tools/, benchmarks/ or examples/: it is there and has the options, as words or as fields."""
    text = path.read_text("utf-8")
    if path.name == "choose_settings.py":
        import tyro

        tyro.cli(import_file(path, "choose_settings_of_docs").Options, args=words)
        return
    for word in words:
        name = word.split("=")[0].removeprefix("--")
        if word.startswith("--"):
            field = name.split(".")[-1].replace("-", "_")
            assert f'"--{name}"' in text or re.search(rf"^    {field}: ", text, flags=re.MULTILINE), word


def check(words: list[str]) -> None:
    """Parses a command; one that cannot be parsed, or that nobody knows here, fails."""
    program, *rest = words
    if program == "python" and rest[0] == "-m":
        module, *rest = rest[1:]
        assert module in ("jaxsoil.data", "venv", "sphinx"), module
        if module == "jaxsoil.data":
            check_jaxsoil(["data", *rest])
    elif program == "python" and rest[0] == "experiments/run.py":
        check_run(rest[1:])
    elif program == "python":
        assert rest[0].split("/")[0] in ("tools", "benchmarks", "examples", "tests"), rest
        check_script(ROOT / rest[0], rest[1:])
    elif program == "jaxsoil":
        check_jaxsoil(rest)
    elif program == "pip":
        for extras in re.findall(r"(?:^\.|^jaxsoil)\[(.*)\]$", " ".join(rest[-1:])):
            assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"]), extras
    elif program == "pytest":
        known = {line.split(":")[0] for line in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
        assert "-m" not in rest or rest[rest.index("-m") + 1] in known, rest
        assert all((ROOT / word).exists() for word in rest if word.startswith("tests")), rest
    else:
        assert program in documents.PROGRAMS, f"nobody here knows {program}"


def test_the_pages_have_commands_and_snippets() -> None:
    assert len(COMMANDS) > 60 and len(PYTHON) > 8
    assert ["python", "experiments/run.py", "--exp=region_out"] in [words for _, words in COMMANDS]


@pytest.mark.parametrize("page", documents.PAGES, ids=lambda page: page.stem)
def test_every_command_can_be_parsed(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, words in documents.commands(page):
        # Placeholders in the text: a run's number, a name.
        words = ["0" if word == "$SLURM_ARRAY_TASK_ID" else word for word in words]
        if any(re.fullmatch(r"[A-Z_]{3,}|--exp=?NAME|\.\.\.", word) for word in words):
            continue
        try:
            check(words)
        except (SystemExit, Exception) as error:
            pytest.fail(f"{place}: {shlex.join(words)}: {type(error).__name__}: {error}")


@pytest.mark.parametrize(
    "words",
    ["python experiments/run.py --exp=regionout", "python experiments/run.py --exp=region_out --seed 3",
     "python experiments/run.py --exp=region_out --data feilds", "python experiments/run.py --exp=fno --sweep width",
     "jaxsoil predict bundle file.csv", "jaxsoil data lists", "python tools/compare_twins.py --parts x",
     "python tools/choose_settings.py --no-such 3", "pip install -e .[gpu]", "pytest -m fast", "make all"],
)  # fmt: skip
def test_a_command_that_cannot_be_parsed_fails(words: str) -> None:
    from jaxsoil.runs.errors import UsageError

    with pytest.raises((SystemExit, AssertionError, UsageError)):
        check(shlex.split(words))


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A folder with what the snippets read: a bundle, scans, a table with its manifest; and the names they take."""
    import numpy as np
    import pandas as pd
    from small_bundle import small_bundle, soils

    monkeypatch.chdir(tmp_path)
    small_bundle().save(tmp_path / "runs" / "nir" / "bundle")
    spectra, soc = soils(8)
    frame = pd.DataFrame(spectra.values, columns=[f"{band:g}" for band in spectra.axis])
    (tmp_path / "my_scans").mkdir()
    for name in ("mine.csv", "export.csv"):
        frame.assign(id=range(8), SOM=np.asarray(soc) * 1.724, plot="N1").to_csv(tmp_path / name, index=False)
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\ntitle = "t"\ndata = "mine.csv"\nid = "id"\n[axis]\nunit = "nm"\n[values]\n'
        'quantity = "reflectance"\n[labels.soc]\ncolumn = "SOM"\nunit = "%"\nfactor = "1/1.724"\n'
        '[groups]\nregion = "plot"\n'
    )
    run = tmp_path / "runs" / "hybrid_dataset-laboratories"
    run.mkdir()
    pd.DataFrame({"kind": ["measured"], "applicability": ["inside"]}).to_parquet(run / "hybrid.parquet")
    return {"values": np.asarray(spectra.values), "axis": np.asarray(spectra.axis)}


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"{Path(block.page).stem}:{block.line}")
def test_every_snippet_runs(
    block: documents.Block, prepared: dict[str, Any], capsys: pytest.CaptureFixture[str], request: Any
) -> None:
    code = compile(block.text, f"{block.page}:{block.line}", "exec")
    if block.page in NEEDED or "instruments.read(" in block.text or "infrared_twin" in block.text:
        # Files of instruments, large twins and public libraries: what is imported is there.
        for module, names in re.findall(r"^from (\S+) import (.+?)(?:  #.*)?$", block.text, flags=re.MULTILINE):
            for name in names.split(", "):
                found = importlib.import_module(module)
                assert hasattr(found, name) or importlib.import_module(f"{module}.{name}"), f"{module}.{name}"
        return
    if '"geeves"' in block.text:
        request.getfixturevalue("data_root")
    import jax

    # A reader's JAX is not strict.
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        exec(code, prepared | {"__name__": "snippet"})


@pytest.mark.parametrize("page", documents.PAGES, ids=lambda page: page.stem)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", address):
            continue
        name, _, anchor = address.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), f"{page.name}: {address}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), flags=re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
            assert anchor in slugs, f"{page.name}: {address}"
