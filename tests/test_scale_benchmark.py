"""The benchmark of scale runs, compares equal trainings, and plans by the formulas that its page states."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxsoil.models.vae import Vae
from jaxsoil.studies.multifidelity.config import PretrainConfig


@pytest.fixture
def scale(benchmark_module: Callable[[str], Any]) -> Any:
    return benchmark_module("scale")


def test_operations_are_six_for_each_weight_less_the_gradients_of_the_spectrum(scale: Any) -> None:
    model = Vae(1701, PretrainConfig().vae)
    shapes = jax.eval_shape(lambda key: model.init(key, jnp.zeros((1, 1701))), jax.random.key(0))
    weights = sum(leaf.size for leaf in jax.tree.leaves(shapes) if leaf.ndim == 2)
    assert scale.operations(1701) == 6 * weights - 2 * 1701 * (256 + 32)


def test_the_plan_follows_from_the_measurement(scale: Any) -> None:
    measured = {
        "kind": "pretrain", "rows": 1000, "scans_per_s": {"disk": [900.0, 1000.0, 5000.0]}, "names_mb": 0.2,
        "library_rows": 2000,
    }  # fmt: skip
    config = scale.Config(epochs=36, hours=10.0, flops=1000 * scale.operations(285))
    *_, line = scale.plan([measured, measured | {"rows": 10, "names_mb": 9.0}], config)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    speed = 1000 * scale.operations(1701) / scale.operations(285)
    # 400 million spectra of 285 bands of four bytes, 100 bytes of names each.
    assert cells[:3] == ["400,000,000 x 285", "456.0", "40"]
    assert cells[3:5] == [f"{speed:,.0f}", f"{speed * 1140e-6:,.3g}"]
    assert float(cells[5].replace(",", "")) == pytest.approx(4e6 / speed, rel=5e-3)
    # 36 times 400 million at 1,000 a second: 4,000 hours, 400 devices of ten.
    assert cells[7:] == ["1,000", "0.00114", "4e+03", "400"]
    *_, line = scale.plan([measured], dataclasses.replace(config, read_gb=1140e-9 * 500))
    assert [cell.strip() for cell in line.strip("|").split("|")][7:] == ["500", "0.00057", "8e+03", "800"]
    with pytest.raises(SystemExit, match="no stage 1"):
        scale.plan([], config)


def test_it_runs_small_and_both_trainings_end_alike(
    scale: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scale.main(scale.Config(smoke=True, kinds=("pretrain",), out=tmp_path))
    said = json.loads((tmp_path / "scale.json").read_text())
    (row,) = said["rows"]
    assert row["held"] >= 1 and len(row["ratios"]) == len(row["processor_ratios"]) == 2
    assert row["anonymous_mb"]["memory"] > 0
    assert (tmp_path / "scale.md").read_text().count("\n|") == 3
    config = dataclasses.replace(scale.Config(), bands=said["bands"])
    assert "\n".join(scale.plan(said["rows"], config)) in capsys.readouterr().out
