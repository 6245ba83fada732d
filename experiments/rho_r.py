"""The reconstruction study's Appendix B: does it matter that mass is converted to area by rho r?

python experiments/run.py --exp=rho_r                       the twin: 17 regions, no download
python experiments/run.py --exp=rho_r --data fields_vnir    measured spectra of seven regions
python experiments/run.py --exp=rho_r --paper               the publication's size (days on a CPU)
"""

import dataclasses
from pathlib import Path

from jaxsoil.experiment import Experiment
from jaxsoil.runs.errors import UsageError
from jaxsoil.studies.reconstruction.plan import plan_study
from jaxsoil.studies.reconstruction.study import PAPER_TWIN, SMOKE_TWIN, Prepared, StudyConfig, prepare, run_study
from jaxsoil.training.config import TrainConfig

DECODERS = ("physics", "physics_no_rho")


def load(config: StudyConfig) -> Prepared:
    """The data with one inductive split for each region."""
    from jaxsoil.data.splits import region_out

    missing = [name for name in DECODERS if name not in config.networks]
    if missing:
        raise UsageError(f"rho_r compares {' and '.join(DECODERS)}: add {missing[0]} to --networks.")
    return prepare(config, region_out)


def report(folder: Path) -> Path:
    """Writes report.md, report.html and the figures."""
    from jaxsoil.studies.reconstruction.report.rho_r import write_report

    return write_report(folder)


DEFAULT = StudyConfig(
    seeds=2,
    networks=DECODERS,
    baselines=(),
    train=TrainConfig(epochs=150, patience=15, lr=1e-3, b1=0.9, validation_share=0.1, keep="best", checkpoint_every=20),
)

EXPERIMENT = Experiment(
    summary="The mixing decoder with and without rho r: scores, and what becomes of the learned f_SOC",
    table="Coleman et al. 2024, Appendix B",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        seeds=1,
        twin=SMOKE_TWIN,
        width=32,
        train=dataclasses.replace(DEFAULT.train, epochs=12, patience=0, batch=25, checkpoint_every=4),
    ),
    paper=StudyConfig(seeds=4, networks=DECODERS, baselines=(), twin=PAPER_TWIN),
    load=load,
    run=run_study,
    report=report,
    plan=plan_study,
)
