"""The profile of a step counts every operation once, in the part that it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest


@pytest.fixture
def profile(benchmark_module: Callable[[str], Any]) -> Any:
    return benchmark_module("step_profile")


def test_parts_of_a_program_and_their_bytes(profile: Any) -> None:
    text = """HloModule jit_call

%fused_computation.1 (param_0: f32[4,3]) -> f32[4,4] {
  %param_0 = f32[4,3]{1,0} parameter(0)
  ROOT %dot.1 = f32[4,4]{1,0} dot(%param_0, %param_0), metadata={op_name="jit(call)/jvp(Net)/Dense_0/dot_general"}
}

ENTRY %main.2 (x: f32[4,3]) -> f32[4,4] {
  %x = f32[4,3]{1,0} parameter(0), metadata={op_name="x"}
  %fusion.1 = f32[4,4]{1,0} fusion(%x), kind=kCustom, calls=%fused_computation.1, metadata={op_name="reduce_sum"}
  %mul.1 = f32[4,4]{1,0} multiply(%fusion.1, %fusion.1), metadata={op_name="jit(call)/optimiser/mul"}
  %sum.1 = f32[] reduce(%mul.1, %x), metadata={op_name="jit(call)/finite/reduce_sum"}
  ROOT %cond.1 = f32[4,4]{1,0} conditional(%sum.1, %mul.1), metadata={op_name="jit(call)/cond"}
}
"""
    found = profile.operations(text)
    assert found["fusion.1"] == (profile.PRODUCTS, 4 * (16 + 12))  # by what it calls
    assert found["mul.1"] == (profile.UPDATE, 4 * 3 * 16)
    assert found["sum.1"] == (profile.FINITE, 4 * (1 + 16 + 12))
    assert "cond.1" not in found  # what it holds has times of its own
    lines = profile.table(found, {"fusion.1": [2e-3] * 9 + [9.0], "mul.1": [1e-3], "sum.1": [1e-3]})
    assert lines[2] == "| matrix products of the layers | 0.0 | 2.00 | 50 % |"
    assert lines[3].endswith("| 1.00 | 25 % |") and lines[-1].endswith("| 4.00 | |")


def test_the_profiler_times_the_operations_of_a_compiled_program(profile: Any) -> None:
    def call(x: jax.Array) -> jax.Array:
        y = x @ x
        with jax.named_scope("optimiser"):
            return jnp.sort(y, axis=0)

    x = jnp.ones((64, 64))
    compiled = jax.jit(call).lower(x).compile()
    parts = profile.operations(compiled.as_text())
    times = profile.traced(lambda: jax.block_until_ready(compiled(x)), 3, parts)
    assert {parts[name][0] for name in times} >= {profile.PRODUCTS, profile.UPDATE}
    assert all(seconds > 0 for some in times.values() for seconds in some)
