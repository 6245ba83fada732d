"""Models that carry over to regions never seen: penalised ridge, Gaussian process and networks beside PLSR, by part.

python experiments/run.py --exp=carry_over --data fields    eight measured regions: the table of docs/carry_over.md
python experiments/run.py --exp=carry_over --data fields_mir --properties ph clay    seven mid-infrared sets
python experiments/run.py --exp=carry_over                  the twin: 17 regions, no download
python experiments/run.py --exp=carry_over --data mine.toml --held-out mine    one's own region alone is held out

Expected on `fields`, mean over eight held-out regions of CCC and RMSE of log10 SOC: PLSR on absorbance 0.55 and 0.262,
carry-over 0.59 and 0.226.
"""

import dataclasses

from jaxsoil.experiments import Experiment
from jaxsoil.studies.reconstruction.config import SMOKE_TWIN, CarryOverConfig

DEFAULT = CarryOverConfig(baseline_input=("snv",), baseline_loss=("log",))

SMOKE = "plsr", "plsr_absorbance", "epo", "ridge", "carry_over"

EXPERIMENT = Experiment(
    summary="SOC of a region that no model has seen: what penalties on perturbations and regions gain over PLSR",
    table="no table of a paper: a model family of this package",
    study="jaxsoil.studies.reconstruction.carry_over",
    report="jaxsoil.studies.reconstruction.report.carry_over",
    config=DEFAULT,
    smoke=dataclasses.replace(DEFAULT, twin=SMOKE_TWIN, baselines=SMOKE),
)
