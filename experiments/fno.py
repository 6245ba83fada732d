"""The conversion's architecture: a Fourier neural operator in place of the shared latent space, NIR to MIR.

python experiments/run.py --exp=fno                         the twin

The paper: the operator is below the MLP for all properties.
"""

from jaxsoil.experiments import Experiment
from jaxsoil.studies.multifidelity.config import PAPER_SIZE, MultifidelityConfig, ablation, smoke

STRATEGIES = ("MIR-MLP", "NIRtoMIR-MLP", "NIRtoMIR-FNO-MLP")
DEFAULT = ablation(MultifidelityConfig(), STRATEGIES)

EXPERIMENT = Experiment(
    summary="A Fourier neural operator instead of the latent space for NIR to MIR",
    table="Sun et al., Figure C.9",
    study="jaxsoil.studies.multifidelity.run",
    report="jaxsoil.studies.multifidelity.report.page",
    config=DEFAULT,
    smoke=smoke(DEFAULT),
    paper=ablation(PAPER_SIZE, STRATEGIES),
)
