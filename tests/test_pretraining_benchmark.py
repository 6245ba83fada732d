"""The pre-training benchmark compares like with like: counted operations, one loss and gradient in both libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsoil.models.autoencoder import parameter_count
from jaxsoil.models.vae import Vae, VaeConfig
from jaxsoil.studies.multifidelity.pretrain import VaeLoss

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SMALL = {"bands": 24, "latents": 4, "rows": 64, "batch": 16, "product": 64}


@pytest.fixture
def small(benchmark_module: Callable[[str], Any]) -> Any:
    return benchmark_module("pretraining_problem").Problem(**SMALL, widths=(16, 8))


def network(problem: Any) -> tuple[Vae, Any]:
    model = Vae(problem.bands, VaeConfig("mlp", problem.latents, problem.widths, linear=False))
    return model, model.init(jax.random.key(0), jnp.zeros((2, problem.bands)))["params"]


def test_flops_are_six_per_weight_less_the_gradient_of_the_input(small: Any) -> None:
    _, params = network(small)
    weights = sum(leaf.size for leaf in jax.tree.leaves(params) if leaf.ndim == 2)
    assert small.flops_per_row == 6 * weights - 2 * small.bands * small.widths[0]


def test_it_runs_without_pytorch_and_says_so(tmp_path: Path) -> None:
    report, fake = tmp_path / "timings.json", tmp_path / "python"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    options = [f"--problem.{name}={value}" for name, value in SMALL.items() if name != "batch"]
    options += ["--batches", "16", "--rounds", "2", "--json", str(report), "--torch-python", str(fake)]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "pretraining.py"), *options, "--problem.widths", "16", "8"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "no PyTorch here: no ratio" in done.stdout and "samples/s" in done.stdout
    (table,) = json.loads(report.read_text())
    (worker,) = table["workers"].values()
    assert len(worker["seconds"]) == 2 and worker["losses"][-1] < worker["losses"][0]


@pytest.mark.compare
def test_pytorch_computes_the_same_loss_and_gradients(small: Any) -> None:
    torch: Any = pytest.importorskip("torch")
    import pretraining_torch

    model, params = network(small)
    x = small.data()[: small.batch]
    loss, gradients = jax.value_and_grad(
        lambda p: VaeLoss(model, 0.1, 0.0)(p, None, jnp.asarray(x), None, jnp.float32(1))[0]
    )(params)
    twin: Any = pretraining_torch.Vae(small.bands, small.latents, small.widths)
    encoder, decoder = params["encoder"], params["decoder"]["Mlp_0"]
    # Linear layers in order of use, beside the Flax layers of the same place.
    flax = [*encoder["Mlp_0"].values(), encoder["mean"], encoder["logvar"], *decoder.values()]
    linear = [layer for layer in twin.modules() if isinstance(layer, torch.nn.Linear)]
    for layer, source in zip(linear, flax, strict=True):
        layer.weight.data = torch.from_numpy(np.asarray(source["kernel"]).T.copy())
        layer.bias.data = torch.from_numpy(np.array(source["bias"]))
    theirs = pretraining_torch.objective(twin, torch.from_numpy(x), None, 0.1)
    theirs.backward()
    assert sum(p.numel() for p in twin.parameters()) == parameter_count(params)
    np.testing.assert_allclose(theirs.item(), loss, rtol=1e-5)
    ours = gradients["encoder"]["Mlp_0"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(twin.trunk[0].weight.grad.numpy().T, ours, atol=1e-4 * float(jnp.abs(ours).max()))
