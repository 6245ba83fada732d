"""Every claim of speed in one table, as Markdown and JSON: ``python benchmarks/everything.py``.

Training and pre-training against PyTorch as usually written and at its best, cross-validation of PLSR against
scikit-learn, Xi against SciPy, loading, prediction, start-up, and how the time of an epoch grows with trials, samples,
bands and devices, with the fitted exponent. Contenders take turns; the table gives medians and the range over rounds,
each ratio within one round. ``--smoke`` runs all of it at a size that says nothing about speed.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from common import BUSY_LOAD, HERE, Worker, cpu_field
from problem import Problem

from jaxsoil.runs.files import write_json, write_text_atomic


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    sections: tuple[str, ...] = ("training", "pretraining", "plsr", "xi", "loading", "prediction", "start", "growth")
    """Parts of the table, in their order."""
    rounds: int = 5
    """Timed rounds of each contender."""
    smoke: bool = False
    """The smallest size, to see that everything runs."""
    torch_python: str = sys.executable
    """Interpreter that has PyTorch."""
    out: Path = Path("runs/benchmarks")
    """Folder of benchmarks.md and benchmarks.json."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    ``rates``: of each round, in ``unit``. ``ratios``: rate of ours over that of the contender within each round.
    """

    section: str
    what: str
    unit: str
    rates: list[float]
    ratios: list[float] | None = None


def turns(cases: dict[str, tuple[Callable[[], Any], float]], rounds: int) -> dict[str, list[float]]:
    """Rates of calls that take turns, after one that is not timed; ``cases``: name -> (call, amount of work)."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, (call, amount) in cases.items():
            began = time.perf_counter()
            call()
            if number:
                found[name].append(amount / (time.perf_counter() - began))
    return found


def against(section: str, unit: str, found: dict[str, list[float]]) -> list[Row]:
    """Rows of contenders, the first of which is ours; the others carry its ratio to them."""
    first = next(iter(found.values()))
    return [
        Row(section, name, unit, rates, None if rates is first else [a / b for a, b in zip(first, rates, strict=True)])
        for name, rates in found.items()
    ]


def engine(section: str, script: str, config: Config, options: Sequence[str], unit: str) -> list[Row]:
    """Rows of a benchmark that compares with PyTorch in processes of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "timings.json"
        words = [sys.executable, str(HERE / script), "--json", str(file), "--rounds", str(config.rounds), *options]
        subprocess.run([*words, "--torch-python", config.torch_python], check=True, stdout=subprocess.DEVNULL)
        tables = json.loads(file.read_text(encoding="utf-8"))
    rows = []
    for table in tables:
        problem = table["problem"]
        samples = problem["rows"] // problem["batch"] * problem["batch"]
        named = {
            f"{name}, batch {problem['batch']}": [samples / seconds for seconds in worker["seconds"]]
            for name, worker in table["workers"].items()
        }
        rows += against(section, unit, named)
    return rows


def training(config: Config) -> list[Row]:
    """The reconstruction study's step."""
    small = ["--problem.bands", "24", "--problem.width", "16", "--problem.rows", "64", "--problem.product", "64"]
    options = [*small, "--batches", "16"] if config.smoke else []
    return engine("training", "training.py", config, options, "samples/s")


def pretraining(config: Config) -> list[Row]:
    """Stage 1 of the multi-fidelity study."""
    small = ["--problem.bands", "24", "--problem.rows", "64", "--problem.product", "64"]
    options = [*small, "--batches", "16"] if config.smoke else []
    return engine("pre-training", "pretraining.py", config, options, "scans/s")


def plsr(config: Config) -> list[Row]:
    """Ten folds, fifteen components: the error of every number of components, as a study chooses by it."""
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.model_selection import cross_val_predict

    from jaxsoil.models.plsr import choose_components

    rng, (n, m) = np.random.default_rng(0), (120, 30) if config.smoke else (2000, 267)
    x = rng.normal(size=(n, 12)) @ rng.normal(size=(12, m)) + 0.05 * rng.normal(size=(n, m))
    y = x[:, :9].sum(axis=1) + rng.normal(size=n)
    folds = np.arange(n) % 10

    def usual() -> list[float]:
        parts = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(10)]
        return [
            float(np.mean((np.ravel(cross_val_predict(PLSRegression(k, scale=True), x, y, cv=parts)) - y) ** 2))
            for k in range(1, 16)
        ]

    ours = choose_components(x, y, folds, 15)[1]
    np.testing.assert_allclose(ours, usual(), rtol=1e-6)  # the same errors, or the times mean nothing
    name = f"{n:,} rows, {m} bands, 10 folds, 1 to 15 components"
    cases = {
        f"jaxsoil (ikpls), {name}": (lambda: choose_components(x, y, folds, 15), 10.0),
        f"scikit-learn, {name}": (usual, 10.0),
    }
    return against("PLSR, cross-validation", "folds/s", turns(cases, min(config.rounds, 3)))


def xi(config: Config) -> list[Row]:
    """Xi of latent features with bands."""
    from scipy import stats

    from jaxsoil.evaluation.xi import xi_matrix

    rng, (n, k, m) = np.random.default_rng(0), (50, 2, 3) if config.smoke else (2000, 32, 136)
    x, y = rng.normal(size=(n, k)), rng.normal(size=(n, m))

    one: Any = stats.chatterjeexi

    def usual() -> np.ndarray:
        return np.array([[one(a, b).statistic for b in y.T] for a in x.T])

    np.testing.assert_allclose(xi_matrix(x, y), usual(), atol=1e-10)
    name = f"{n:,} rows, {k} x {m} pairs"
    cases: dict[str, tuple[Callable[[], Any], float]] = {
        f"jaxsoil, {name}": (lambda: xi_matrix(x, y), float(k * m)),
        f"SciPy, {name}": (usual, float(k * m)),
    }
    return against("Xi", "pairs/s", turns(cases, min(config.rounds, 3)))


def loading(config: Config) -> list[Row]:
    """Shuffled batches of 128 from a memory map, from records and from memory; a whole table from CSV."""
    import pandas as pd

    records: Any = importlib.import_module("array_record.python.array_record_module")

    rng, (n, m) = np.random.default_rng(0), (256, 20) if config.smoke else (8192, 1701)
    values = rng.random((n, m), dtype=np.float32)
    batches = np.random.default_rng(1).permutation(n).reshape(-1, 128)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.save(place / "x.npy", values)
        pd.DataFrame(values).to_csv(place / "x.csv", index=False, float_format="%.5f")
        writer = records.ArrayRecordWriter(str(place / "x.array_record"), "group_size:1")
        for row in values:
            writer.write(row.tobytes())
        writer.close()
        mapped = np.load(place / "x.npy", mmap_mode="r")
        reader = records.ArrayRecordReader(str(place / "x.array_record"))
        cases = {
            "memory map, as training reads": (lambda: [np.array(mapped[rows]) for rows in batches], n),
            "memory": (lambda: [values[rows] for rows in batches], n),
            "array_record": (
                lambda: [
                    np.stack([np.frombuffer(one, np.float32) for one in reader.read(rows.tolist())]) for rows in batches
                ],
                n,
            ),
            "CSV, the whole table (pandas)": (lambda: pd.read_csv(place / "x.csv").to_numpy(np.float32), n),
        }
        found = turns(cases, min(config.rounds, 3))
        reader.close()
    named = {f"{name}, {n:,} rows of {m:,} bands": rates for name, rates in found.items()}
    return against("loading", "rows/s", named)


def prediction(config: Config) -> list[Row]:
    """A bundle's network of the publication's width."""
    from predict import measure

    rows = 1024 if config.smoke else 20_480
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), rows, 1 if config.smoke else config.rounds)[2]
    limit, *rest = [Row("prediction", f"{name}, {rows:,} spectra", "spectra/s", rates) for name, rates in found.items()]
    return [limit, *(dataclasses.replace(one, ratios=_over(limit.rates, one.rates)) for one in rest)]


def start(config: Config) -> list[Row]:
    """From the start of a process to the end of its second step, with an empty and a filled compilation cache."""
    problem = dataclasses.replace(_problem(config), rows=75, batch=75)
    cold, warm = [], []
    for _ in range(1 if config.smoke else min(config.rounds, 3)):
        with tempfile.TemporaryDirectory() as cache:
            for times in (cold, warm):
                began = time.perf_counter()
                _engine_worker(problem, 1, cache=cache).close()
                times.append(time.perf_counter() - began)
    return [Row("start", "compilation cache empty", "s", cold), Row("start", "compilation cache filled", "s", warm)]


def growth(config: Config) -> list[Row]:
    """Seconds of an epoch of one problem as one of its sizes grows, and the exponent of a power law through them.

    Devices of a CPU are simulated and share its cores: their curve shows what sharding costs, and no gain.
    """
    base = dataclasses.replace(_problem(config), rows=300 if config.smoke else 2400, batch=75)
    steps, rows = (1, 2) if config.smoke else (1, 2, 4, 8), list[Row]()
    most, bands = steps[-1], base.bands // steps[-1]

    def sized(**changed: int) -> Worker:
        return _engine_worker(dataclasses.replace(base, **changed), 1)

    def over(count: int) -> Worker:
        simulated = os.environ.get("XLA_FLAGS", "") + f" --xla_force_host_platform_device_count={most}"
        return _engine_worker(base, most, devices=count, XLA_FLAGS=simulated)

    curves: dict[str, Callable[[int], tuple[int, Worker]]] = {
        "trials": lambda k: (k, _engine_worker(base, k)),
        "samples": lambda k: (base.rows * k // most, sized(rows=base.rows * k // most)),
        "bands": lambda k: (bands * k, sized(bands=bands * k)),
        "devices": lambda k: (k, over(k)),
    }
    for name, make in curves.items():
        workers = [make(1)]
        # A machine with fewer GPUs than that has a shorter curve, or none.
        there = workers[0][1].description["devices"] if name == "devices" else most
        workers += [make(k) for k in steps[1:] if k <= there]
        for number in range(config.rounds + 1):
            for size, worker in workers:
                worker.epoch(timed=number > 0)
                if number and name == "trials":  # a worker gives seconds of a trial
                    worker.seconds[-1] *= size
        for _, worker in workers:
            worker.close()
        if len(workers) > 1:
            rows += _curve(name, workers, config.rounds, base, most)
    return rows


def _curve(name: str, workers: list[tuple[int, Worker]], rounds: int, base: Problem, trials: int) -> list[Row]:
    """The exponent of a curve, and of devices the rates too."""
    logs = np.log([size for size, _ in workers])
    slopes = [float(np.polyfit(logs, np.log([w.seconds[i] for _, w in workers]), 1)[0]) for i in range(rounds)]
    sizes = ", ".join(f"{size:,}" for size, _ in workers)
    found = [Row("growth", f"exponent of the seconds of an epoch in {name} ({sizes})", "", slopes)]
    if name != "devices":
        return found
    kind, samples = workers[0][1].description["device"], base.steps * base.batch
    kind = "simulated devices, which share the cores" if kind == "cpu" else "devices"
    rates = {f"{trials} trials over {k} {kind}": [samples / s for s in worker.seconds] for k, worker in workers}
    return [*found, *against("growth", "samples/s", rates)]


def _problem(config: Config) -> Problem:
    return Problem(bands=24, components=6, width=16, rows=150) if config.smoke else Problem()


def _engine_worker(problem: Problem, trials: int, cache: str | None = None, devices: int = 1, **own: str) -> Worker:
    environment = own | {"JAX_COMPILATION_CACHE_DIR": cache or "", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    setting = {"problem": dataclasses.asdict(problem), "trials": trials, "devices": devices}
    return Worker("engine", [sys.executable, str(HERE / "engine_worker.py")], setting, **environment)


def _over(first: list[float], rates: list[float]) -> list[float]:
    return [a / b for a, b in zip(first, rates, strict=True)]


def markdown(rows: Sequence[Row], machine: str) -> str:
    """The table: medians, and the range over rounds in brackets."""
    lines = [machine, "", "| part | what | rate | the first one's ratio to it |", "|---|---|---:|---:|"]
    for row in rows:
        unit = f" {row.unit}" if row.unit else ""
        ratio = "" if row.ratios is None else _spread(row.ratios)
        lines.append(f"| {row.section} | {row.what} | {_spread(row.rates)}{unit} | {ratio} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    def text(value: float) -> str:
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

    return f"{text(float(np.median(values)))} ({text(min(values))} to {text(max(values))})"


def main(config: Config) -> None:
    """Measures, prints and writes."""
    parts: dict[str, Callable[[Config], list[Row]]] = {
        "training": training, "pretraining": pretraining, "plsr": plsr, "xi": xi,
        "loading": loading, "prediction": prediction, "start": start, "growth": growth,
    }  # fmt: skip
    unknown = sorted(set(config.sections) - set(parts))
    if unknown:
        raise SystemExit(f"Unknown sections: {', '.join(unknown)}. There are: {', '.join(parts)}.")
    load = os.getloadavg()[0]
    machine = f"{cpu_field('model name')}, {os.cpu_count()} cores, {date.today().isoformat()}, load {load:.1f} at first"
    if load > BUSY_LOAD:
        print("Others are at work here: the ratios are not worth quoting. Run this again alone.")
    rows: list[Row] = []
    for name in config.sections:
        print(f"{name} ...", flush=True)
        rows += parts[name](config)
        write_text_atomic(config.out / "benchmarks.md", markdown(rows, machine))
        write_json(config.out / "benchmarks.json", {"machine": machine, "rows": [dataclasses.asdict(r) for r in rows]})
    print(markdown(rows, machine))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
