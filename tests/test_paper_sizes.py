"""Every experiment at the paper's size, traced: networks and one training step; nothing is computed."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from command import EXPERIMENTS
from smoke_runs import TWINS

from jaxsoil.experiments import load

RECONSTRUCTION = ("region_out", "baseline_split", "few_labels", "rho_r", "soc_spectrum")
MULTIFIDELITY = ("multifidelity", "ilr", "fno")
WITHOUT_PAPER = ("carry_over", "layer_transfer")
"""No publication states their size."""

KEY = jax.random.key(0)


def table(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def parameters(module: Any, bands: int) -> Any:
    return jax.eval_shape(lambda: module.init(KEY, jnp.zeros((2, bands), jnp.float32))["params"])


def size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def traced_step(loss: Any, params: Any, batch: Any, **constants: Any) -> tuple[Any, Any]:
    """Shapes of the parameters after a step of Adam on ``loss``, and of the loss."""
    stats = {"stats": None} if "stats" in inspect.signature(loss).parameters else {}

    def step(params: Any, batch: Any, constants: Any) -> Any:
        def value(params: Any) -> jax.Array:
            return loss(params, batch=batch, key=KEY, progress=jnp.float32(0.5), **stats, **constants)[0]

        found, grads = jax.value_and_grad(value)(params)
        with jax.numpy_dtype_promotion("standard"):
            updates, _ = (adam := optax.scale_by_adam()).update(grads, adam.init(params))
        return optax.apply_updates(params, updates), found

    return jax.eval_shape(step, params, batch, constants)


def check(loss: Any, params: Any, batch: Any, **constants: Any) -> None:
    moved, value = traced_step(loss, params, batch, **constants)
    assert value.shape == () and value.dtype == jnp.float32
    assert jax.tree.map(lambda x: (x.shape, x.dtype), moved) == jax.tree.map(lambda x: (x.shape, x.dtype), params)


def paper(name: str) -> Any:
    return load(name, EXPERIMENTS).paper


def test_every_experiment_is_traced_or_has_no_paper_size() -> None:
    assert {*RECONSTRUCTION, *MULTIFIDELITY, *WITHOUT_PAPER, "hybrid_dataset"} == set(TWINS)
    assert [name for name in TWINS if paper(name) is None] == [*WITHOUT_PAPER]


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_networks_of_the_reconstruction_study(name: str) -> None:
    from jaxsoil.models.autoencoder import Autoencoder, Minerals, ModelConfig
    from jaxsoil.studies.reconstruction.objectives import outside_unit_interval, soc_term, spectrum_term

    config = paper(name)
    bands, stages = config.twin.n_bands, [config.train, *([config.finetune] if name == "few_labels" else [])]
    assert (bands, config.width, config.components, config.twin.n_samples) == (2136, 512, 94, 23291)
    for decoder in config.networks:
        shape = ModelConfig(encoder=config.encoder, width=config.width, decoder=decoder)
        latent = 94 if shape.physical else config.components
        model = Autoencoder(latent, bands, shape)
        minerals = Minerals(table(latent - 1, bands), table(latent - 1)) if shape.physical else None
        variables = jax.eval_shape(
            lambda minerals, model=model: model.init(KEY, jnp.zeros((2, bands), jnp.float32), minerals, train=False),
            minerals,
        )
        # The first layer of the encoder is a dense one from all bands.
        assert size(variables["params"]["encoder"]) > bands * config.width
        for train in stages:

            def loss(params: Any, batch: Any, key: Any, progress: Any, stats: Any, own: Any, model=model, train=train):
                kept = train.batch_norm == "stored"
                (mass, rebuilt), updated = model.apply(
                    {"params": params, "batch_stats": stats}, batch["x"], own, train=not kept,
                    mutable=[] if kept else ["batch_stats"],
                )  # fmt: skip
                value = soc_term(batch["soc"], mass[: batch["soc"].shape[0], -1], train.sigma_soc)
                if rebuilt is not None:
                    spectra = slice(train.batch if train.unlabelled_batch else 0, None)
                    value += spectrum_term(batch["x"][spectra], rebuilt[spectra], train.sigma_reflectance)
                if model.config.physical:
                    value *= 1.0 + outside_unit_interval(params["decoder"]["f_soc"])
                return value, updated

            batch = {"x": table(train.batch + train.unlabelled_batch, bands), "soc": table(train.batch)}
            # BatchNorm's statistics enter as a constant: what a step does to them is the engine's.
            bound = lambda params, batch, key, progress, own, running, loss=loss: loss(  # noqa: E731
                params, batch, key, progress, running, own
            )
            check(bound, variables["params"], batch, own=minerals, running=variables["batch_stats"])


@pytest.mark.parametrize("name", MULTIFIDELITY)
def test_the_three_stages_of_the_multifidelity_study(name: str) -> None:
    from jaxsoil.models.fno import Fno
    from jaxsoil.models.mlp import Mlp
    from jaxsoil.models.vae import Vae
    from jaxsoil.studies.multifidelity.conversion import ConversionLoss, FnoLoss, Networks, SpreadLoss
    from jaxsoil.studies.multifidelity.pretrain import VaeLoss
    from jaxsoil.studies.multifidelity.property_models import PropertyLoss, Task

    config = paper(name)
    mir, nir = config.twin.mir_axis.size, config.twin.nir_axis.size
    assert (mir, nir, config.pretrain.vae.latents) == (1701, 221, 32)
    vae = Vae(mir, config.pretrain.vae)
    weights = parameters(vae, mir)
    batch = config.pretrain.loop.batch
    check(VaeLoss(vae, config.pretrain.beta, config.pretrain.warmup), weights, table(batch, mir))
    networks, pairs = Networks(config.convert, config.pretrain.vae, mir, nir), config.convert.loop.batch
    params, spread = jax.eval_shape(lambda: networks.init(KEY))
    both = {"nir": table(pairs, nir), "mir": table(pairs, mir)}
    check(ConversionLoss(networks), params, both, shared=weights["decoder"])
    frozen = {"decoder": weights["decoder"], "encoder": params["encoder"]}
    check(SpreadLoss(networks), spread, both, shared=frozen)
    fno = Fno(mir, config.fno.width, config.fno.layers, config.fno.modes)
    check(FnoLoss(fno), parameters(fno, nir), both)
    rows = config.properties.loop.batch
    tasks: tuple[tuple[Task, int], ...] = (("multi", 9), ("single", 1))
    for bands, widths in (
        (mir, config.properties.widths),
        (nir, config.properties.widths),
        (32, config.properties.latent_widths),
    ):
        for task, outputs in tasks:
            network = Mlp(outputs, tuple(widths), dropout=config.properties.dropout)
            values = {"x": table(rows, bands), "t": table(rows, 9), "known": table(rows, 9)}
            own = {"own": table(9)} if task == "single" else {}
            check(PropertyLoss(network, task), parameters(network, bands), values, **own)


def test_the_network_of_the_hybrid_study() -> None:
    from jaxsoil.studies.hybrid.network import Kind, _loss

    config = paper("hybrid_dataset")
    bands, rows = config.twin.axis.size, config.train.batch
    assert (bands, config.twin.samples) == (426, 57_000)
    for output in ("bounded", "clipped"):
        kind = Kind(config.network, output)
        constants = {"mean": table(bands), "sd": table(bands)}
        constants |= {name: table() for name in ("centre", "unit", "low", "high")}
        params = jax.eval_shape(lambda kind=kind: kind.module.init(KEY, jnp.zeros((1, bands), jnp.float32)))
        check(_loss(kind), params, {"x": table(rows, bands), "y": table(rows)}, shared=constants)
