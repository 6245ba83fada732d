"""Texture as a composition: MIR-MLP and NIRtoMIR-MLP with and without the isometric log-ratio.

python experiments/run.py --exp=ilr                         the twin
"""

from pathlib import Path

from jaxsoil.experiment import Experiment
from jaxsoil.studies.multifidelity import presets


def report(folder: Path) -> Path:
    """Writes report.md, report.html and the figures."""
    from jaxsoil.studies.multifidelity.report.ilr import write_report

    return write_report(folder)


STRATEGIES = ("MIR-MLP", "MIR-ILR-MLP", "NIRtoMIR-MLP", "NIRtoMIR-ILR-MLP")
DEFAULT = presets.ablation(presets.DEFAULT, STRATEGIES)

EXPERIMENT = Experiment(
    summary="Clay, silt and sand as a composition (ILR) in MIR-MLP and NIRtoMIR-MLP, on and off",
    table="Sun et al., Figure 8",
    config=DEFAULT,
    smoke=presets.smoke(DEFAULT),
    paper=presets.ablation(presets.PAPER, STRATEGIES),
    load=presets.prepare,
    run=presets.run,
    report=report,
    plan=presets.plan,
)
