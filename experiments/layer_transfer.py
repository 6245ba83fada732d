"""Maps of soil organic carbon in depth layers, by networks that learn from all layers.

python experiments/run.py --exp=layer_transfer                     a synthetic landscape with known maps, no download
python experiments/run.py --exp=layer_transfer --data edgeroi      341 measured profiles, carbon density
python experiments/run.py --exp=layer_transfer --data macedonia    1,599 measured profiles with horizons, SOC in %
python experiments/run.py --exp=layer_transfer --data mine.toml    one's own sites and rasters

Run time: ``--plan`` estimates it for two idle cores. The smoke size (``--smoke``) takes about a minute of CPU time.
Expected on the twin, all layers under spatial blocks: RMSE 1.114 % of ``transfer``, 1.065 % of ``cnn``, 1.073 % of
``rf_window``, 1.760 % of ``mean``.
"""

import dataclasses

from jaxsoil.data.twin.landscape.config import LandscapeConfig
from jaxsoil.experiments import Experiment
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.sweep.points import grid

DEFAULT = LayersConfig()

EXPERIMENT = Experiment(
    summary="Soil maps of six depth layers: forests, networks, and a network that learns from all layers first",
    table="Han et al. 2025, abstract",
    study="jaxsoil.studies.layers.run",
    report="jaxsoil.studies.layers.report.page",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        twin=LandscapeConfig(height=60, width=80, sites=160),
        seeds=1,
        folds=3,
        trees=6,
        width=8,
        hidden=16,
        min_sites=30,
        watch=0.155,  # sixteen sites in every fold of either split, so that both share compiled programs
        # More than the twin's grid; of a measured landscape the middle alone.
        map_side=96,
        train=dataclasses.replace(DEFAULT.train, epochs=12, patience=0),
        finetune=dataclasses.replace(DEFAULT.finetune, epochs=4, patience=0),
    ),
)


def sweep_window():
    """Side of the window of covariates, pixels."""
    return grid({"window": (1, 3, 9, 15)})
