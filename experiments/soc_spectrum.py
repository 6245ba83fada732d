"""Experiment 2 of the reconstruction study: the spectrum of soil organic carbon, and what of it is known.

    python experiments/run.py --exp=soc_spectrum                      reference twins, with and without troughs
    python experiments/run.py --exp=soc_spectrum --data soils_vnir    measured soils, with bootstraps
    python experiments/run.py --exp=soc_spectrum --smoke              small twins (134 s on two cores)
    python experiments/run.py --exp=soc_spectrum --paper              the paper's optimiser and folds (hours)

Expected on the twin with troughs, RMSE of f_SOC: 0.015 by direct regression (8,000 soils, mean of three seeds), 0.297
from the paper's start, 0.029 from the direct estimate; R2 of SOC in held-out regions 0.63 and 0.70. The mixing decoder
is trained from both starts and stands beside the direct estimate, the truth and the null control
(docs/soc_spectrum.md).
"""

import dataclasses

from jaxsoil.data.twin.soil.config import reference_config
from jaxsoil.experiments import Experiment
from jaxsoil.studies.reconstruction.soc_spectrum.config import SocSpectrumConfig
from jaxsoil.training.config import TrainConfig

DEFAULT = SocSpectrumConfig(
    networks=("physics",),
    baselines=(),
    twin=reference_config(),
    # Learning rate times steps must exceed the 1.2 g cm-3 nm that c has to go from the paper's start. The decoder's
    # own rate from the direct start is 3e-5.
    warm_decoder_lr=0.03,
    train=TrainConfig(epochs=150, patience=40, lr=1e-3, b1=0.99, validation_share=0.1, keep="best"),
)

EXPERIMENT = Experiment(
    summary="The spectrum of SOC: learned, estimated directly, and what of it the data determine",
    table="Coleman et al. 2024, Figure 3",
    study="jaxsoil.studies.reconstruction.soc_spectrum.run",
    report="jaxsoil.studies.reconstruction.soc_spectrum.report.page",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        twin=reference_config(240, n_regions=4, n_bands=80),
        held_out=2,
        width=32,
        resamples=20,
        direct_sizes=(300,),
        direct_seeds=1,
        sweep_samples=300,
        sweep_factors=("clay",),
        libraries=("true", "clays missing"),
        train=dataclasses.replace(DEFAULT.train, epochs=10, patience=0, batch=25, checkpoint_every=5),
    ),
    paper=SocSpectrumConfig(
        seeds=4,
        networks=("physics",),
        baselines=(),
        initialisation="pytorch",
        twin=reference_config(23291, n_regions=17, n_bands=2136, wavelength_high=2500.0),
        held_out=0,
        library_epochs=1000,
        train=TrainConfig(),
    ),
)
