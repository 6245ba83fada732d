"""Experiments: what one is, and how they are found. A study is named by a string and imported when it is needed."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxsoil.runs.errors import UsageError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One experiment that ``experiments/run.py --exp`` can run.

    Args:
      summary: one line for ``--list``.
      table: table or figure of the paper that it reproduces.
      config: the default configuration, a frozen dataclass with a field ``data``.
      smoke: the same at the smallest size, for tests.
      study: dotted name of the module that does it (``__name__`` where a file holds all of its study):
        ``prepare(config) -> data`` reads and checks the data before anything is written,
        ``run(config, folder, data)`` trains and writes results into a :class:`jaxsoil.runs.folder.RunFolder`,
        ``plan(config, data) -> str`` describes trials and cost.
      report: dotted name of the module whose ``write_report(folder) -> Path`` draws from the run folder alone.
      paper: the configuration at the paper's size, None where there is none.
    """

    summary: str
    table: str
    config: Any
    smoke: Any
    study: str
    report: str
    paper: Any = None

    def study_module(self) -> ModuleType:
        """The module that prepares, runs and plans the study."""
        return importlib.import_module(self.study)

    def report_module(self) -> ModuleType:
        """The module that writes the report."""
        return importlib.import_module(self.report)


def package_folder() -> Path:
    """The folder of the experiments: in an installed package its own copy, in a checkout the one beside it."""
    here = Path(__file__).parent
    return here / "_experiments" if (here / "_experiments").is_dir() else here.parent / "experiments"


def own_folder(folder: Path) -> str:
    """The folder of an experiment that is not the package's, for its run to know; "" for those that are."""
    return "" if folder.resolve() == package_folder().resolve() else str(folder.resolve())


def discover(folder: Path) -> dict[str, Path]:
    """Experiment files of ``folder`` by name; the file's name is what ``--exp`` takes."""
    return {path.stem: path for path in sorted(folder.glob("*.py")) if path.stem != "run" and path.stem[0] != "_"}


def load(name: str, folder: Path) -> Experiment:
    """Imports the experiment ``name`` from ``folder``; an unknown name is refused with the nearest right one."""
    return load_file(name, folder).EXPERIMENT


def load_file(name: str, folder: Path) -> ModuleType:
    """The module of an experiment's file, with its EXPERIMENT and the functions of its sweeps."""
    files = discover(folder)
    if name not in files:
        raise UsageError(f"There is no experiment '{name}'. {did_you_mean(name, files)}")
    module = import_file(files[name], f"experiments.{name}")
    if not isinstance(getattr(module, "EXPERIMENT", None), Experiment):
        raise UsageError(f"{files[name]} describes no experiment: give it EXPERIMENT = Experiment(...), as "
                         "docs/own_study.md shows.")  # fmt: skip
    return module


def file_of(path: str) -> tuple[Path, str]:
    """Folder and name of a user's own experiment, from the path of its file.

    Raises:
      UsageError: there is no such file, or its name cannot be an experiment's.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"There is no file {path}: give the path of a study's file, or a name of --list.")
    if file.stem not in discover(file.parent):
        raise UsageError(f"{path} is no name for a study: rename the file, as run.py and _NAME.py are left out.")
    return file.parent, file.stem


def import_file(path: Path, name: str) -> ModuleType:
    """Imports a Python file under a name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def of_size(experiment: Experiment, name: str, size: str) -> Any:
    """Its configuration at "smoke" or "paper" size, or "", the default; UsageError where it has no such size."""
    if size == "paper" and experiment.paper is None:
        raise UsageError(f"The experiment '{name}' has no paper size; leave --paper out.")
    return {"smoke": experiment.smoke, "paper": experiment.paper}.get(size, experiment.config)


def configure(experiment: Experiment, name: str, size: str, words: Sequence[str]) -> Any:
    """The configuration of an experiment at a size (:func:`of_size`), changed by fields and values in ``words``.

    Raises:
      UsageError: the experiment has no such size.
      SystemExit: a field or value that is not one; what is wrong has been printed.
    """
    import tyro

    base = of_size(experiment, name, size)
    return tyro.cli(type(base), default=base, args=words, prog=f"experiments/run.py --exp {name}")
