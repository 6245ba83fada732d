"""The hybrid data set: measured carbon and organic matter of several laboratories, and predictions for the rest.

python experiments/run.py --exp=hybrid_dataset                      the twin: five laboratories, no download
python experiments/run.py --exp=hybrid_dataset --data fields_mir    measured spectra of seven sets
python experiments/run.py --exp=hybrid_dataset --data mine.toml     one's own laboratories (docs/own_data.md)
python experiments/run.py --exp=hybrid_dataset --paper              the publication's 57,000 samples

Run time, as --plan estimates it: 4.4 million spectra pass through networks, about eight minutes on two cores. The smoke
run on measured spectra took 95 s. Expected on the twin: carbon R2 0.97 and RMSE 13.2 g/kg in random folds, 0.97 and
12.2 g/kg with a laboratory held out; 90 % intervals cover 90 % of the carbon values that no fold trains on.
"""

import dataclasses

from jaxsoil.data.twin.laboratories.config import LaboratoriesConfig
from jaxsoil.experiments import Experiment
from jaxsoil.studies.hybrid.config import HybridConfig, NetworkConfig
from jaxsoil.sweep.points import grid

DEFAULT = HybridConfig()

EXPERIMENT = Experiment(
    summary="One table of measured and predicted values with intervals, from the spectra of several laboratories",
    table="hybrid MIR data set (abstract)",
    study="jaxsoil.studies.hybrid.run",
    report="jaxsoil.studies.hybrid.report.page",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        twin=LaboratoriesConfig(samples=300, carbon=260, organic_matter=90, laboratories=3, outliers=6),
        step=32.0,
        folds=3,
        members=2,
        network=NetworkConfig(features=(8, 16), width=32),
        train=dataclasses.replace(DEFAULT.train, epochs=15, batch=32),
    ),
    paper=dataclasses.replace(DEFAULT, twin=LaboratoriesConfig.paper(), step=0.0, members=5),
)


def sweep_members():
    """Networks of each ensemble."""
    return grid({"members": (1, 2, 5)})
