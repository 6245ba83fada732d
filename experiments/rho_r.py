"""Does it matter that mass is converted to area by rho r? (Appendix B of the reconstruction study)

python experiments/run.py --exp=rho_r                       the twin: 17 regions, no download
python experiments/run.py --exp=rho_r --data fields_vnir    measured spectra of seven regions
python experiments/run.py --exp=rho_r --smoke               the smallest size, about a minute on two CPU cores
python experiments/run.py --exp=rho_r --paper               the publication's size (days on a CPU)

Expected with 128 units a layer and one seed (docs/sweeps.md), mean CCC and RMSE of log10 SOC over 17 held-out regions:
0.60 and 0.28 with rho r, 0.57 and 0.31 without, a difference that is less than chance. The default has 512 units and
two seeds and takes longer.
"""

import dataclasses

from jaxsoil.experiments import Experiment
from jaxsoil.studies.reconstruction.config import PAPER_TWIN, RHO_R_DECODERS, SMOKE_TWIN, StudyConfig
from jaxsoil.sweep.points import grid
from jaxsoil.training.config import TrainConfig

DEFAULT = StudyConfig(
    seeds=2,
    networks=RHO_R_DECODERS,
    baselines=(),
    train=TrainConfig(epochs=150, patience=15, lr=1e-3, b1=0.9, validation_share=0.1, keep="best", checkpoint_every=20),
)

EXPERIMENT = Experiment(
    summary="The mixing decoder with and without rho r: scores, and what becomes of the learned f_SOC",
    table="Coleman et al. 2024, Appendix B",
    study="jaxsoil.studies.reconstruction.rho_r",
    report="jaxsoil.studies.reconstruction.report.rho_r",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        seeds=1,
        twin=SMOKE_TWIN,
        width=32,
        train=dataclasses.replace(DEFAULT.train, epochs=12, patience=0, batch=25, checkpoint_every=4),
    ),
    paper=StudyConfig(seeds=4, networks=RHO_R_DECODERS, baselines=(), initialisation="pytorch", twin=PAPER_TWIN),
)


def sweep_rho_r():
    """Both decoders from the paper's start and from the direct estimate, at the width of region_out."""
    return grid({"width": (128,), "start": ("paper", "direct")})
