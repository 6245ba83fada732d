"""One training step of the paper's networks against an independent PyTorch implementation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.models.autoencoder import Autoencoder, DecoderKind, Minerals, ModelConfig
from jaxsoil.studies.reconstruction.objectives import make_loss
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.devices import Layout
from jaxsoil.training.grid import NetworkFunctions, make_training
from jaxsoil.training.loop import Program, advance
from jaxsoil.training.step import Data, Member

torch = pytest.importorskip("torch", reason="PyTorch is optional: pip install torch")
pytestmark = pytest.mark.compare

ROWS, BANDS, COMPONENTS, WIDTH = 30, 24, 6, 32


def trunk(inputs: int, outputs: int, width: int):
    """The published code's order: BatchNorm -> Dense -> BN -> ReLU -> 3 x [Dense -> BN -> ReLU] -> Dense."""
    layers = [torch.nn.BatchNorm1d(inputs)]
    for size in (inputs, width, width, width):
        layers += [torch.nn.Linear(size, width), torch.nn.BatchNorm1d(width), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(width, outputs))


def load(module, params) -> None:
    """Copies a Flax trunk into the PyTorch one, layer by layer."""
    flat = {key: params[key] for key in params}
    norms = [layer for layer in module if isinstance(layer, torch.nn.BatchNorm1d)]
    dense = [layer for layer in module if isinstance(layer, torch.nn.Linear)]
    with torch.no_grad():
        for i, layer in enumerate(dense):
            layer.weight.copy_(torch.tensor(np.asarray(flat[f"Dense_{i}"]["kernel"]).T))
            layer.bias.zero_()
        for layer in norms:
            layer.bias.zero_()


def step_in_torch(params, data: Data, decoder: str, minerals: Minerals, config: TrainConfig):
    x, soc = (torch.tensor(np.asarray(data.arrays[name])) for name in ("spectra", "soc"))
    encoder = trunk(BANDS, COMPONENTS, WIDTH)
    load(encoder, params["encoder"]["Trunk_0"])
    trained = list(encoder.parameters())
    if decoder == "ann":
        rebuild = trunk(COMPONENTS, BANDS, WIDTH)
        load(rebuild, params["decoder"]["Trunk_0"])
        trained += list(rebuild.parameters())
    else:
        spectra, rho_r = (torch.tensor(np.asarray(a)) for a in (minerals.spectra, minerals.rho_r))
        f_soc = torch.full((BANDS,), 0.5, requires_grad=True)
        soc_rho_r = rho_r.mean().clone().requires_grad_(True)
        trained += [f_soc, soc_rho_r]
    adam = torch.optim.Adam(trained, lr=config.lr, betas=(config.b1, config.b2), eps=1e-8)
    losses = []
    for _ in range(2):
        mass = torch.softmax(torch.nn.functional.leaky_relu(encoder(x), 0.01), dim=1)
        if decoder == "ann":
            rebuilt = torch.sigmoid(rebuild(mass))
        else:
            surface = mass / torch.cat([rho_r, soc_rho_r[None]])
            alpha = surface / surface.sum(dim=1, keepdim=True)
            rebuilt = alpha @ torch.cat([spectra, f_soc[None]])
        loss = ((soc - mass[:, -1]) ** 2).mean() / 0.0041**2 + ((x - rebuilt) ** 2).mean() / 0.01**2
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        adam.step()
    last = encoder[-1]
    learned = {} if decoder == "ann" else {"f_soc": f_soc.detach().numpy(), "soc_rho_r": soc_rho_r.item()}
    return losses, last.weight.detach().numpy().T, learned


def test_dense_layers_start_as_pytorchs_do() -> None:
    """Two samples of one law: the Kolmogorov-Smirnov distance of some 100,000 weights each, and of the biases."""
    from scipy.stats import ks_2samp

    inputs, outputs = 300, 400
    torch.manual_seed(0)
    theirs = torch.nn.Linear(inputs, outputs)
    config = ModelConfig(width=inputs, hidden=0, initialisation="pytorch")
    params = Autoencoder(outputs, BANDS, config).init(jax.random.key(1), jnp.zeros((2, BANDS)), train=False)["params"]
    ours = params["encoder"]["Trunk_0"]["Dense_1"]
    for mine, other in ((ours["kernel"], theirs.weight), (ours["bias"], theirs.bias)):
        p: Any = ks_2samp(np.ravel(mine), other.detach().numpy().ravel())[1]
        assert p > 0.01


@pytest.mark.parametrize("decoder", ["ann", "physics"])
def test_one_step_equals_pytorch(decoder: DecoderKind) -> None:
    """Loss before and after the first step, the encoder's last layer and the learned physics, to 1e-5 relative."""
    draw = np.random.default_rng(0)
    minerals = Minerals(
        jnp.asarray(draw.uniform(0.2, 0.8, (COMPONENTS - 1, BANDS)), jnp.float32),
        jnp.asarray(draw.uniform(1.5, 4.0, COMPONENTS - 1), jnp.float32),
    )
    data = Data(
        {
            "spectra": jnp.asarray(draw.uniform(0.1, 0.6, (ROWS, BANDS)), jnp.float32),
            "soc": jnp.asarray(draw.uniform(0.002, 0.08, ROWS), jnp.float32),
        },
        minerals if decoder == "physics" else None,
    )
    config = TrainConfig(epochs=2, batch=ROWS, lr=1e-3)
    network = Autoencoder(COMPONENTS, BANDS, ModelConfig(width=WIDTH, decoder=decoder))
    every = jnp.ones(ROWS, bool)
    rows = {"labelled": every, "unlabelled": ~every, "validation": ~every}
    member = Member(rows, jnp.int32(1), jnp.float32(config.lr), jax.random.key(3))
    program = Program(make_training(network, config, make_loss(network, config), 0), Layout(), member, data)
    with jax.default_matmul_precision("float32"):
        params, stats = NetworkFunctions(network).initial(member.key, None, data.shared)
        # A batch holds every row: shuffling changes the order of sums only.
        two = advance(program, program.initial(params, stats), 0, 2)
    losses, last, learned = step_in_torch(params, data, decoder, minerals, config)
    np.testing.assert_allclose(two.history["loss"], losses, rtol=1e-5)
    for name, value in learned.items():
        np.testing.assert_allclose(two.params["decoder"][name], value, rtol=1e-5)
    ours = two.params["encoder"]["Trunk_0"]["Dense_4"]["kernel"]
    # Two steps of Adam move a weight by up to 2 lr whatever its gradient; the few near zero gradient round apart.
    np.testing.assert_allclose(ours, last, rtol=1e-5, atol=2e-6)
