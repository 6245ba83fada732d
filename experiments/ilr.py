"""Texture as a composition: MIR-MLP and NIRtoMIR-MLP with and without the isometric log-ratio.

python experiments/run.py --exp=ilr                         the twin

With ILR the three sizes sum to 100 %. The paper: ILR helps MIR-MLP and harms NIRtoMIR-MLP on the test set.
"""

from jaxsoil.experiments import Experiment
from jaxsoil.studies.multifidelity.config import PAPER_SIZE, MultifidelityConfig, ablation, smoke

STRATEGIES = ("MIR-MLP", "MIR-ILR-MLP", "NIRtoMIR-MLP", "NIRtoMIR-ILR-MLP")
DEFAULT = ablation(MultifidelityConfig(), STRATEGIES)

EXPERIMENT = Experiment(
    summary="Clay, silt and sand as a composition (ILR) in MIR-MLP and NIRtoMIR-MLP, on and off",
    table="Sun et al., Figure 8",
    study="jaxsoil.studies.multifidelity.run",
    report="jaxsoil.studies.multifidelity.report.page",
    config=DEFAULT,
    smoke=smoke(DEFAULT),
    paper=ablation(PAPER_SIZE, STRATEGIES),
)
