"""The folder of a run: whether it may be used, what it states of its configuration and environment."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.files import read_json, write_json
from jaxsoil.runs.mirror import Inputs
from jaxsoil.runs.tracking import Tracker, start

RECORDED = (
    "jaxsoil", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy", "pandas",
    "scikit-learn", "ikpls", "matplotlib", "verde", "rasterio",
)  # fmt: skip
"""Packages whose versions every run records."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Folder of one run, its name in tables and how the run is tracked.

    ``source``: the folder of an experiment that is the user's own, "" for those of the package. ``group``: the sweep
    that the run is a point of.
    """

    path: Path
    experiment: str
    wandb: Literal["auto", "offline", "online", "disabled"] = "auto"
    source: str = ""
    group: str = ""

    def track(self, config: Mapping[str, Any], inputs: Inputs | None = None) -> Tracker:
        """Opens the log of the run and its mirror (:func:`jaxsoil.runs.tracking.start`)."""
        return start(self.path, self.wandb, config, group=self.group, inputs=inputs)

    def write_json(self, name: str, content: Any) -> None:
        """Writes ``content`` as JSON, whole or not at all."""
        write_json(self.path / name, content)

    @property
    def command(self) -> str:
        """The command of the run without its folder, "" where none made it: its files are the same anywhere."""
        if not (self.path / "env.json").exists():
            return ""
        said = self.read_json("env.json")["command"]
        return re.sub(r" --((workdir|process(es|-\w+))[= ]\S+|resume|overwrite)", "", said)

    def read_json(self, name: str) -> Any:
        """Reads a JSON object of the run; a damaged one is a DataError that names it."""
        return read_json(self.path / name)

    def add_timing(self, seconds: Mapping[str, float]) -> None:
        """Adds the seconds of this call to those of timing.json: a run that goes on has several."""
        stored = self.read_json("timing.json") if (self.path / "timing.json").exists() else {}
        self.write_json("timing.json", {name: stored.get(name, 0.0) + value for name, value in seconds.items()})


def refuse_earlier(folder: Path) -> None:
    """Raises DataError for a run folder whose scores are scores.csv, as an earlier version wrote them."""
    scores = folder / "scores.csv"
    if scores.exists() and not (folder / "results.csv").exists():
        remedy = "Run again with --overwrite."
        raise DataError("this run was made by an earlier version", source=scores, remedy=remedy)


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
    if not (resume or overwrite):
        raise UsageError(f"{run.path} exists: continue it with --resume, replace it with --overwrite.")
    stored = (run.path / "config.json").exists()
    if overwrite and not stored:
        raise UsageError(f"{run.path} holds no run (no config.json): remove it yourself or choose --workdir.")
    if overwrite or not stored:
        return
    before = _flatten(run.read_json("config.json").get("config", {}))
    now = _flatten(json.loads(json.dumps(content["config"])))
    wrong = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    if wrong:
        shown = "; ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in wrong[:5])
        raise UsageError(f"{run.path} was made with another configuration ({shown}): give the same options with "
                         "--resume, or start again with --overwrite.")  # fmt: skip


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


def _flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict):
        return {prefix: tree}
    return {key: v for name, sub in tree.items() for key, v in _flatten(sub, f"{prefix}.{name}".strip(".")).items()}


def environment(arguments: Sequence[str]) -> dict[str, Any]:
    """What a run depends on besides its configuration: versions, devices, command, state of the code."""
    import jax

    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        processor = next(names, platform.machine())
    return {
        "command": " ".join(["python experiments/run.py", *arguments]),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in RECORDED},
        "devices": [f"{device.platform} {device.device_kind}" for device in jax.devices()],
        "processor": processor,
        "cores": os.cpu_count(),
        **({"processes": jax.process_count()} if jax.process_count() > 1 else {}),
        "git": _git_state(),
    }


def version(name: str) -> str | None:
    """Version of an installed package, None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *words], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
