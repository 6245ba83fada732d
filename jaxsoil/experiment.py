"""Experiments: what one is, where its run lives, and the command line that runs it."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from jaxsoil.runs.errors import DataError, UsageError, did_you_mean
from jaxsoil.runs.files import write_text_atomic

RECORDED = (
    "jaxsoil", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "pandas",
    "scikit-learn", "ikpls", "matplotlib", "verde", "rasterio",
)  # fmt: skip
"""Packages whose versions every run records."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One study that ``experiments/run.py --exp`` can run.

    Args:
      summary: one line for ``--list``.
      table: table or figure of the paper that it reproduces.
      config: the default configuration, a frozen dataclass with a field ``data``.
      smoke: the same at the smallest size, for tests.
      load: reads and checks the data of a configuration, before anything is written.
      run: trains on what ``load`` returned and writes results into the run folder.
      report: writes tables and figures from the run folder alone.
      plan: describes trials and cost of a configuration without running them.
      paper: the configuration at the paper's size, None where there is none.
    """

    summary: str
    table: str
    config: Any
    smoke: Any
    load: Callable[[Any], Any]
    run: Callable[[Any, RunFolder, Any], None]
    report: Callable[[Path], Path]
    plan: Callable[[Any, Any], str]
    paper: Any = None


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Folder of one run, its name in tables and how the run is tracked."""

    path: Path
    experiment: str
    wandb: Literal["auto", "offline", "online", "disabled"] = "auto"

    def write_json(self, name: str, content: Any) -> None:
        """Writes ``content`` as JSON, whole or not at all."""
        write_text_atomic(self.path / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Reads a JSON file of the run."""
        return json.loads((self.path / name).read_text(encoding="utf-8"))


def discover(folder: Path) -> dict[str, Path]:
    """Experiment files of ``folder`` by name; the file's name is what ``--exp`` takes."""
    return {path.stem: path for path in sorted(folder.glob("*.py")) if path.stem != "run" and path.stem[0] != "_"}


def load(name: str, folder: Path) -> Experiment:
    """Imports the experiment ``name`` from ``folder``; an unknown name is refused with the nearest right one."""
    files = discover(folder)
    if name not in files:
        raise UsageError(f"There is no experiment '{name}'. {did_you_mean(name, files)}")
    spec = importlib.util.spec_from_file_location(f"experiments.{name}", files[name])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.EXPERIMENT


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Runs the command line of ``experiments/run.py``; returns the exit status.

    0: done; 1: the disk or a library failed; 2: refused, with a message that says what to do; 130: interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(folder, arguments)
    except (DataError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(
            f"error: the system refused a file{where}: {error.strerror or error}. Free the disk or choose another "
            "folder with --workdir; what was finished is kept, and --resume goes on from there.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command with --resume goes on from the last checkpoint.", file=sys.stderr)
        return 130


def _main(folder: Path, arguments: list[str]) -> int:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.list:
        for name, path in discover(folder).items():
            experiment = load(name, folder)
            print(f"{path.stem:18} {experiment.summary} [{experiment.table}]")
        return 0
    if options.help and not options.exp:
        parser.print_help()
        print("\nFields of an experiment: --exp NAME --help. Experiments: " + ", ".join(discover(folder)))
        return 0
    if not options.exp:
        raise UsageError(f"Name an experiment with --exp. {did_you_mean('', discover(folder))}")
    experiment = load(options.exp, folder)
    if options.help:
        parser.print_help()
    config = _configure(experiment, options, rest + (["--help"] if options.help else []))
    if options.plan:
        print(experiment.plan(config, experiment.load(config)))
        return 0
    target = Path(options.workdir or Path("runs") / _folder_name(options, config))
    run = RunFolder(target, options.exp, options.wandb)
    content = {"experiment": options.exp, "config": dataclasses.asdict(config)}
    refuse_or_accept(run, content, options.resume, options.overwrite)
    # Data come before the folder: bad input leaves no half-made run behind, and an earlier one untouched.
    data = experiment.load(config)
    precision = precision_of(config)
    create(run, content, arguments, options.overwrite, precision)
    from jaxsoil.training.devices import matmul_precision

    with matmul_precision(precision):
        experiment.run(config, run, data)
    report = experiment.report(target)
    print(f"Report: {report}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="experiments/run.py", description="Runs a study of jaxsoil.", allow_abbrev=False, add_help=False
    )
    add = parser.add_argument
    add("--help", "-h", action="store_true", help="show this help, and with --exp every field of the experiment")
    add("--exp", metavar="NAME", help="the experiment")
    add("--list", action="store_true", help="list the experiments")
    add("--smoke", action="store_true", help="smallest size, to see that everything works")
    add("--paper", action="store_true", help="the size of the publication")
    add("--plan", action="store_true", help="print the trials and their cost, run nothing")
    add("--resume", action="store_true", help="go on with an interrupted run in its folder")
    add("--overwrite", action="store_true", help="delete an earlier run in the folder first")
    add("--workdir", metavar="DIR", help="folder of this run (default: runs/EXP-DATA)")
    add(
        "--wandb",
        choices=("auto", "offline", "online", "disabled"),
        default="auto",
        help="mirror to Weights & Biases (auto: offline unless WANDB_API_KEY is set)",
    )
    return parser


def _configure(experiment: Experiment, options: argparse.Namespace, rest: list[str]) -> Any:
    import tyro

    if options.smoke and options.paper:
        raise UsageError("--smoke and --paper exclude each other: give one of them.")
    if options.paper and experiment.paper is None:
        raise UsageError(f"The experiment '{options.exp}' has no paper size; leave --paper out.")
    base = experiment.smoke if options.smoke else experiment.paper if options.paper else experiment.config
    return tyro.cli(type(base), default=base, args=rest, prog=f"experiments/run.py --exp {options.exp}")


def _folder_name(options: argparse.Namespace, config: Any) -> str:
    data = Path(config.data).stem if config.data.endswith(".toml") else config.data
    size = "-smoke" if options.smoke else "-paper" if options.paper else ""
    return f"{options.exp}-{data}{size}"


def refuse_or_accept(run: RunFolder, content: dict[str, Any], resume: bool, overwrite: bool) -> None:
    """Checks that the run folder may be used; changes nothing.

    Raises:
      UsageError: a folder that exists without ``resume`` or ``overwrite``, one to overwrite that is no run folder,
        or a run to resume whose configuration differs.
    """
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other: give one of them.")
    if run.path.exists() and not run.path.is_dir():
        raise UsageError(f"{run.path} is a file: choose another folder with --workdir.")
    if not run.path.exists() or not any(run.path.iterdir()):
        return
    stored = (run.path / "config.json").exists()
    if overwrite:
        if not stored:
            raise UsageError(f"{run.path} holds no run (no config.json): remove it yourself or choose --workdir.")
    elif resume:
        if stored:
            _require_same(run, content)
    else:
        raise UsageError(f"{run.path} exists: continue it with --resume, replace it with --overwrite.")


def precision_of(config: Any) -> str:
    """Precision of matrix products in a run: that of the training where a configuration states it, else highest."""
    return getattr(getattr(config, "train", None), "precision", "highest")


def create(
    run: RunFolder, content: dict[str, Any], arguments: Sequence[str], overwrite: bool, precision: str = "highest"
) -> None:
    """Makes the run folder with config.json and env.json; a run that is resumed keeps its own."""
    if overwrite and run.path.exists():
        shutil.rmtree(run.path)
    if (run.path / "config.json").exists():
        return
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_json("env.json", environment(arguments) | {"precision": precision})
    run.write_json("config.json", content)


def _require_same(run: RunFolder, content: dict[str, Any]) -> None:
    before = _flatten(run.read_json("config.json")["config"])
    now = _flatten(json.loads(json.dumps(content["config"])))
    wrong = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if wrong:
        shown = "; ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in wrong[:5])
        raise UsageError(
            f"{run.path} was made with another configuration ({shown}): give the same options with --resume, "
            "or start again with --overwrite."
        )


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {key: v for name, sub in tree.items() for key, v in _flatten(sub, f"{prefix}.{name}".strip(".")).items()}


def environment(arguments: Sequence[str]) -> dict[str, Any]:
    """What a run depends on besides its configuration: versions, devices, command, state of the code."""
    import jax

    return {
        "command": " ".join(["python experiments/run.py", *arguments]),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in RECORDED},
        "devices": [f"{device.platform} {device.device_kind}" for device in jax.devices()],
        "processor": _processor(),
        "cores": os.cpu_count(),
        "git": _git_state(),
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _git_state() -> dict[str, Any] | None:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
