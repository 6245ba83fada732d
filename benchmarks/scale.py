"""Memory and speed of trainings as a library grows past the memory: ``python benchmarks/scale.py``.

A library of made-up scans is written in pieces and trained on from the disk, with memory for scans bounded by
``--memory-gb``, and from memory: stage 1 of the multi-fidelity study, the published network of the reconstruction
study, and a small network from spectra to nine properties, whose steps are the shortest. Both take the same batches
and must end with the same parameters. Contenders run in processes of their own, some steps at a time in turns. The
table gives medians and the range over rounds, each ratio within one round, of wall time and of processor time, which
others at work on the machine disturb less; anonymous memory, which a process holds for itself, beside mapped pages of
the file, which the system drops when it needs their room.

python benchmarks/scale.py --folder DIR                 up to 400,000 scans: 2.8 GB on the disk, 8 GB of memory
python benchmarks/scale.py --plan                       what a thousand times as many take, from the last measurement
python benchmarks/scale.py --smoke                      that it runs
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import tyro
from common import BUSY_LOAD, HERE, Worker, cpu_field
from scale_worker import Case, write_scans

from jaxsoil.runs.files import read_json, write_json, write_text_atomic


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    sizes: tuple[int, ...] = (12_500, 50_000, 100_000, 400_000)
    """Scans."""
    kinds: tuple[str, ...] = ("pretrain", "reconstruction", "property")
    """Trainings: stage 1, the published network of the reconstruction study, and a small one to nine properties."""
    bands: int = 1701
    """Bands of a scan."""
    memory_gb: float = 0.25
    """Memory for scans of the trainings from the disk."""
    batch: int = 256
    """Scans in a step."""
    steps: int = 256
    """Steps of a turn."""
    rounds: int = 5
    """Turns that are timed, after one that is not."""
    smoke: bool = False
    """The smallest size, to see that everything runs."""
    plan: bool = False
    """Print the plan for larger libraries from the last measurement, and measure nothing."""
    epochs: int = 40
    """Of the plan: passes over the library (the default of stage 1)."""
    hours: float = 24.0
    """Of the plan: hours in which the training is to end."""
    flops: float = 2e13
    """Of the plan: floating-point operations a second that one accelerator reaches in this training: an assumption."""
    read_gb: float = 2.0
    """Of the plan: GB a second that the host of an accelerator reads and standardises: an assumption."""
    folder: Path | None = None
    """Keep the library here, and use the one that is there."""
    out: Path = Path("runs/benchmarks")
    """Folder of scale.md and scale.json."""


WIDTHS = {"pretrain": (256, 128), "reconstruction": (512,) * 4, "property": (128, 64)}
"""Units of the layers, as the studies have them."""


def measure(config: Config, place: Path, kind: str, rows: int) -> dict[str, Any]:
    """Lets the training from the disk and the one in memory take turns."""
    name = {"disk": config.memory_gb, "memory": 1e9}
    workers = []
    try:
        for where, memory in name.items():
            widths = (8, 4) if config.smoke else WIDTHS[kind]
            case = Case(str(place), kind, rows, memory, widths, config.batch, config.steps)
            workers.append(Worker(where, [sys.executable, str(HERE / "scale_worker.py")], case._asdict()))
        for number in range(config.rounds + 1):
            for worker in workers if number % 2 else workers[::-1]:
                worker.epoch(timed=number > 0)
        memory, processor = ([worker.ask(what) for worker in workers] for what in ("memory", "processor"))
    finally:
        for worker in workers:
            worker.close()
    disk, inside = workers
    # XLA fuses the slice of a block otherwise than the gather in memory. The last bits of the published network differ
    # by that, and training amplifies them: of it the first turn is compared, within rounding.
    close = abs(disk.losses[0] - inside.losses[0]) <= 1e-5 * abs(inside.losses[0])
    if not (close if kind == "reconstruction" else disk.losses == inside.losses):
        raise RuntimeError(f"{kind}, {rows} scans: the two trainings differ: {disk.losses} and {inside.losses}")
    taken = config.steps * config.batch
    return {
        "kind": kind,
        "rows": rows,
        "gb": rows * config.bands * 4e-9,
        "scans_per_s": {worker.name: [taken / seconds for seconds in worker.seconds] for worker in workers},
        "ratios": [b / a for a, b in zip(disk.seconds, inside.seconds, strict=True)],
        "processor_ratios": [b / a for a, b in zip(*processor, strict=True)][1:],
        "anonymous_mb": {worker.name: found[0] for worker, found in zip(workers, memory, strict=True)},
        "mapped_mb": {worker.name: found[1] for worker, found in zip(workers, memory, strict=True)},
        **{key: disk.description[key] for key in ("parameters", "names_mb", "library_rows", "held", "device")},
        "setup_seconds": {worker.name: worker.description["setup_seconds"] for worker in workers},
    }


def table(found: Sequence[dict[str, Any]]) -> list[str]:
    """The lines of the measurement."""
    lines = [
        "| training | scans | GB | disk, scans/s | over memory | by processor time | anonymous MB, disk | memory "
        "| mapped MB, disk |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in found:
        rate = statistics.median(one["scans_per_s"]["disk"])
        ratio = f"{statistics.median(one['ratios']):.2f} ({min(one['ratios']):.2f} to {max(one['ratios']):.2f})"
        ratio += f" | {statistics.median(one['processor_ratios']):.2f}"
        anonymous, mapped = one["anonymous_mb"], one["mapped_mb"]
        lines.append(
            f"| {one['kind']} | {one['rows']:,} | {one['gb']:.2f} | {rate:,.0f} | {ratio} "
            f"| {anonymous['disk']:,.0f} | {anonymous['memory']:,.0f} | {mapped['disk']:,.0f} |"
        )
    return lines


@dataclasses.dataclass(frozen=True)
class Archive:
    """A library to come: spectra n and bands M."""

    name: str
    spectra: float
    bands: int


ARCHIVES = (
    Archive("laboratory scans", 4e5, 1701),
    Archive("hyperspectral pixels", 4e6, 285),
    Archive("hyperspectral pixels", 4e7, 285),
    Archive("hyperspectral pixels", 4e8, 285),
)
"""Bands of EMIT; 400 million pixels are some 260 of its scenes."""


def operations(bands: int, latents: int = 32, widths: tuple[int, int] = (256, 128)) -> float:
    """Floating-point operations of a step of stage 1 for one spectrum, products of its dense layers alone.

    Six for each weight: forward, and backward for weights and input; four where the input is the spectrum.
    """
    first, second = widths
    entry = bands * (first + latents)  # the linear path stands beside the layers
    return 10.0 * entry + 6.0 * (2 * first * second + 3 * second * latents)


def plan(found: Sequence[dict[str, Any]], config: Config) -> list[str]:
    """What larger libraries take, by the formulas of docs/scale.md from the largest stage 1 that was measured.

    Raises:
      SystemExit: nothing to plan from.
    """
    known = [one for one in found if one["kind"] == "pretrain"]
    if not known:
        raise SystemExit(f"There is no stage 1 in {config.out / 'scale.json'}: run the measurement first.")
    last = max(known, key=lambda one: one["rows"])
    rate = statistics.median(last["scans_per_s"]["disk"])
    here = rate * operations(config.bands)
    names = 1e6 * last["names_mb"] / last["library_rows"]
    lines = [
        f"From {rate:,.0f} scans/s at {last['rows']:,} scans of {config.bands:,} bands, {here / 1e9:,.0f} GFLOP/s; "
        f"{names:,.0f} bytes of names a spectrum; {config.epochs} epochs in {config.hours:g} h; an accelerator is "
        f"taken to reach {config.flops / 1e12:g} TFLOP/s, and its host to read {config.read_gb:g} GB/s.",
        "",
        "| spectra x bands | disk, GB | names, GB | this machine: spectra/s | MB/s read | hours | machines "
        "| accelerator: spectra/s | GB/s read | hours | accelerators |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in ARCHIVES:
        n, row, work = one.spectra, 4.0 * one.bands, operations(one.bands)
        cells = [f"{n:,.0f} x {one.bands:,}", f"{n * row / 1e9:,.1f}", f"{n * names / 1e9:.3g}"]
        for speed, unit in ((here / work, 1e6), (min(config.flops / work, 1e9 * config.read_gb / row), 1e9)):
            hours = n * config.epochs / speed / 3600
            devices = math.ceil(hours / config.hours)
            cells += [f"{speed:,.0f}", f"{speed * row / unit:,.3g}", f"{hours:,.3g}", f"{devices:,}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main(config: Config) -> None:
    """Measures or plans, prints and writes."""
    if config.plan:
        said = read_json(config.out / "scale.json", remedy="Measure first: python benchmarks/scale.py.")
        print("\n".join(plan(said["rows"], dataclasses.replace(config, bands=said["bands"]))))
        return
    if config.smoke:
        small: dict[str, Any] = {"sizes": (300,), "bands": 20, "batch": 16, "steps": 8, "rounds": 2, "memory_gb": 2e-5}
        config = dataclasses.replace(config, **small)
    machine = f"{cpu_field('model name')}, {os.cpu_count()} cores, {date.today().isoformat()}"
    machine += f", load {os.getloadavg()[0]:.1f} at first"
    if os.getloadavg()[0] > BUSY_LOAD:
        print("Others are at work here: the ratios are not worth quoting. Run this again alone.")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        place = config.folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        most, need = max(config.sizes), max(config.sizes) * config.bands * 4
        if not (place / f"{most}").exists():
            if shutil.disk_usage(place).free < 1.2 * need:
                raise SystemExit(f"{place} lacks the {1.2 * need / 1e9:.1f} GB that the library needs: give --folder.")
            write_scans(place, most, config.bands)
        for kind in config.kinds:
            for size in sorted(config.sizes):
                print(f"{kind}, {size:,} scans ...", flush=True)
                rows.append(measure(config, place, kind, size))
                limit = f"memory for scans from the disk: {config.memory_gb:g} GB, batches of {config.batch}"
                write_text_atomic(config.out / "scale.md", "\n".join([f"{machine}; {limit}", "", *table(rows)]) + "\n")
                said = {"machine": machine, "bands": config.bands, "memory_gb": config.memory_gb, "rows": rows}
                write_json(config.out / "scale.json", said)
    print("\n".join([machine, "", *table(rows), ""]))
    if "pretrain" in config.kinds:
        print("\n".join(plan(rows, config)))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
