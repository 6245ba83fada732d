"""One part of benchmarks/gpu.py, in a process of its own: ``gpu_worker.py PART SETTING FILE``.

Each part writes what it has into its file as it goes, so that one that is cut off leaves the rest.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from problem import Problem

from jaxsoil.runs.files import write_json

CALLS = 3
"""Timed calls of each chunk."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a part is told.

    ``seconds``: what it may take; ``call_seconds``: a timed call has as many steps as this time holds, so that the
    start of a call does not count; ``network``, ``precision``: of the engine; ``regions``, ``seeds``: of the study,
    whose product is the trials of a network; ``chunks``: trials in a program that are tried beside the size that the
    engine chooses; ``memory_gb``: as ``--devices.memory-gb``.
    """

    problem: Problem
    seconds: float
    network: str = "ann"
    precision: str = "default"
    regions: int = 17
    seeds: int = 4
    chunks: tuple[int, ...] = (1, 4, 17, 34)
    memory_gb: float = 0.0
    call_seconds: float = 3.0
    smoke: bool = False
    torch_python: str = sys.executable


def device(setting: Setting, write: Callable[[Any], None]) -> None:
    """The device, and what it does at best at both precisions."""
    import jax

    from jaxsoil.training.floors import rates

    one = jax.devices()[0]
    found: dict[str, Any] = {
        "device": one.device_kind, "platform": one.platform, "jax": jax.__version__, "driver": _driver(),
        "memory_gb": (one.memory_stats() or {}).get("bytes_limit", 0) / 1e9, "rates": {},
    }  # fmt: skip
    for precision in ("default", "highest"):
        found["rates"][precision] = dataclasses.asdict(rates(precision))
        write(found)


def _driver() -> str:
    try:
        words = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
        return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def engine(setting: Setting, write: Callable[[Any], None]) -> None:
    """Trial-steps a second of one network of the study, by trials in a program, the engine's own choice first."""
    import jax

    from jaxsoil.models.autoencoder import Minerals
    from jaxsoil.training.config import DeviceConfig, TrainConfig
    from jaxsoil.training.grid import make_groups, steps_per_epoch
    from jaxsoil.training.step import Data

    until, problem = time.monotonic() + setting.seconds, setting.problem
    precision: Any = setting.precision
    train = TrainConfig(batch=problem.batch, lr=problem.lr, b1=problem.b1, precision=precision)
    spectra, soc = problem.data()
    minerals, shape = problem.components - 1, (problem.components - 1, problem.bands)
    draw = np.random.default_rng(1)
    constants = Minerals(draw.uniform(0.1, 0.9, shape).astype(np.float32), draw.uniform(2, 3, minerals).astype("f4"))
    data = Data({"spectra": spectra, "soc": soc}, constants)
    trials = list(_trials(setting))
    sizes = (problem.components, problem.bands, minerals)
    (own,) = make_groups(trials, train, DeviceConfig(memory_gb=setting.memory_gb), *sizes)
    steps = sum(steps_per_epoch(trial, train) for trial in trials) * train.epochs
    found: dict[str, Any] = {
        "network": setting.network, "precision": setting.precision, "device": jax.devices()[0].device_kind,
        "trials": len(trials), "trial_steps": steps, "parameters": own.parameters, "counted_bytes": own.trial_bytes,
        "step_bytes": 32 * own.parameters, "chosen": own.size, "chunks": [],
    }  # fmt: skip
    longest = 0.0
    for size in dict.fromkeys([own.size, *(n for n in setting.chunks if n < len(trials))]):
        began = time.monotonic()
        if found["chunks"] and began + 1.2 * longest > until:
            break
        (group,) = make_groups(trials, train, DeviceConfig(chunk=size), *sizes)
        found["chunks"].append({})
        for one in _timed(group, data, train, until, setting.call_seconds):
            found["chunks"][-1] = one
            write(found)
        longest = max(longest, time.monotonic() - began)


def _timed(group: Any, data: Any, train: Any, until: float, each: float) -> Iterator[dict[str, Any]]:
    """One size of a program: how long it compiles, how fast it is, what memory it takes; yielded as it is known."""
    import jax
    import jax.numpy as jnp

    from jaxsoil.studies.reconstruction.objectives import make_loss
    from jaxsoil.training.config import DeviceConfig
    from jaxsoil.training.cost import compiling, memory_in_words
    from jaxsoil.training.devices import compile_seconds, matmul_precision
    from jaxsoil.training.group_run import GroupRun

    with tempfile.TemporaryDirectory() as folder, matmul_precision(train.precision):
        compiled = compile_seconds()
        runner = GroupRun(group, data, train, DeviceConfig(chunk=group.size), Path(folder), make_loss)
        program = runner.program(group.chunk(0))
        state = runner.initial(program, group.chunk(0))
        done, steps, rates = 0, 4, list[float]()

        def call() -> float:
            nonlocal state, done
            program.member = dataclasses.replace(program.member, steps=jnp.full(group.size, steps, jnp.int32))
            program.most = steps
            began = time.perf_counter()
            state = jax.block_until_ready(program.epochs(state, done, done + 1))
            done += 1
            return time.perf_counter() - began

        call()
        compiled = compile_seconds() - compiled
        while (took := call()) < each and time.monotonic() + 5 * took < until and steps < 10**5:
            steps = int(steps * min(8.0, max(1.5, 1.1 * each / took)))
        while len(rates) < CALLS and (not rates or time.monotonic() + took < until):
            rates.append(group.size * steps / call())
        # The most of this process: that of the first program, which is the largest.
        peak = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)
        one = {"size": group.size, "compile_s": compiled, "steps": steps, "rates": rates, "peak": peak, "xla": ""}
        yield one
        with compiling():
            yield one | {"xla": memory_in_words(program, jax.eval_shape(lambda: state))}


def _trials(setting: Setting) -> Iterator[Any]:
    """The trials of a network in the study: one region left out at a time, each with every seed."""
    from jaxsoil.data.splits import Split
    from jaxsoil.models.autoencoder import ModelConfig
    from jaxsoil.training.grid import Trial

    problem: Any = setting.problem
    rows = np.arange(problem.rows) % setting.regions
    nothing = np.zeros(problem.rows, bool)
    network: Any = setting.network
    model = ModelConfig(decoder=network, width=problem.width, hidden=problem.hidden)
    for region in range(setting.regions):
        split = Split(f"out/{region}", str(region), rows != region, nothing, rows == region, "inductive", 0)
        for seed in range(setting.seeds):
            yield Trial(setting.network, model, split, seed, nothing, int(np.flatnonzero(split.test)[0]))


def torch(setting: Setting, write: Callable[[Any], None]) -> None:
    """Steps a second of PyTorch, one training after the other: as usually written, and at its best."""
    from common import torch_workers

    until = time.monotonic() + setting.seconds
    rows = min(setting.problem.rows, 40 * setting.problem.batch)
    problem = dataclasses.replace(setting.problem, rows=rows)
    loops = {"loader": "torch DataLoader", "memory": "torch in memory, fused Adam, TF32"}
    told = {"problem": dataclasses.asdict(problem), "tf32": True}
    found: dict[str, Any] = {"loops": {}}
    for loop, name in loops.items():
        workers = torch_workers("torch_worker.py", told, {loop: name}, setting.torch_python, None)
        if not workers:
            found["left_out"] = "there is no PyTorch: pip install torch, or --torch-python"
        for worker in workers:
            if worker.description["device"] != "cuda" and not setting.smoke:
                found["left_out"] = f"this PyTorch ({worker.description['library']}) sees no GPU"
            while "left_out" not in found and len(worker.seconds) < 7:
                worker.epoch(timed=bool(worker.losses))
                if worker.seconds and time.monotonic() > until:
                    break
            steps = [problem.steps / seconds for seconds in worker.seconds]
            found["loops"][name] = {**worker.description, "steps_per_second": steps}
            worker.close()
            write(found)
    write(found)


def precision(setting: Setting, write: Callable[[Any], None]) -> None:
    """Scores of one small study at both precisions, by network and seed: means over the regions left out."""
    import pandas as pd

    until, root = time.monotonic() + setting.seconds, Path(__file__).resolve().parents[1]
    short = setting.seconds < 120.0 or setting.smoke
    size = ["--smoke", "--networks", "none"] if setting.smoke else ["--seeds", "2" if short else "4"]
    found: dict[str, Any] = {"options": size, "scores": {}}
    for name in ("highest", "default"):
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, str(root / "experiments/run.py"), "--exp=region_out", "--baselines", *size]
            words += ["--train.precision", name, "--wandb", "disabled", "--workdir", f"{folder}/run"]
            began = time.monotonic()
            left = max(until - began, 1.0) * (0.6 if name == "highest" else 1.0)
            try:
                subprocess.run(words, check=True, timeout=left, stdout=subprocess.DEVNULL)
            except subprocess.TimeoutExpired:
                found["left_out"] = f"the study at precision '{name}' did not end within {left:.0f} s"
                write(found)
                return
            table = pd.read_csv(f"{folder}/run/results.csv")
        asked = table["metric"].isin(["rmse", "r2"]) & (table["property"] == "soc") & (table["split"] == "test")
        mine: Any = table[asked & (table["scale"] == "log10") & (table["seed"] >= 0)]
        means = mine.groupby(["model", "metric", "seed"])["value"].mean().reset_index()
        found["scores"][name] = {"seconds": time.monotonic() - began, "rows": means.to_dict("records")}
        write(found)


def main() -> None:
    """Runs the part that the command names."""
    part, said, file = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
    said |= {"problem": Problem(**said["problem"]), "chunks": tuple(said["chunks"])}
    parts = {"device": device, "engine": engine, "torch": torch, "precision": precision}
    parts[part](Setting(**said), lambda found: write_json(file, found))


if __name__ == "__main__":
    main()
