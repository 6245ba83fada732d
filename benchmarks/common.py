"""What the benchmarks of speed share: contenders in processes of their own, taking turns, and their table."""

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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxsoil.runs.files import write_text_atomic

HERE = Path(__file__).resolve().parent
PAUSE_SECONDS = 0.3
"""Between turns: threads of the last contender may still spin for a moment."""

BUSY_LOAD = 0.5
"""Load average of the last minute from which the machine counts as busy."""


class Worker:
    """A contender: its process, what it said of itself, and the seconds of its epochs."""

    def __init__(self, name: str, command: Sequence[str], setting: Mapping[str, Any], **environment: str) -> None:
        self.name, self.seconds, self.losses = name, [], []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )
        self.description: dict[str, Any] = self.ask(json.dumps(dict(setting)))

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


def compare(
    problem: Any,
    batches: Sequence[int],
    measure: Callable[[Any, str | None], dict[str, Any]],
    torch_python: str,
    file: Path | None,
) -> None:
    """Measures one problem with each of the batch sizes, and writes all timings where a file is given.

    Args:
      problem: a dataclass with a ``batch``.
      batches: the batch sizes.
      measure: (problem, library that speeds MKL up or None) -> timings.
      torch_python: interpreter that may have PyTorch.
      file: JSON for the timings.
    """
    with tempfile.TemporaryDirectory() as scratch:
        preload = intel_preload(Path(scratch)) if has_torch(torch_python) else None
        print_machine()
        tables = [measure(dataclasses.replace(problem, batch=batch), preload) for batch in batches]
    if file:
        write_text_atomic(file, json.dumps(tables, indent=2) + "\n")


def run_turns(problem: Any, workers: list[Worker], rounds: int, about: str, samples: str) -> dict[str, Any]:
    """Lets the contenders take turns, prints their rates under a line ``about`` the problem, returns all timings.

    ``samples``: what a row is called.
    """
    peaks = take_turns(workers, rounds)
    print(
        f"\n{about}, batch {problem.batch}: {workers[0].description['parameters']:,} parameters, float32, "
        f"{problem.steps * problem.batch:,} {samples}s an epoch, {problem.flops_per_row / 1e6:.1f} MFLOP a {samples}"
    )
    print_rates(workers, peaks, problem.steps * problem.batch, problem.flops_per_row, problem.product)
    return record(problem, workers, peaks)


def torch_workers(
    script: str, setting: Mapping[str, Any], loops: Mapping[str, str], torch_python: str, preload: str | None
) -> list[Worker]:
    """Contenders in PyTorch; none where the interpreter lacks it.

    Args:
      script: file beside this one.
      setting: what every worker is told.
      loops: kind of loop -> name of the contender; "memory" runs once more with MKL as on Intel.
      torch_python: the interpreter.
      preload: library of :func:`intel_preload`.
    """
    if not has_torch(torch_python):
        return []
    command = [torch_python, str(HERE / script)]
    workers = [Worker(name, command, {**setting, "loop": loop}) for loop, name in loops.items()]
    if preload and workers[-1].description["device"] == "cpu":
        name = f"{loops['memory']}, MKL as on Intel"
        workers.append(Worker(name, command, {**setting, "loop": "memory"}, LD_PRELOAD=preload))
    return workers


def engine_worker(name: str, script: str, setting: Mapping[str, Any]) -> Worker:
    """A contender of this package, in this interpreter."""
    return Worker(name, [sys.executable, str(HERE / script)], setting)


def print_machine() -> None:
    """Says what is measured on, and whether others are at work there."""
    print(f"machine: {cpu_field('model name')} ({cpu_field('vendor_id')}), {os.cpu_count()} cores, {platform.system()}")
    if os.getloadavg()[0] > BUSY_LOAD:
        print(f"others are at work here (load {os.getloadavg()[0]:.1f}): the threads of PyTorch suffer most from")
        print("that, and neither ratios nor shares of the peak are worth quoting. Run this again alone.")


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
