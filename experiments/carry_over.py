"""Models that carry over to regions never seen: penalised ridge, Gaussian process and networks beside PLSR, by part.

python experiments/run.py --exp=carry_over --data fields    eight measured regions: the table of docs/carry_over.md
python experiments/run.py --exp=carry_over --data fields_mir    seven mid-infrared sets; also --properties ph clay
python experiments/run.py --exp=carry_over                  the twin: 17 regions, no download
python experiments/run.py --exp=carry_over --data mine.toml --held-out mine    one's own region alone is held out

With the paper's networks fine-tuned on the local labels it takes longer; --finetuned with no name leaves them out.

Expected on `fields`, mean over eight held-out regions of CCC and RMSE of log10 SOC: PLSR on absorbance 0.55 and 0.262,
carry-over 0.59 and 0.226.
"""

import dataclasses

from jaxsoil.experiments import Experiment
from jaxsoil.studies.reconstruction.config import SMOKE_TWIN, CarryOverConfig
from jaxsoil.training.config import TrainConfig

DEFAULT = CarryOverConfig(
    baseline_input=("snv",),
    baseline_loss=("log",),
    # Networks beside the local labels: as region_out trains them, fine-tuned as few_labels does.
    finetuned=("none", "ann"),
    width=128,
    input=("snv",),
    loss=("proportional",),
    train=TrainConfig(epochs=120, patience=12, lr=1e-3, b1=0.9, validation_share=0.1, keep="best", checkpoint_every=15),
)

SMOKE = "plsr", "plsr_absorbance", "epo", "ridge", "carry_over"

EXPERIMENT = Experiment(
    summary="SOC of a region that no model has seen: what penalties on perturbations and regions gain over PLSR",
    table="no table of a paper: a model family of this package",
    study="jaxsoil.studies.reconstruction.carry_over",
    report="jaxsoil.studies.reconstruction.report.carry_over",
    config=DEFAULT,
    smoke=dataclasses.replace(DEFAULT, twin=SMOKE_TWIN, baselines=SMOKE, finetuned=()),
)
