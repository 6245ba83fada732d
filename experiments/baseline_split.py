"""A random 60:40 split of everything (baseline of the reconstruction study).

python experiments/run.py --exp=baseline_split                       the twin, no download
python experiments/run.py --exp=baseline_split --data fields_vnir    measured spectra
python experiments/run.py --exp=baseline_split --smoke               the smallest size, a minute on two CPU cores
python experiments/run.py --exp=baseline_split --paper               the publication's size (days on a CPU)

The paper draws rows and ignores which of them come from one pedon or sample; here each
split is drawn by group and by row, and the difference is the size of the leak.
"""

import dataclasses

from jaxsoil.experiments import Experiment
from jaxsoil.studies.reconstruction.config import PAPER_TWIN, SMOKE_TWIN, BaselineSplitConfig
from jaxsoil.training.config import TrainConfig

DEFAULT = BaselineSplitConfig(
    train=TrainConfig(
        epochs=200, patience=40, batch=32, lr=1e-3, b1=0.9, validation_share=0.1, keep="best", checkpoint_every=50
    ),
)

EXPERIMENT = Experiment(
    summary="SOC after a random 60:40 split of everything, by group and by row: what a leak of pedons is worth",
    table="Coleman et al. 2024, Table 1",
    study="jaxsoil.studies.reconstruction.baseline_split",
    report="jaxsoil.studies.reconstruction.report.baseline_split",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        draws=2,
        twin=SMOKE_TWIN,
        width=32,
        components=12,
        train=dataclasses.replace(DEFAULT.train, epochs=12, patience=0, batch=25, checkpoint_every=4),
    ),
    paper=BaselineSplitConfig(draws=10, initialisation="pytorch", twin=PAPER_TWIN),
)
