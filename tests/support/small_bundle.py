"""A small bundle on synthetic spectra, with a model of each kind, made without a study."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.bundle.bundle import Bundle, Model, Target
from jaxsoil.bundle.networks import Convolutional, Network, Perceptron
from jaxsoil.bundle.predictors import Linear, Process, Trees
from jaxsoil.evaluation.domain import Domain, levels
from jaxsoil.evaluation.shift import Calibration
from jaxsoil.models import forest, gaussian_process, plsr
from jaxsoil.models.autoencoder import Autoencoder, ModelConfig
from jaxsoil.models.mlp import Cnn1d, Mlp
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.preprocess import SNV, Absorbance, Pipeline

AXIS = np.arange(1300.0, 2451.0, 10.0)
BANDS = AXIS.size


def soils(n: int, seed: int = 0) -> tuple[Spectra, np.ndarray]:
    """Reflectance (n, m) with water and hydroxyl bands where they lie, and SOC (n,) in % that darkens it."""
    rng = np.random.default_rng(seed)
    soc = 10.0 ** rng.uniform(-0.7, 0.9, n)
    water, clay = rng.uniform(0.05, 0.15, (2, n))
    organic = 0.02 * np.sqrt(soc)
    shape = lambda centre, width: np.exp(-0.5 * ((AXIS - centre) / width) ** 2)  # noqa: E731
    depth = (
        np.outer(water, 0.5 * shape(1414.0, 25.0) + shape(1915.0, 35.0))
        + np.outer(clay, shape(2208.0, 25.0))
        + np.outer(organic, shape(2310.0, 40.0) + shape(1730.0, 30.0))
    )
    level = rng.uniform(0.35, 0.5, n)[:, None] * (1.0 + 0.1 * (AXIS - 1900.0) / 550.0)
    values = level * (1.0 - depth) + rng.normal(0.0, 2e-4, (n, BANDS))
    return Spectra(values.astype(np.float32), AXIS, "nm", "reflectance"), soc


def small_bundle(twin: bool = False) -> Bundle:
    """Models "plsr", "forest", "process", "ann", "mlp", "cnn" of SOC, calibrated as if four regions were held out."""
    return dataclasses.replace(_fitted(), twin=twin)


@functools.cache
def _fitted() -> Bundle:
    spectra, soc = soils(160)
    x = Pipeline((Absorbance(), SNV()))(spectra).values
    target = np.log10(soc)
    level = levels(spectra.to_absorbance().values)
    domain = Domain.fit(x, np.arange(len(soc)).astype(str), levels=level)
    linear = plsr.fit(x, target, 8)
    process = gaussian_process.fit(x[:50], target[:50], np.zeros(50), AXIS, gaussian_process.prior(2))
    half = Linear(np.full((BANDS, 1), 0.01), np.array([0.1]), ("log10",))
    regions = np.array([f"region {row % 4}" for row in range(len(soc))])
    held_out = 10.0 ** (linear.predict(x) + np.random.default_rng(1).normal(0.0, 0.1, len(soc)))
    found = Calibration.of(soc, held_out, regions, domain.space.scores(x))
    config = ModelConfig(decoder="ann", width=8, hidden=1)
    # In one program each: step by step every operation would compile one.
    start: Any = jax.jit(functools.partial(Autoencoder(4, BANDS, config).init, train=False))
    variables = start(jax.random.key(0), jnp.asarray(spectra.values[:2]))
    params: Any = jax.jit(Mlp(1, (6,)).init)(jax.random.key(1), jnp.asarray(x[:1]))["params"]
    plain = lambda tree: jax.tree.map(np.asarray, dict(tree))  # noqa: E731
    inputs = np.stack([x.mean(axis=0), x.std(axis=0)])
    shape = {"features": [4], "kernel": 3, "width": 5, "activation": "relu", "dropout": 0.0}
    begin: Any = jax.jit(Cnn1d(1, (4,), 3, 5, "relu").init)
    drawn = [begin(jax.random.key(seed), jnp.asarray(x[:1])) for seed in (2, 3)]
    known = {"mean": inputs[0], "sd": inputs[1], "centre": np.float32(1.0), "unit": np.float32(0.5)}
    nets = tuple({"params": plain(net), "constants": known} for net in drawn)
    kinds = {
        "cnn": (Convolutional(shape, ((0.0, 100.0, True),), (nets,)), ("absorbance", "snv"), None),
        "plsr": (Linear.of([linear], ["log10"]), ("absorbance", "snv"), None),
        "process": (Process(half, process, 0.5), ("absorbance", "snv"), None),
        "forest": (Trees.of(forest.fit(x, target, seed=0, n_trees=5), "log10"), ("absorbance", "snv"), None),
        "ann": (Network(4, BANDS, dataclasses.asdict(config), plain(variables), {}), (), 0.2),
        "mlp": (
            Perceptron((6,), plain(params), inputs, np.array([[0.1], [0.4]]), ("log10",)),
            ("absorbance", "snv"),
            None,
        ),
    }
    score = {"property": "soc", "split": "test", "region": "mean over regions", "scale": "log10"}
    scores = ({**score, "metric": "ccc", "value": 0.9, "unit": "1"},)
    models = {
        name: Model(predictor, steps, (Target.of("soc", "%", soc),), {"soc": found}, scores, limit)
        for name, (predictor, steps, limit) in kinds.items()
    }
    data = {"name": "synthetic", "rows": len(soc), "licence": "Apache-2.0", "notes": ["drawn at random"]}
    study = {"experiment": "none", "command": "none", "held_out": "nothing, this is a test"}
    return Bundle("small", AXIS, "nm", "reflectance", models, "plsr", domain, data, study, False)
