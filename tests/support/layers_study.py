"""A study of layers small enough for tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jaxsoil.data.twin.landscape.make import LandscapeConfig
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.layers.config import LayersConfig
from jaxsoil.training.config import LoopConfig

LOOP = LoopConfig(epochs=3, batch=16, lr=3e-3)
TINY = LayersConfig(
    twin=LandscapeConfig(height=40, width=46, sites=90, gaps=(0.0, 0.0, 0.0, 0.02, 0.1, 0.3)),
    models=("mean", "rf", "transfer", "profile"),
    seeds=2,
    folds=2,
    window=3,
    min_sites=20,
    trees=5,
    width=4,
    hidden=8,
    train=LOOP,
    finetune=dataclasses.replace(LOOP, epochs=2),
    map_model="transfer",
    tile=25,
)


def start(folder: Path, config: LayersConfig) -> RunFolder:
    """A run folder with what the command line writes into it."""
    target = RunFolder(folder, "layer_transfer", "disabled")
    target.write_json("config.json", {"experiment": "layer_transfer", "config": dataclasses.asdict(config)})
    target.write_json("env.json", {"command": "python experiments/run.py --exp=layer_transfer", "cores": 2})
    return target
