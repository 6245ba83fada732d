"""Training speed of the engine against PyTorch loops: ``python benchmarks/training.py``.

Same model (encoder and ANN decoder), loss, data and batch; each contender in a process of its own, one epoch at a
time in turns, so that a machine that speeds up or slows down does so for all. The engine runs one trial, and
several in one program as a study does; times are per trial. Prints samples per second, the ratio to PyTorch
(median and range over the rounds, each ratio within one round) and the share of the largest matrix-product speed
that any contender reached in the same run. PyTorch is optional: ``pip install torch``, or name an interpreter that
has it with ``--torch-python``.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import tyro
from common import compare, engine_worker, run_turns, torch_workers
from problem import Problem


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    batches: tuple[int, ...] = (75, 1024)
    """Batch sizes (paper: 75)."""
    rounds: int = 7
    """Epochs of each contender that are timed, after one that is not."""
    trials: tuple[int, ...] = (1, 8)
    """Trials that the engine runs in one program; the ratios are to the first."""
    problem: Problem = dataclasses.field(default_factory=Problem)
    """Model and data; its batch is replaced by each of --batches."""
    torch_python: str = sys.executable
    """Interpreter that has PyTorch."""
    torch_compile: bool = False
    """Adds a PyTorch loop with torch.compile (needs a C++ compiler; takes minutes)."""
    json: Path | None = None
    """File for all timings."""


def main(config: Config) -> None:
    """Measures and prints."""

    def measure(problem: Problem, preload: str | None) -> dict[str, Any]:
        setting = {"problem": dataclasses.asdict(problem)}
        loops = {"loader": "torch DataLoader", "memory": "torch in memory, fused Adam"}
        if config.torch_compile:
            loops["compile"] = "torch.compile, fused Adam"
        workers = [
            engine_worker(f"engine, {n} trial{'s' if n > 1 else ''}", "engine_worker.py", {**setting, "trials": n})
            for n in config.trials
        ]
        workers += torch_workers("torch_worker.py", setting, loops, config.torch_python, preload)
        about = f"M = {problem.bands}, K = {problem.components}, width {problem.width}"
        return run_turns(problem, workers, config.rounds, about, "sample")

    compare(config.problem, config.batches, measure, config.torch_python, config.json)


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
