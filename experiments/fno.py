"""The conversion's architecture: a Fourier neural operator in place of the shared latent space, NIR to MIR.

python experiments/run.py --exp=fno                         the twin
"""

from pathlib import Path

from jaxsoil.experiment import Experiment
from jaxsoil.studies.multifidelity import presets


def report(folder: Path) -> Path:
    """Writes report.md, report.html and the figures."""
    from jaxsoil.studies.multifidelity.report.fno import write_report

    return write_report(folder)


STRATEGIES = ("MIR-MLP", "NIRtoMIR-MLP", "NIRtoMIR-FNO-MLP")
DEFAULT = presets.ablation(presets.DEFAULT, STRATEGIES)

EXPERIMENT = Experiment(
    summary="A Fourier neural operator instead of the latent space for NIR to MIR",
    table="Sun et al., Figure C.9",
    config=DEFAULT,
    smoke=presets.smoke(DEFAULT),
    paper=presets.ablation(presets.PAPER, STRATEGIES),
    load=presets.prepare,
    run=presets.run,
    report=report,
    plan=presets.plan,
)
