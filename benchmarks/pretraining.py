"""Throughput of stage 1, the autoencoder of scans, against PyTorch loops: ``python benchmarks/pretraining.py``.

Same dense autoencoder, loss, data and batch; each contender in a process of its own, one epoch at a time in turns,
so that a machine that speeds up or slows down does so for all. Prints scans per second, the share of the largest
matrix-product speed that any contender reached in the same run, and the ratio to PyTorch (median and range over the
rounds, each ratio within one round). PyTorch is optional: ``pip install torch``, or name an interpreter that has it
with ``--torch-python``. On processors other than Intel's, PyTorch's MKL picks slower kernels: where a C compiler is
at hand, one contender runs with MKL told that the processor is Intel's; a ratio to the others says little.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import tyro
from pretraining_problem import Problem
from training import (
    HERE,
    Worker,
    has_torch,
    intel_preload,
    print_machine,
    print_rates,
    record,
    take_turns,
)


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    batches: tuple[int, ...] = (64, 256, 1024)
    """Batch sizes; the publication states none."""
    rounds: int = 7
    """Epochs of each contender that are timed, after one that is not."""
    problem: Problem = dataclasses.field(default_factory=Problem)
    """Model and data; its batch is replaced by each of --batches."""
    torch_python: str = sys.executable
    """Interpreter that has PyTorch."""
    json: Path | None = None
    """File for all timings."""


def main(config: Config) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as scratch:
        preload = intel_preload(Path(scratch)) if has_torch(config.torch_python) else None
        print_machine()
        tables = [_measure(dataclasses.replace(config.problem, batch=b), config, preload) for b in config.batches]
    if config.json:
        config.json.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


def _measure(problem: Problem, config: Config, preload: str | None) -> dict[str, Any]:
    workers = _workers(problem, config, preload)
    peaks = take_turns(workers, config.rounds)
    print(
        f"\nM = {problem.bands}, {problem.latents} latents, widths {problem.widths}, batch {problem.batch}: "
        f"{workers[0].description['parameters']:,} parameters, float32, {problem.steps * problem.batch:,} scans an "
        f"epoch, {problem.flops_per_row / 1e6:.1f} MFLOP a scan; samples are scans"
    )
    print_rates(workers, peaks, problem.steps * problem.batch, problem.flops_per_row, problem.product)
    return record(problem, workers, peaks)


def _workers(problem: Problem, config: Config, preload: str | None) -> list[Worker]:
    setting = {"problem": dataclasses.asdict(problem)}
    workers = [Worker("stage 1", [sys.executable, str(HERE / "pretraining_worker.py")], {**setting, "kind": "mlp"})]
    if not has_torch(config.torch_python):
        return workers
    command = [config.torch_python, str(HERE / "pretraining_torch.py")]
    loops = {"loader": "torch DataLoader", "memory": "torch in memory, fused AdamW"}
    workers += [Worker(name, command, {**setting, "loop": loop}) for loop, name in loops.items()]
    if preload and workers[-1].description["device"] == "cpu":
        name = f"{loops['memory']}, MKL as on Intel"
        workers.append(Worker(name, command, {**setting, "loop": "memory"}, LD_PRELOAD=preload))
    return workers


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
