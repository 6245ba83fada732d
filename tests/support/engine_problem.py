"""A tiny problem for the tests of the engine: the reconstruction study's networks on a few rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.models.autoencoder import Autoencoder, DecoderKind, ModelConfig
from jaxsoil.studies.reconstruction.objectives import make_loss
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.grid import make_training
from jaxsoil.training.step import Data, Member, Training

ROWS, BANDS, COMPONENTS = 120, 16, 5
TRAIN = TrainConfig(epochs=4, batch=16, lr=1e-2, b1=0.9, validation_share=0.1, keep="best", checkpoint_every=1)
"""A state is kept once a minute, so never here: keeping one takes longer than these epochs."""


def network(decoder: DecoderKind = "ann", width: int = 16, hidden: int = 0) -> Autoencoder:
    """A small network."""
    return Autoencoder(COMPONENTS, BANDS, ModelConfig(width=width, hidden=hidden, decoder=decoder))


def training(decoder: DecoderKind = "ann", train: TrainConfig = TRAIN, mesh=None, per_step: bool = False) -> Training:
    """Its training by Eq. 1, with at most 12 validation rows."""
    model = network(decoder)
    return make_training(model, train, make_loss(model, train), 12, mesh, per_step)


def problem(seed: int = 0) -> Data:
    """Spectra that darken with SOC, plus noise."""
    draw = np.random.default_rng(seed)
    soc = draw.uniform(0.002, 0.08, ROWS)
    slope = np.linspace(0.2, 0.6, BANDS)
    spectra = slope * (1 - 5 * soc[:, None]) + draw.normal(0, 0.01, (ROWS, BANDS))
    return Data({"spectra": jnp.asarray(spectra, jnp.float32), "soc": jnp.asarray(soc, jnp.float32)})


def members(trials: int, train_rows: int = 80, validation: int = 12) -> Member:
    """``trials`` trials on the same rows: ``train_rows`` labelled, then ``validation``; the rest is held out."""
    labelled = np.zeros((trials, ROWS), dtype=bool)
    labelled[:, :train_rows] = True
    watch = np.zeros_like(labelled)
    watch[:, train_rows : train_rows + validation] = True
    return Member(
        rows={
            "labelled": jnp.asarray(labelled),
            "unlabelled": jnp.zeros((trials, ROWS), bool),
            "validation": jnp.asarray(watch),
        },
        steps=jnp.full(trials, train_rows // TRAIN.batch, jnp.int32),
        lr=jnp.full(trials, TRAIN.lr, jnp.float32),
        key=jax.vmap(jax.random.key)(jnp.arange(trials)),
    )
