"""A tiny problem for the tests of the engine."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.training.config import TrainConfig
from jaxsoil.training.fit import Data, TrialArrays

ROWS, BANDS, COMPONENTS = 120, 16, 5
TRAIN = TrainConfig(epochs=4, batch=16, lr=1e-2, b1=0.9, validation_share=0.1, keep="best")


def problem(seed: int = 0) -> Data:
    """Spectra that darken with SOC, plus noise."""
    draw = np.random.default_rng(seed)
    soc = draw.uniform(0.002, 0.08, ROWS)
    slope = np.linspace(0.2, 0.6, BANDS)
    spectra = slope * (1 - 5 * soc[:, None]) + draw.normal(0, 0.01, (ROWS, BANDS))
    return Data(jnp.asarray(spectra, jnp.float32), jnp.asarray(soc, jnp.float32))


def arrays(trials: int, train_rows: int = 80, validation: int = 12) -> TrialArrays:
    """``trials`` trials on the same rows: ``train_rows`` labelled, then ``validation``; the rest is held out."""
    labelled = np.zeros((trials, ROWS), dtype=bool)
    labelled[:, :train_rows] = True
    watch = np.zeros_like(labelled)
    watch[:, train_rows : train_rows + validation] = True
    return TrialArrays(
        labelled=jnp.asarray(labelled),
        unlabelled=jnp.zeros((trials, ROWS), bool),
        validation=jnp.asarray(watch),
        steps=jnp.full(trials, train_rows // TRAIN.batch, jnp.int32),
        lr=jnp.full(trials, TRAIN.lr, jnp.float32),
        key=jax.vmap(jax.random.key)(jnp.arange(trials)),
    )
