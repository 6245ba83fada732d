"""Experiment 1 of the reconstruction study: one region left out at a time.

    python experiments/run.py --exp=region_out                  the twin: 17 regions, no download
    python experiments/run.py --exp=region_out --data fields    measured spectra of eight regions
    python experiments/run.py --exp=region_out --paper          the publication's size (days on a CPU)
"""

import dataclasses
from pathlib import Path

from jaxsoil.data.library import Library
from jaxsoil.data.twin import TwinConfig
from jaxsoil.experiment import Experiment, RunFolder
from jaxsoil.study import StudyConfig, load_library, plan_study, run_study
from jaxsoil.training.config import TrainConfig


def splits(library: Library):
    """One inductive split for each region."""
    from jaxsoil.data.splits import region_out

    return region_out(library)


def run(config: StudyConfig, folder: RunFolder, library: Library) -> None:
    """Trains everything and fills the run folder."""
    run_study(config, folder, library, splits(library))


def plan(config: StudyConfig, library: Library) -> str:
    """Trials and cost."""
    return plan_study(config, library, splits(library))


def report(folder: Path) -> Path:
    """Writes report.md, report.html and the figures."""
    from jaxsoil.report.region_out import write_report

    return write_report(folder)


DEFAULT = StudyConfig(
    train=TrainConfig(epochs=60, lr=1e-3, b1=0.9, validation_share=0.1, keep="best", checkpoint_every=30),
)

EXPERIMENT = Experiment(
    summary="SOC of a region that no model has seen: networks with and without a decoder beside PLSR and forest",
    table="Coleman et al. 2024, Table 2",
    config=DEFAULT,
    smoke=dataclasses.replace(DEFAULT, twin=TwinConfig(), width=32, components=12),
    paper=StudyConfig(seeds=4, networks=("none", "ann"), twin=TwinConfig()),
    load=load_library,
    run=run,
    report=report,
    plan=plan,
)
