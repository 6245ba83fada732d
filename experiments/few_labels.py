"""Few labels, then fine-tuning on the region held out (Experiment 3 of the reconstruction study).

python experiments/run.py --exp=few_labels                       the twin: 9 regions, no download
python experiments/run.py --exp=few_labels --data fields_vnir    measured spectra of seven regions
python experiments/run.py --exp=few_labels --smoke               the smallest size, two minutes on two CPU cores
python experiments/run.py --exp=few_labels --paper               the publication's size (days on a CPU)

Expected with 128 units a layer and one seed (``spectra`` in docs/sweeps.md), mean CCC of log10 SOC over nine held-out
regions: encoder 0.52 before and 0.60 after fine-tuning, with ANN decoder 0.63 and 0.71, standard errors 0.08 to 0.10;
its four points took up to 14 minutes. The default has 512 units and two seeds and takes longer.
"""

import dataclasses

from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.experiments import Experiment
from jaxsoil.studies.reconstruction.config import PAPER_TWIN, SMOKE_TWIN, FewLabelsConfig
from jaxsoil.sweep.points import grid
from jaxsoil.training.config import TrainConfig

FINETUNE = TrainConfig(
    epochs=25, batch=20, unlabelled_batch=20, wrap=True, batch_norm="stored", lr=2e-4, b1=0.9, checkpoint_every=25
)

DEFAULT = FewLabelsConfig(
    seeds=2,
    baselines=("plsr", "random_forest"),
    twin=TwinConfig(n_samples=1800, n_regions=9, n_outlying=2),
    train=TrainConfig(
        epochs=120, batch=40, unlabelled_batch=100, wrap=True, patience=25, lr=1e-3, b1=0.9, validation_share=0.1,
        keep="best", checkpoint_every=20,
    ),
    finetune=FINETUNE,
)  # fmt: skip

EXPERIMENT = Experiment(
    summary="SOC from few labels and many spectra, before and after fine-tuning on the region held out",
    table="Coleman et al. 2024, Table 3",
    study="jaxsoil.studies.reconstruction.few_labels",
    report="jaxsoil.studies.reconstruction.report.few_labels",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        seeds=1,
        twin=dataclasses.replace(SMOKE_TWIN, n_regions=3),
        width=32,
        components=12,
        pedons_per_region=6,
        adaptation_pedons=3,
        train=dataclasses.replace(
            DEFAULT.train, epochs=12, patience=0, batch=20, unlabelled_batch=40, checkpoint_every=4
        ),
        finetune=dataclasses.replace(FINETUNE, epochs=10, batch=10, checkpoint_every=4),
    ),
    paper=FewLabelsConfig(
        seeds=4,
        initialisation="pytorch",
        twin=PAPER_TWIN,
        # The paper's own training scores speak for few steps: RMSE 3.6 % after its 500 epochs, where 1,000 epochs on
        # all labels reach 0.8 %, and R2 0.2 to 0.6 on the few labels that it fine-tunes on.
        train=TrainConfig(epochs=500, unlabelled_batch=75, wrap=True, epoch_of="labelled"),
        finetune=TrainConfig(epochs=25, unlabelled_batch=75, wrap=True, epoch_of="labelled", batch_norm="stored"),
    ),
)


BOTH = {"width": (128,), "baselines": ((),), "networks": (("none", "ann"),)}
"""Without and with the spectra that have no label, at the width of region_out."""


def sweep_labels():
    """Labelled pedons of each training region, from which N follows; 10 is the paper's."""
    return grid(BOTH | {"pedons_per_region": (2, 5, 10, 20)})


def sweep_spectra():
    """Spectra N' that train beside the labels: a share of all others; 1 is the paper's. Without a decoder N' = 0."""
    return grid(BOTH | {"unlabelled_share": (0.05, 0.2, 0.5, 1.0)})
