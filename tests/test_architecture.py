"""The arrows between the rooms of the package, read from its imports.

A module may import rooms of a lower floor, or its own. Imports inside functions count for the arrows; whether
an import is lazy matters only for what it costs to import the package.
"""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOOR = {
    "runs": 0,
    "spectra": 1,
    "physics": 1,
    "experiments": 1,  # jaxsoil/experiments.py: what an experiment is
    "options": 2,  # jaxsoil/options.py: its options in words
    "data": 2,
    "models": 2,
    "training": 3,
    "evaluation": 3,
    "report": 4,
    "bundle": 4,
    "sweep": 4,
    "web": 5,
    "cli": 6,
    "__main__": 7,
    "studies": 7,
    "experiment files": 8,
}
"""Floors of the house: an import goes down, or sideways inside one room. A study imports no other study."""

CORE = {"jax", "flax", "optax", "orbax", "numpy", "scipy", "pandas", "jaxtyping", "tyro", "tqdm"}
LATE = (
    "tensorflow",
    "tensorflow_datasets",
    "ray",
    "wandb",
    "matplotlib",
    "sklearn",
    "ikpls",
    "verde",
    "rasterio",
    "torch",
    "brukeropus",
    "rdata",
    "starlette",
    "uvicorn",
    "jinja2",
)


class Import(NamedTuple):
    """One imported name: dotted, with the line and whether it runs when the file is imported."""

    name: str
    line: int
    eager: bool


def sources() -> list[Path]:
    return sorted([*(ROOT / "jaxsoil").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str | None:
    """Returns the room of a dotted name; None for names from outside and for the bare package."""
    first, *rest = module.split(".")
    if first == "experiments":
        return "experiment files"
    return rest[0] if first == "jaxsoil" and rest else None


def study(module: str) -> str | None:
    """Returns the study that a dotted name belongs to, None outside the studies."""
    parts = module.split(".")
    return parts[2] if parts[:2] == ["jaxsoil", "studies"] and len(parts) > 2 else None


def package_sources() -> list[Path]:
    return sorted((ROOT / "jaxsoil").rglob("*.py"))


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def imports(path: Path) -> list[Import]:
    return list(_walk(parsed(path), module_name(path), package=path.name == "__init__.py", eager=True))


def _walk(node: ast.AST, module: str, package: bool, eager: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _walk(other, module, package, eager)
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, eager) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = _absolute(child, module, package)
            yield from (Import(f"{base}.{alias.name}", child.lineno, eager) for alias in child.names)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, module, package, eager and not inside)


def _absolute(node: ast.ImportFrom, module: str, package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    parent = parts[: len(parts) - node.level + (1 if package else 0)]
    return ".".join([*parent, *([node.module] if node.module else [])])


def forbidden_arrow(module: str, imported: str) -> str | None:
    """Returns why ``module`` must not import the dotted name ``imported``, or None if it may."""
    source, target = room(module), room(imported)
    if imported.split(".")[0] in ("tests", "benchmarks"):
        return "the package and the experiments know neither tests nor benchmarks"
    if source is None or target is None:
        return None
    if source == target:
        own, other = study(module), study(imported)
        if own and other and own != other:
            return f"the study {own} must not know the study {other}: move what both need to a shared floor"
        return None
    unknown = [name for name in (source, target) if name not in FLOOR]
    if unknown:
        return f"{unknown[0]} has no floor: add it to FLOOR in tests/test_architecture.py"
    if FLOOR[target] >= FLOOR[source]:
        return f"{source} (floor {FLOOR[source]}) must not know {target} (floor {FLOOR[target]})"
    return None


@pytest.mark.parametrize(
    ("module", "imported", "allowed"),
    [
        ("jaxsoil.training.grid", "jaxsoil.models.autoencoder.Autoencoder", True),
        ("jaxsoil.training.grid", "jaxsoil.evaluation.metrics", False),
        ("jaxsoil.training.grid", "jaxsoil.studies.reconstruction.objectives", False),
        ("jaxsoil.models.autoencoder", "jaxsoil.data.library", False),
        ("jaxsoil.data.twin.soil.make", "jaxsoil.physics.mixing.mix", True),
        ("jaxsoil.data.twin.soil.make", "jaxsoil.models.autoencoder", False),
        ("jaxsoil.studies.reconstruction.report.region_out", "jaxsoil.report.style", True),
        ("jaxsoil.report.style", "jaxsoil.studies.hybrid.config", False),
        ("jaxsoil.studies.hybrid.run", "jaxsoil.studies.layers.run", False),
        ("jaxsoil.studies.hybrid.run", "jaxsoil.studies.hybrid.prepare", True),
        ("jaxsoil.studies.hybrid.run", "jaxsoil.runs.tracking.start", True),
        ("jaxsoil.cli", "jaxsoil.studies.hybrid.run", False),
        ("jaxsoil.web.app", "jaxsoil.bundle.predict", True),
        ("jaxsoil.web.app", "jaxsoil.cli", False),
        ("jaxsoil.cli", "experiments.region_out", False),
        ("experiments.run", "jaxsoil.cli", True),
        ("jaxsoil.cellar", "jaxsoil.runs.errors", False),
    ],
)
def test_the_rule_itself(module: str, imported: str, allowed: bool) -> None:
    assert (forbidden_arrow(module, imported) is None) == allowed


def test_imports_are_found_wherever_they_stand(tmp_path: Path) -> None:
    code = """
import a.b
from . import c
from ..d import e
if TYPE_CHECKING:
    import not_at_run_time
try:
    import g
except ImportError:
    pass
class K:
    import h
    def f(self):
        import wandb
"""
    found = list(_walk(ast.parse(code), "jaxsoil.data.x", package=False, eager=True))
    assert [(item.name, item.eager) for item in found] == [
        ("a.b", True),
        ("jaxsoil.data.c", True),
        ("jaxsoil.d.e", True),
        ("g", True),
        ("h", True),
        ("wandb", False),
    ]


def test_arrows_point_down() -> None:
    wrong = [
        f"{label(path)}:{item.line}: {item.name}: {reason}"
        for path in sources()
        for item in imports(path)
        if (reason := forbidden_arrow(module_name(path), item.name))
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_core_is_imported_at_once() -> None:
    known = CORE | {"jaxsoil"} | set(sys.stdlib_module_names)
    wrong = [
        f"{label(path)}:{item.line}: import {item.name} inside the function that uses it"
        for path in package_sources()
        for item in imports(path)
        if item.eager and item.name.split(".")[0] not in known
    ]
    assert not wrong, "\n".join(wrong)


def test_one_file_alone_knows_weights_and_biases() -> None:
    users = {label(path) for path in sources() if any(item.name.split(".")[0] == "wandb" for item in imports(path))}
    assert users == {"jaxsoil/runs/mirror.py"}


def test_every_module_imports_without_the_late_libraries() -> None:
    """All modules together, in a fresh process in which wandb is not to be had."""
    modules = [module_name(path) for path in package_sources()]
    code = f"""
import importlib, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "wandb":
            raise ModuleNotFoundError("No module named " + name, name=name)
sys.meta_path.insert(0, Absent())
for name in {modules!r}:
    importlib.import_module(name)
print(*[name for name in {LATE!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f"import jaxsoil pulls in {done.stdout.split()}"
    assert done.stderr.strip() == ""


def test_every_room_of_the_floors_exists() -> None:
    rooms = {room(module_name(path)) for path in sources()}
    assert set(FLOOR) == rooms - {None, "__init__"}


def test_no_file_outside_a_study_bears_its_name() -> None:
    names = ("multifidelity", "hybrid", "layers", "soc_spectrum", "few_labels", "rho_r", "region_out", "baseline_split")
    strays = [
        label(path)
        for path in package_sources()
        if (not study(module_name(path)) and path.stem.startswith(names)) or path.stem == "study"
    ]
    assert not strays


def test_files_are_rooms_and_functions_fit_a_screen() -> None:
    """No file over 400 lines and no function over 60 beside its docstring; longer ones are a reason to part them."""
    long = [f"{label(path)}: {n} lines" for path in sources() if (n := len(path.read_text("utf-8").splitlines())) > 400]
    for path in sources():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                text = node.body[0] if ast.get_docstring(node) is not None else None
                described = 0 if text is None else (text.end_lineno or text.lineno) - text.lineno + 1
                lines = (node.end_lineno or node.lineno) - node.lineno + 1 - described
                if lines > 60:
                    long.append(f"{label(path)}: {node.name} has {lines} lines")
    assert not long, "\n".join(long)


def test_the_entry_point_is_short() -> None:
    run = ROOT / "experiments" / "run.py"
    assert len(run.read_text("utf-8").splitlines()) < 80
