"""The lock file, the package's files and the declared dependencies agree with the code."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import jaxsoil

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def split(requirement: str) -> tuple[str, str]:
    """Splits "name[extra]>=1" into its canonical name and its bound."""
    match = re.fullmatch(r"([A-Za-z0-9._-]+?)(?:\[[^]]*\])?\s*((?:[<>=!~]=?).*)?", requirement)
    assert match, requirement
    return canonical(match[1]), (match[2] or "").replace(" ", "")


def spelled(requirements: list[str], extras: dict[str, list[str]]) -> list[str]:
    """The lock spells out an extra that contains another ("jaxsoil[test]")."""
    found = []
    for requirement in requirements:
        match = re.fullmatch(r"jaxsoil\[(\w+)\]", requirement)
        found += spelled(extras[match[1]], extras) if match else [requirement]
    return found


def test_lock_follows_pyproject() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    (ours,) = [package for package in lock["package"] if package["name"] == "jaxsoil"]
    locked = {
        (item["name"], item.get("specifier", ""), item.get("marker", "")) for item in ours["metadata"]["requires-dist"]
    }
    declared = {(*split(requirement), "") for requirement in PROJECT["dependencies"]}
    extras = PROJECT["optional-dependencies"]
    for extra, requirements in extras.items():
        declared |= {(*split(requirement), f"extra == '{extra}'") for requirement in spelled(requirements, extras)}
    assert locked == declared, "run `uv lock --default-index https://pypi.org/simple` and commit uv.lock"
    assert lock["requires-python"] == PROJECT["requires-python"]


def test_lock_names_public_hosts_only() -> None:
    text = (ROOT / "uv.lock").read_text("utf-8")
    assert set(re.findall(r"\w+://[^/\"]*", text)) == {"https://pypi.org", "https://files.pythonhosted.org"}
    assert set(re.findall(r"source = \{ (\w+ = \"[^\"]*\")", text)) == {
        'registry = "https://pypi.org/simple"',
        'editable = "."',
    }


def imported(path: Path) -> set[str]:
    """The libraries that a file imports anywhere, the standard one and the package's own modules left out."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        found |= {name.split(".")[0] for name in names}
    return found - {"jaxsoil", *sys.stdlib_module_names}


# What TensorFlow Datasets imports and declares on some systems or not at all.
FOR_OTHERS = {"array-record", "importlib-resources"}


def test_what_the_package_imports_is_declared_and_the_reverse() -> None:
    declared = {split(requirement)[0] for requirement in PROJECT["dependencies"]}
    # Libraries of an extra are imported inside functions, under a message that names the extra.
    extras = PROJECT["optional-dependencies"]
    declared |= {split(requirement)[0] for extra in ("instruments", "ray", "web") for requirement in extras[extra]}
    distributions = packages_distributions()
    missing, idle = set(), declared - FOR_OTHERS
    for path in (ROOT / "jaxsoil").rglob("*.py"):
        for top in imported(path):
            owners = {canonical(owner) for owner in distributions.get(top, [top])}
            idle -= owners
            if not owners & declared:
                missing.add(f"{path.relative_to(ROOT)}: {top}")
    assert not missing, sorted(missing)
    assert not idle, f"nothing imports {sorted(idle)}: take them out of the dependencies"


def test_version_has_one_source() -> None:
    assert "version" in PROJECT["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", jaxsoil.__version__)
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## {jaxsoil.__version__}" in changes


def test_the_license_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
