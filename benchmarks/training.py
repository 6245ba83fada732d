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
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from problem import Problem

HERE = Path(__file__).resolve().parent
PAUSE_SECONDS = 0.3
"""Between turns: threads of the last contender may still spin for a moment."""

BUSY_LOAD = 0.5
"""Load average of the last minute from which the machine counts as busy."""


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


class Worker:
    """A contender: its process, what it said of itself, and the seconds of its epochs."""

    def __init__(self, name: str, command: Sequence[str], setting: dict[str, Any], **environment: str) -> None:
        self.name, self.seconds, self.losses = name, [], []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )
        self.description: dict[str, Any] = self.ask(json.dumps(setting))

    def ask(self, line: str) -> Any:
        """Sends a line and waits for the answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name} ended with exit status {self.process.wait()}; see its message above")
        return json.loads(answer)

    def epoch(self, *, timed: bool) -> None:
        """Trains one epoch."""
        time.sleep(PAUSE_SECONDS)
        answer = self.ask("epoch")
        self.losses.append(answer["loss"])
        if timed:
            self.seconds.append(answer["seconds"])

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def main(config: Config) -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as scratch:
        preload = intel_preload(Path(scratch)) if has_torch(config.torch_python) else None
        print_machine()
        tables = [_measure(dataclasses.replace(config.problem, batch=b), config, preload) for b in config.batches]
    if config.json:
        config.json.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


def print_machine() -> None:
    """Says what is measured on, and whether others are at work there."""
    print(f"machine: {cpu_field('model name')} ({cpu_field('vendor_id')}), {os.cpu_count()} cores, {platform.system()}")
    if os.getloadavg()[0] > BUSY_LOAD:
        print(f"others are at work here (load {os.getloadavg()[0]:.1f}): the threads of PyTorch suffer most from")
        print("that, and neither ratios nor shares of the peak are worth quoting. Run this again alone.")


def _measure(problem: Problem, config: Config, preload: str | None) -> dict[str, Any]:
    workers = _workers(problem, config, preload)
    peaks = take_turns(workers, config.rounds)
    print(
        f"\nM = {problem.bands}, K = {problem.components}, width {problem.width}, batch {problem.batch}: "
        f"{workers[0].description['parameters']:,} parameters, float32, {problem.steps * problem.batch:,} samples an "
        f"epoch, {problem.flops_per_row / 1e6:.1f} MFLOP a sample"
    )
    print_rates(workers, peaks, problem.steps * problem.batch, problem.flops_per_row, problem.product)
    return record(problem, workers, peaks)


def take_turns(workers: list[Worker], rounds: int) -> dict[str, float]:
    """Runs the contenders epoch by epoch in turns, ends them and returns their largest matrix-product speeds."""
    try:
        parameters = {worker.description["parameters"] for worker in workers}
        if len(parameters) > 1:
            raise RuntimeError(f"the models differ: {parameters} parameters")
        for number in range(rounds + 1):
            turn = number % len(workers)
            for worker in workers[turn:] + workers[:turn]:
                worker.epoch(timed=number > 0)
        return {worker.name: max(worker.ask("peak") for _ in range(5)) for worker in workers}
    finally:
        for worker in workers:
            worker.close()


def record(problem: Any, workers: list[Worker], peaks: dict[str, float]) -> dict[str, Any]:
    """All timings of one problem, for the file."""
    return {
        "problem": dataclasses.asdict(problem),
        "peaks": peaks,
        "workers": {w.name: {**w.description, "seconds": w.seconds, "losses": w.losses} for w in workers},
    }


def _workers(problem: Problem, config: Config, preload: str | None) -> list[Worker]:
    setting = {"problem": dataclasses.asdict(problem)}
    command = [sys.executable, str(HERE / "engine_worker.py")]
    workers = [
        Worker(f"engine, {n} trial{'s' if n > 1 else ''}", command, {**setting, "trials": n}) for n in config.trials
    ]
    if not has_torch(config.torch_python):
        return workers
    command = [config.torch_python, str(HERE / "torch_worker.py")]
    loops = {"loader": "torch DataLoader", "memory": "torch in memory, fused Adam"}
    if config.torch_compile:
        loops["compile"] = "torch.compile, fused Adam"
    workers += [Worker(name, command, {**setting, "loop": loop}) for loop, name in loops.items()]
    if preload and workers[-1].description["device"] == "cpu":
        name = f"{loops['memory']}, MKL as on Intel"
        workers.append(Worker(name, command, {**setting, "loop": "memory"}, LD_PRELOAD=preload))
    return workers


def print_rates(workers: list[Worker], peaks: dict[str, float], samples: int, flops: int, product: int) -> None:
    """Prints samples per second, share of the peak and ratio to the first contender, the engine.

    ``samples`` of an epoch, ``flops`` of a sample, ``product``: side of the matrices whose product is the peak.
    """
    peak = max(peaks.values())
    for worker in workers:
        d = worker.description
        notes = [d["library"], d["device"], d.get("kernels", "")]
        notes += [f"compiled in {d['compile_seconds']:.1f} s"] if "compile_seconds" in d else []
        largest = f"product of {product} x {product}: {peaks[worker.name] / 1e9:.0f} GFLOP/s"
        print(f"  {worker.name}: {', '.join(n for n in [*notes, largest] if n)}")
    print(f"\n  {'contender':45} {'samples/s':>10} {'of peak':>8}  engine's first is faster by (median, range)")
    for worker in workers:
        rate = samples / statistics.median(worker.seconds)
        share = rate * flops / peak
        ratios = [own / engine for own, engine in zip(worker.seconds, workers[0].seconds, strict=True)]
        ratio = f"{statistics.median(ratios):.2f}  ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  {worker.name:45} {rate:10,.0f} {share:8.0%}  {ratio if worker is not workers[0] else ''}")
    print(f"  peak: {peak / 1e9:.0f} GFLOP/s, the fastest product above")
    if not any("torch" in worker.name for worker in workers):
        print("  no PyTorch here: no ratio (pip install torch, or --torch-python)")
    elif len({worker.description["device"].replace("gpu", "cuda") for worker in workers}) > 1:
        print("  the contenders ran on different devices: these ratios compare devices, not code")


def has_torch(interpreter: str) -> bool:
    """Whether an interpreter has PyTorch."""
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return subprocess.run([interpreter, "-c", code], check=False).returncode == 0


def intel_preload(folder: Path) -> str | None:
    """Compiles a library that answers MKL's question for an Intel processor with yes, on others than Intel.

    MKL picks slower kernels on AMD; a ratio against it says little unless the faster ones stand beside it.
    """
    compiler = shutil.which("cc")
    if compiler is None or platform.system() != "Linux" or cpu_field("vendor_id") == "GenuineIntel":
        return None
    source, library = folder / "intel.c", folder / "intel.so"
    source.write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
    done = subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=False)
    return str(library) if done.returncode == 0 else None


def cpu_field(name: str) -> str:
    """What Linux says of the processor, or its name elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "unknown")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
