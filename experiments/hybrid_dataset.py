"""The hybrid data set: measured carbon and organic matter of several laboratories, and predictions for the rest.

python experiments/run.py --exp=hybrid_dataset                      the twin: five laboratories, no download
python experiments/run.py --exp=hybrid_dataset --data fields_mir    measured spectra of six sets
python experiments/run.py --exp=hybrid_dataset --paper              the publication's 57,000 samples
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from jaxsoil.data.twin.laboratories.config import LaboratoriesConfig
from jaxsoil.experiment import Experiment, RunFolder
from jaxsoil.studies.hybrid.config import HybridConfig, NetworkConfig

if TYPE_CHECKING:
    from jaxsoil.studies.hybrid.cross import Crossing


def load(config: HybridConfig) -> Crossing:
    """Reads and checks the data and draws the folds."""
    from jaxsoil.studies.hybrid.run import load

    return load(config)


def run(config: HybridConfig, folder: RunFolder, data: Crossing) -> None:
    """Fits every model and writes tables, product and what the report needs."""
    from jaxsoil.studies.hybrid.run import run_study

    run_study(config, folder, data)


def plan(config: HybridConfig, data: Crossing) -> str:
    """What would be fitted."""
    from jaxsoil.studies.hybrid.run import plan

    return plan(config, data)


def report(folder: Path) -> Path:
    """Writes report.md, report.html, data_card.md and the figures."""
    from jaxsoil.studies.hybrid.report.page import write_report

    return write_report(folder)


DEFAULT = HybridConfig()

EXPERIMENT = Experiment(
    summary="One table of measured and predicted values with intervals, from the spectra of several laboratories",
    table="hybrid MIR data set (abstract)",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        twin=LaboratoriesConfig(samples=300, carbon=260, organic_matter=90, laboratories=3, outliers=6),
        step=32.0,
        folds=3,
        members=2,
        network=NetworkConfig(features=(8, 16), width=32),
        train=dataclasses.replace(DEFAULT.train, epochs=15, batch=32),
    ),
    load=load,
    run=run,
    report=report,
    plan=plan,
    paper=dataclasses.replace(DEFAULT, twin=LaboratoriesConfig.paper(), step=0.0, members=5),
)
