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
import sys
from pathlib import Path
from typing import Any

import tyro
from common import compare, engine_worker, run_turns, torch_workers
from pretraining_problem import Problem


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

    def measure(problem: Problem, preload: str | None) -> dict[str, Any]:
        setting = {"problem": dataclasses.asdict(problem)}
        loops = {"loader": "torch DataLoader", "memory": "torch in memory, fused AdamW"}
        workers = [engine_worker("stage 1", "pretraining_worker.py", {**setting, "kind": "mlp"})]
        workers += torch_workers("pretraining_torch.py", setting, loops, config.torch_python, preload)
        about = f"M = {problem.bands}, {problem.latents} latents, widths {problem.widths}"
        return run_turns(problem, workers, config.rounds, about, "scan")

    compare(config.problem, config.batches, measure, config.torch_python, config.json)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
