"""Where the time of a training step goes: ``python benchmarks/step_profile.py``.

One step of the published network (encoder and ANN decoder) is a program of its own and runs many times under JAX's
profiler. Each operation of the compiled program belongs to a part by where it comes from in ``training/step.py``; its
time is the tenth percentile over the steps, which passes over the moments in which the machine did something else.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tyro
from common import cpu_field
from problem import Problem

PRODUCTS, UPDATE, FINITE, BATCH, REST = (
    "matrix products of the layers", "optimiser", "whether all is finite", "gathering the batch",
    "BatchNorm, activations, biases, loss, keys",
)  # fmt: skip
PARTS: tuple[str, ...] = (PRODUCTS, UPDATE, FINITE, BATCH, REST)
_BYTES = {"f64": 8, "f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "s64": 8, "u64": 8, "pred": 1, "s8": 1, "u8": 1}
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%(?P<name>\S+) = (?P<type>.+?) (?P<kind>[\w-]+)\((?P<operands>[^)]*)\)")
_HOLDS_OTHERS = ("conditional", "call", "while")


@dataclasses.dataclass(frozen=True)
class Config:
    """What is profiled."""

    steps: int = 30
    """Steps that are timed."""
    batch: int = 75
    """Spectra in a step."""
    cores: int = 1
    """Cores that the process may use; 0: all."""
    smoke: bool = False
    """A small network, to see that it runs."""


def operations(text: str) -> dict[str, tuple[str, int]]:
    """Operations of a compiled program: name -> (part, bytes read and written by their shapes).

    Args:
      text: the program as XLA prints it. Inside a fusion nothing is timed; what it calls says what it is where its own
        name does not.
    """
    origin, size, found, inner = {}, {}, {}, Counter[tuple[str, str]]()
    computation = ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            computation = line.removeprefix("ENTRY ").split(" ")[0].lstrip("%")
        match = _INSTRUCTION.match(line)
        if match is None:
            continue
        name, kind = match["name"], match["kind"]
        size[name] = _bytes(match["type"])
        came = re.search(r'op_name="([^"]*)"', line)
        own = ("dot" if kind == "dot" else "") + (came[1] if came else "")
        inner[computation, _part(own)] += 1 + 1000 * ("dot" in own)
        called = re.search(r"calls=%(\S+?)[,\s]", line + " ")
        origin[name] = own, called[1] if called else ""
        if kind not in _HOLDS_OTHERS:
            operands = re.findall(r"%([^\s,)]+)", match["operands"])
            found[name] = size[name] + sum(size.get(operand, 0) for operand in operands)
    parts = {}
    for name, moved in found.items():
        own, called = origin[name]
        part = _part(own)
        if part == REST and called:
            counts = {candidate: inner[called, candidate] for candidate in PARTS}
            part = max(counts, key=counts.__getitem__)
        parts[name] = part, moved
    return parts


def _part(own: str) -> str:
    for word, part in (("/optimiser/", UPDATE), ("/finite/", FINITE), ("/batch/", BATCH), ("dot", PRODUCTS)):
        if word in own:
            return part
    return REST


def _bytes(shape: str) -> int:
    found = re.findall(r"(\w+)\[([\d,]*)\]", shape)
    return sum(_BYTES.get(kind, 0) * int(np.prod([int(n) for n in sides.split(",") if n])) for kind, sides in found)


def table(parts: Mapping[str, tuple[str, int]], times: Mapping[str, Sequence[float]]) -> list[str]:
    """Markdown lines: of each part the bytes (MB), milliseconds and share; ``times``: seconds of each operation."""
    seconds, moved = dict.fromkeys(PARTS, 0.0), dict.fromkeys(PARTS, 0)
    for name, some in times.items():
        part, size = parts[name]
        seconds[part] += float(np.percentile(some, 10))
        moved[part] += size
    whole = sum(seconds.values())
    lines = ["| part | MB by their shapes | ms | share |", "|---|---:|---:|---:|"]
    for part in PARTS:
        share = seconds[part] / whole
        lines.append(f"| {part} | {moved[part] / 1e6:.1f} | {1e3 * seconds[part]:.2f} | {100 * share:.0f} % |")
    return [*lines, f"| sum | {sum(moved.values()) / 1e6:.1f} | {1e3 * whole:.2f} | |"]


def traced(step: Any, steps: int, names: Mapping[str, Any]) -> dict[str, list[float]]:
    """Seconds of each operation named in ``names``, over calls of ``step`` under the profiler."""
    import jax

    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(steps):
                step()
        (file,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        for plane in jax.profiler.ProfileData.from_file(file).planes:
            for line in plane.lines:
                for event in line.events:
                    if event.name in names:
                        times.setdefault(event.name, []).append(event.duration_ns * 1e-9)
    return times


def main(config: Config) -> None:
    """Profiles and prints."""
    if config.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: config.cores])
    import jax
    import jax.numpy as jnp
    from engine_worker import prepared

    sizes = {"bands": 24, "components": 6, "width": 16} if config.smoke else {}
    problem = Problem(rows=4 * config.batch, batch=config.batch, **sizes)
    program, state = prepared(problem, 1, 1)
    number, data, member = jnp.int32(0), program.data, program.member
    order = program.functions.order(member, number)
    total = {name: jnp.zeros(1) for name in state.history if name != "validation_loss"}
    compiled = program.functions.step.lower(state, total, order, member, data, number, number).compile()
    parts, processor = operations(compiled.as_text()), []

    def step() -> None:
        nonlocal state, total
        began = time.process_time()
        state, total = jax.block_until_ready(compiled(state, total, order, member, data, number, number))
        processor.append(time.process_time() - began)

    for _ in range(3):
        step()
    del processor[:]
    times = traced(step, config.steps, parts)
    print(f"{cpu_field('model name')}, {len(os.sched_getaffinity(0))} of {os.cpu_count()} cores, JAX {jax.__version__}")
    print("\n".join(["", *table(parts, times), ""]))
    print(f"Processor time of a whole step, tenth percentile: {1e3 * np.percentile(processor, 10):.1f} ms")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
