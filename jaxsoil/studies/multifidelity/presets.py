"""Sizes of the study: a laptop's, the tests' and the publication's; and its stages, imported when they are called."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.models.config import VaeConfig
from jaxsoil.studies.multifidelity.config import (
    BETA,
    ConversionConfig,
    CurveConfig,
    FnoConfig,
    MultifidelityConfig,
    PretrainConfig,
    PropertyConfig,
)
from jaxsoil.training.config import LoopConfig

if TYPE_CHECKING:
    from jaxsoil.experiment import RunFolder
    from jaxsoil.studies.multifidelity.run import Prepared

DEFAULT = MultifidelityConfig()


def prepare(config: MultifidelityConfig) -> Prepared:
    """Reads and checks the data."""
    from jaxsoil.studies.multifidelity.run import prepare

    return prepare(config)


def run(config: MultifidelityConfig, folder: RunFolder, data: Prepared) -> None:
    """Trains the three stages and writes results."""
    from jaxsoil.studies.multifidelity.run import run

    run(config, folder, data)


def plan(config: MultifidelityConfig, data: Prepared) -> str:
    """Trainings and their cost, as a table."""
    from jaxsoil.studies.multifidelity.plan import plan

    return plan(config, data)


def smoke(config: MultifidelityConfig) -> MultifidelityConfig:
    """The same study at a size of seconds."""
    few: dict[str, Any] = {"epochs": 6, "patience": 0}
    return dataclasses.replace(
        config,
        seeds=2,
        samples=4,
        steps=0,
        internal=1 if config.internal else 0,
        twin=InfraredTwinConfig(
            samples=160, repeats=2, labelled=130, pairs=60, test=40, mir_step=34.0, nir_bands=23
        ),
        pretrain=dataclasses.replace(
            config.pretrain, vae=VaeConfig(widths=(32, 16)), loop=LoopConfig(epochs=6, batch=32), checkpoint_steps=20
        ),
        convert=ConversionConfig(
            widths=(16,), loop=LoopConfig(epochs=6, batch=16), spread_widths=(8,),
            spread_loop=LoopConfig(epochs=3, batch=16),
        ),
        fno=FnoConfig(width=6, layers=2, modes=4, loop=LoopConfig(epochs=3, batch=16)),
        properties=dataclasses.replace(
            config.properties, tasks=("multi",), steps=0, widths=(16,), latent_widths=(16,), components=6, folds=3,
            loop=dataclasses.replace(config.properties.loop, batch=32, **few),
        ),
        curves=dataclasses.replace(config.curves, labels=config.curves.labels and (30,), steps=10),
    )  # fmt: skip


def ablation(config: MultifidelityConfig, strategies: Sequence[Any]) -> MultifidelityConfig:
    """Some strategies alone, one network for all properties, without the curves and the yardsticks."""
    return dataclasses.replace(
        config,
        strategies=tuple(strategies),
        properties=dataclasses.replace(config.properties, tasks=("multi",)),
        curves=dataclasses.replace(config.curves, labels=()),
        internal=0,
    )


PAPER = MultifidelityConfig(
    twin=InfraredTwinConfig.paper(),
    pretrain=PretrainConfig(
        vae=VaeConfig(widths=(512, 256)), loop=LoopConfig(epochs=60, batch=1024, lr=2e-3), beta=BETA
    ),
    convert=ConversionConfig(loop=LoopConfig(epochs=300, batch=64, weight_decay=1e-4)),
    properties=PropertyConfig(
        widths=(256, 128),
        loop=LoopConfig(epochs=150, batch=512, lr=2e-3, weight_decay=1e-2, patience=20),
        components=40,
    ),
    curves=CurveConfig(labels=(10, 30, 100, 300, 1000, 3000, 10000), draws=1),
)
"""Rows and bands of the publication; what it does not state stays ours."""
