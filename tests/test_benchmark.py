"""The training benchmark compares like with like.

The PyTorch side is checked against the engine's own network: same parameters, same loss, same gradients.
"""

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

from jaxsoil.models.autoencoder import Autoencoder, ModelConfig
from jaxsoil.studies.reconstruction.objectives import soc_term, spectrum_term

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SMALL = {"bands": 24, "components": 6, "width": 16, "hidden": 3, "rows": 64, "batch": 16, "product": 64}


@pytest.fixture
def small(benchmark_module: Callable[[str], Any]) -> Any:
    return benchmark_module("problem").Problem(**SMALL)


def network(problem: Any) -> tuple[Autoencoder, dict[str, Any]]:
    config = ModelConfig(width=problem.width, hidden=problem.hidden, decoder="ann")
    model = Autoencoder(problem.components, problem.bands, config)
    return model, dict(model.init(jax.random.key(0), jnp.zeros((2, problem.bands)), train=False))


def test_flops_are_six_per_weight(small: Any) -> None:
    _, variables = network(small)
    weights = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]) if leaf.ndim == 2)
    assert small.flops_per_row == 6 * weights


@pytest.mark.slow
def test_runs_without_pytorch_and_says_so(tmp_path: Path) -> None:
    report = tmp_path / "timings.json"
    options = [f"--problem.{name}={value}" for name, value in SMALL.items() if name != "batch"]
    options += ["--batches", "16", "--rounds", "2", "--trials", "1", "2", "--json", str(report)]
    options += ["--torch-python", str(_interpreter_without_torch(tmp_path))]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "training.py"), *options],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "no PyTorch here: no ratio" in done.stdout
    (table,) = json.loads(report.read_text())
    assert list(table["workers"]) == ["engine, 1 trial", "engine, 2 trials"]
    for worker in table["workers"].values():
        assert len(worker["seconds"]) == 2
        assert worker["losses"][-1] < worker["losses"][0]


def test_one_command_writes_the_table_of_all_claims(tmp_path: Path) -> None:
    options = ["--sections", "plsr", "xi", "loading", "--smoke", "--rounds", "2", "--out", str(tmp_path)]
    command = [sys.executable, str(BENCHMARKS / "everything.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "benchmarks.json").read_text())["rows"]
    assert [row["section"] for row in rows] == ["PLSR, cross-validation"] * 2 + ["Xi"] * 2 + ["loading"] * 4
    for row in rows:
        assert len(row["rates"]) == 2 and min(row["rates"]) > 0
    second = rows[1]
    np.testing.assert_allclose(second["ratios"], np.array(rows[0]["rates"]) / np.array(second["rates"]))
    assert (tmp_path / "benchmarks.md").read_text().count("\n|") == len(rows) + 2


def measured(**parts: Any) -> dict[str, Any]:
    """What the parts of benchmarks/gpu.py leave: 1 TB/s, networks of 1 MB a step, 204 trainings in all."""
    networks = {"none": 2000.0, "ann": 1000.0, "physics": 500.0}
    best = {"operations": 1e14, "bytes": 1e12, "side": 8192, "precision": "default"}
    found: dict[str, Any] = {"device": {"device": "a GPU", "jax": "0", "rates": {"default": best}}}
    for name, rate in networks.items():
        chunk = {"compile_s": 1.0, "steps": 9, "peak": 2e9, "xla": ""}
        chunks = [chunk | {"size": 1, "rates": [1.0]}, chunk | {"size": 68, "rates": [0.9 * rate, rate, 1.1 * rate]}]
        one = {"network": name, "precision": "default", "trial_steps": 60_000, "step_bytes": 1e6, "chosen": 68}
        found[f"engine, {name}"] = one | {"chunks": chunks}
    return found | parts


def test_figures_of_a_gpu_follow_from_its_rates(benchmark_module: Callable[[str], Any]) -> None:
    gpu = benchmark_module("gpu")
    loops = {
        "torch": {"loops": {"usual": {"steps_per_second": [40.0, 50.0, 60.0]}, "none timed": {"steps_per_second": []}}}
    }
    rows = [
        [{"model": "ann", "metric": "r2", "seed": seed, "value": value} for seed, value in enumerate(values)]
        for values in ((0.6, 0.7, 0.8), (0.4, 0.5, 0.6))
    ]
    scores = {name: {"rows": own} for name, own in zip(("highest", "default"), rows, strict=True)}
    found = measured(**loops, precision={"scores": scores}, other={"cut": "cut off after 9 s"})
    said = gpu.summary(found)
    # 60,000 steps at 2,000, 1,000 and 500 a second; 1,000 steps of 1 MB a second are a thousandth of 1 TB/s.
    assert said["study_minutes"] == pytest.approx(0.5 + 1.0 + 2.0)
    assert said["networks"]["ann"] == pytest.approx(
        {"rate": 1000.0, "size": 68, "minutes": 1.0, "floor_minutes": 1e-3, "share": 1e-3}
    )
    assert said["torch"] == {"usual": 20.0}
    (one,) = said["precision"]
    assert one["difference"] == pytest.approx(-0.2) and one["se"] == pytest.approx(0.1 / 3**0.5 * 2**0.5)
    assert one["agrees"] is False  # 2.4 standard errors
    text = gpu.markdown(found, smoke=False)
    for part in ("3.5 minutes (aim: under 40)", "20.0 times", "68 (chosen)", "| no |", "- other: cut off after 9 s"):
        assert part in text, part
    del found["engine, none"]
    assert gpu.summary(found)["study_minutes"] is None and "not every network was timed" in gpu.markdown(found, True)


def test_the_engine_is_timed_at_several_sizes_of_a_program(benchmark_module: Callable[[str], Any]) -> None:
    gpu, gpu_worker = benchmark_module("gpu"), benchmark_module("gpu_worker")
    told = gpu.setting(gpu.Config(smoke=True), "engine, none", 60.0)
    problem = gpu_worker.dataclasses.replace(told.problem, hidden=1)
    left: list[Any] = []
    gpu_worker.engine(
        gpu_worker.dataclasses.replace(told, problem=problem), lambda found: left.append(json.dumps(found))
    )
    found = json.loads(left[-1])
    # Two regions x two seeds, 80 training rows in batches of 16, 1,000 epochs.
    assert (found["trials"], found["trial_steps"], found["chosen"]) == (4, 4 * 5 * 1000, 4)
    assert found["step_bytes"] == 32 * found["parameters"]
    (one,) = found["chunks"]
    assert one["size"] == 4 and min(one["rates"]) > 0.0 and "a device in a step" in one["xla"]
    assert json.loads(left[0])["chunks"][0]["rates"]  # written before the rest is known


def _interpreter_without_torch(folder: Path) -> Path:
    fake = folder / "python"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    return fake


def _copy_weights(module: Any, params: dict[str, Any]) -> None:
    """Copies a Flax trunk into a PyTorch one; both list their layers in order of use."""
    import torch  # pyright: ignore[reportMissingImports]

    def put(target: Any, source: Any) -> None:
        target.data = torch.from_numpy(np.array(source))

    for kind, name in ((torch.nn.BatchNorm1d, "BatchNorm"), (torch.nn.Linear, "Dense")):
        for number, layer in enumerate(x for x in module if isinstance(x, kind)):
            own = params[f"{name}_{number}"]
            put(layer.weight, own["scale"] if name == "BatchNorm" else np.asarray(own["kernel"]).T)
            # A bias that a normalisation takes out again is not the layer's own in Flax; it starts at zero.
            put(layer.bias, own.get("bias", np.zeros(layer.bias.shape, np.float32)))


@pytest.mark.compare
def test_pytorch_computes_the_same_loss_and_gradients(small: Any) -> None:
    torch: Any = pytest.importorskip("torch")
    import torch_model

    model, variables = network(small)
    x, y = (values[: small.batch] for values in small.data())
    reflectance, soc = jnp.asarray(x), jnp.asarray(y)

    def objective(params: Any) -> jax.Array:
        variables_now = {**variables, "params": params}
        (mass, rebuilt), _ = model.apply(variables_now, reflectance, train=True, mutable=["batch_stats"])
        return soc_term(soc, mass[:, -1], 0.0041) + spectrum_term(reflectance, rebuilt, 0.01)

    loss, gradients = jax.value_and_grad(objective)(variables["params"])
    twin: Any = torch_model.Autoencoder(small.components, small.bands, small.width, small.hidden)
    _copy_weights(twin.encoder[0], variables["params"]["encoder"]["Trunk_0"])
    _copy_weights(twin.decoder[0], variables["params"]["decoder"]["Trunk_0"])
    theirs = torch_model.loss(twin, torch.from_numpy(x), torch.from_numpy(y), 0.0041, 0.01)
    theirs.backward()

    assert sum(p.numel() for p in twin.parameters()) == sum(p.size for p in jax.tree.leaves(gradients))
    np.testing.assert_allclose(theirs.item(), loss, rtol=1e-5)
    ours = gradients["encoder"]["Trunk_0"]["Dense_0"]["kernel"]
    scale = float(jnp.abs(ours).max())
    np.testing.assert_allclose(twin.encoder[0][1].weight.grad.numpy().T, ours, atol=1e-4 * scale)
    ours = gradients["decoder"]["Trunk_0"]["Dense_4"]["kernel"]
    scale = float(jnp.abs(ours).max())
    np.testing.assert_allclose(twin.decoder[0][-1].weight.grad.numpy().T, ours, atol=1e-4 * scale)
