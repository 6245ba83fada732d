"""A study that takes milliseconds, as files in a folder of a test: an experiment with sweeps, and its module."""

from __future__ import annotations

from pathlib import Path

STUDY = """
import dataclasses, os, time
from pathlib import Path
from typing import Literal
from jaxsoil.evaluation.results import as_frame, value_rows, write_results
from jaxsoil.runs import progress, tracking
from jaxsoil.runs.errors import DataError

@dataclasses.dataclass(frozen=True)
class Train:
    lr: float = 0.1
    wrap: bool = False

@dataclasses.dataclass(frozen=True)
class Config:
    data: str = "toy"
    width: int = 8
    networks: tuple[str, ...] = ("net",)
    kind: Literal["a", "b"] = "a"
    axis: tuple[float, float] | None = None
    train: Train = dataclasses.field(default_factory=Train)

def prepare(config):
    if config.width < 0:
        raise DataError("a width is positive", value=config.width, remedy="Give --width 8.")

def run(config, folder, data):
    with open(folder.path / "begun.txt", "a") as begun:
        begun.write(f"{os.getpid()}\\n")
    if config.width == 666:
        raise RuntimeError("a bug")
    time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
    epochs = int(os.environ.get("TOY_EPOCHS", "0"))
    progress.expect({"net": 1})
    with tracking.start(folder.path, "disabled") as tracker:
        for epoch in range(1, epochs + 1):
            time.sleep(0.1)
            progress.reach("net", "net/0", epoch / epochs)
            tracker.log({"trial": "net/0", "epoch": epoch, "validation_loss": config.train.lr})
    rows = []
    for region, shift in (("R1", 0.0), ("R2", 0.2)):
        for model in config.networks:
            keys = dict(study="toy", data="toy", model=model, property="soc", region=region, seed=0, split="test")
            scores = {"ccc": config.width / 100 + config.train.lr + shift}
            rows += value_rows(scores, unit="%", scale="log10", keys=keys)
    write_results(folder.path / "results.csv", as_frame(rows))

def write_report(folder):
    return Path(folder)
"""

EXPERIMENT = """
import toy_study
from jaxsoil.experiments import Experiment
from jaxsoil.sweep.points import grid

EXPERIMENT = Experiment(
    summary="toy", table="none", config=toy_study.Config(), smoke=toy_study.Config(width=4),
    study="toy_study", report="toy_study",
)

def sweep_width():
    return grid({"width": (8, 16)})

def sweep_lr():
    for lr in (0.1, 0.2, 0.4):
        yield {"train.lr": lr}

def sweep_fails():
    return grid({"width": (8, -1, 666)})

def sweep_unknown():
    return [{"lr": 0.1}]

def sweep_type():
    return [{"width": 0.5}]

def sweep_none():
    return []

def sweep_twice():
    return [{"train.lr": 0.3}, {"train.lr": 0.3, "width": 8}]
"""


def write(folder: Path) -> Path:
    """Writes the study into ``folder``, which must be on the path, and the experiment; returns the latter's folder."""
    (folder / "toy_study.py").write_text(STUDY)
    (folder / "experiments").mkdir()
    (folder / "experiments" / "toy.py").write_text(EXPERIMENT)
    return folder / "experiments"
