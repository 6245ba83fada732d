"""Maps of soil organic carbon in depth layers, by networks that learn from all layers.

python experiments/run.py --exp=layer_transfer                     a synthetic landscape with known maps, no download
python experiments/run.py --exp=layer_transfer --data edgeroi      341 measured profiles, carbon density
python experiments/run.py --exp=layer_transfer --data mine.toml    one's own sites and rasters
"""

import dataclasses
from pathlib import Path

from jaxsoil.data.twin_landscape import LandscapeConfig
from jaxsoil.experiment import Experiment
from jaxsoil.layers.config import LayersConfig
from jaxsoil.layers.prepare import prepare
from jaxsoil.layers.run import plan, run


def report(folder: Path) -> Path:
    """Writes report.md, report.html and the figures."""
    from jaxsoil.report.layers import write_report

    return write_report(folder)


DEFAULT = LayersConfig()

EXPERIMENT = Experiment(
    summary="Soil maps of six depth layers: forests, networks, and a network that learns from all layers first",
    table="Han et al. 2025, abstract",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        twin=LandscapeConfig(height=60, width=80, sites=160),
        seeds=1,
        folds=3,
        trees=20,
        width=8,
        hidden=16,
        min_sites=30,
        train=dataclasses.replace(DEFAULT.train, epochs=12, patience=0),
        finetune=dataclasses.replace(DEFAULT.finetune, epochs=4, patience=0),
    ),
    load=prepare,
    run=run,
    report=report,
    plan=plan,
)
