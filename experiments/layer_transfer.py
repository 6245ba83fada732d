"""Maps of soil organic carbon in depth layers, by networks that learn from all layers.

python experiments/run.py --exp=layer_transfer                     a synthetic landscape with known maps, no download
python experiments/run.py --exp=layer_transfer --data edgeroi      341 measured profiles, carbon density
python experiments/run.py --exp=layer_transfer --data mine.toml    one's own sites and rasters
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from jaxsoil.data.twin.landscape.config import LandscapeConfig
from jaxsoil.experiment import Experiment, RunFolder
from jaxsoil.studies.layers.config import LayersConfig

if TYPE_CHECKING:
    from jaxsoil.studies.layers.prepare import Prepared


def load(config: LayersConfig) -> Prepared:
    """Reads and checks the data and draws the folds."""
    from jaxsoil.studies.layers.prepare import prepare

    return prepare(config)


def run(config: LayersConfig, folder: RunFolder, data: Prepared) -> None:
    """Trains what is not yet there, scores it, and writes tables and maps."""
    from jaxsoil.studies.layers.run import run

    run(config, folder, data)


def plan(config: LayersConfig, data: Prepared) -> str:
    """Trainings and their cost."""
    from jaxsoil.studies.layers.run import plan

    return plan(config, data)


def report(folder: Path) -> Path:
    """Writes report.md, report.html and the figures."""
    from jaxsoil.studies.layers.report.page import write_report

    return write_report(folder)


DEFAULT = LayersConfig()

EXPERIMENT = Experiment(
    summary="Soil maps of six depth layers: forests, networks, and a network that learns from all layers first",
    table="Han et al. 2025, abstract",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        twin=LandscapeConfig(height=60, width=80, sites=160),
        seeds=1,
        folds=3,
        trees=20,
        width=8,
        hidden=16,
        min_sites=30,
        train=dataclasses.replace(DEFAULT.train, epochs=12, patience=0),
        finetune=dataclasses.replace(DEFAULT.finetune, epochs=4, patience=0),
    ),
    load=load,
    run=run,
    report=report,
    plan=plan,
)
