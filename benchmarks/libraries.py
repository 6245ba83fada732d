"""How fast, and in how much memory, a public library is prepared, opened and read: on a made-up one of any size.

python benchmarks/libraries.py                                   20,000 rows of 2,136 bands
python benchmarks/libraries.py --rows 85684 --bands 1701         the Open Soil Spectral Library's mid-infrared
python benchmarks/libraries.py --rows 334665 --bands 1701        all scans of KSSL

The table is gzipped CSV with a key, a sample and labels beside the bands. Preparing runs in a process of its own, whose
peak of memory is the system's own count. The floor is to unpack and parse the same file and keep nothing.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from jaxsoil.data.readers.schema import Axis, Label, Values
from jaxsoil.data.sources import store, stream, tables
from jaxsoil.data.sources.catalogue import Join, Names, Remote, Source, Table

SCANS, SOILS = "scans.csv.gz", "soils.csv.gz"
_SHAPES = 512


def made_up(bands: int) -> Source:
    """A library of ``bands`` bands in two tables, joined by the soil."""
    return Source(
        name="made_up", title="", version="1", provider="made_up", licence="", citation="", homepage="",
        files=[Remote(SCANS, manual="made here"), Remote(SOILS, manual="made here")],
        spectra=Table(SCANS, Axis("cm-1", pattern="b([0-9.]+)"), Values("absorbance"), bands, ["scan"]),
        joins=[Join(SOILS, ["oc", "clay"], ["soil"])],
        labels={"soc": Label("oc", "%"), "clay": Label("clay", "%")},
        groups={"sample": Names(["soil"])},
    )  # fmt: skip


def write_library(folder: Path, rows: int, bands: int, seed: int = 0) -> dict[str, Path]:
    """Writes the two tables; 512 spectra come again and again, further apart than gzip looks back.

    Returns:
      name -> file.
    """
    rng = np.random.default_rng(seed)
    axis = np.linspace(600.0, 4000.0, bands)
    shape = 0.4 + np.exp(-(((axis - 1050) / 150) ** 2)) + 0.6 * np.exp(-(((axis - 3450) / 200) ** 2))
    spectra = rng.uniform(0.7, 1.1, (_SHAPES, 1)) * shape + 0.01 * rng.standard_normal((_SHAPES, bands))
    texts = [",".join(f"{value:.5f}" for value in row) for row in spectra]
    header = "scan,soil," + ",".join(f"b{band:.3f}" for band in axis)
    with gzip.open(folder / SCANS, "wt", compresslevel=1, encoding="utf-8") as stream_out:
        stream_out.write(header + "\n")
        for row in range(rows):
            stream_out.write(f"s{row},k{row // 2},{texts[row % _SHAPES]}\n")
    with gzip.open(folder / SOILS, "wt", encoding="utf-8") as stream_out:
        stream_out.write("soil,oc,clay\n")
        for soil in range((rows + 1) // 2):
            stream_out.write(f"k{soil},{0.5 + soil % 50 / 10:.2f},{10 + soil % 60}\n")
    return {name: folder / name for name in (SCANS, SOILS)}


def prepare(folder: Path, bands: int) -> dict[str, float]:
    """Prepares the library of a folder here; returns seconds, processor seconds and the peak of memory in MB."""
    began = time.perf_counter()
    files = {name: folder / name for name in (SCANS, SOILS)}
    with store.new_folder(folder / "prepared") as made:
        tables.make(made_up(bands), files, made, progress=False, extra={})
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}


def floor(folder: Path) -> tuple[float, float]:
    """Seconds and processor seconds to unpack and parse the scans without keeping them."""
    began, worked = time.perf_counter(), time.process_time()
    columns = stream.header(folder / SCANS)
    for _ in stream.blocks(folder / SCANS, columns[2:], columns[:2]):
        pass
    return time.perf_counter() - began, time.process_time() - worked


def reading(values: Any, batch: int = 128, most: int = 20_000) -> float:
    """Rows a second of shuffled batches, copied as a training copies them."""
    order = np.random.default_rng(0).permutation(len(values))[:most]
    began = time.perf_counter()
    for start in range(0, order.size - batch + 1, batch):
        np.ascontiguousarray(values[order[start : start + batch]]).sum()
    return order.size / (time.perf_counter() - began)


def training(values: Any, batch: int = 128, steps: int = 60) -> float:
    """Rows a second of an autoencoder's training (bands - 512 - 32 - 512 - bands, AdamW) that draws its batches so."""
    import jax
    import jax.numpy as jnp
    import optax

    rng, bands = np.random.default_rng(0), values.shape[1]
    widths = [bands, 512, 32, 512, bands]
    params = [0.05 * rng.standard_normal(pair).astype(np.float32) for pair in itertools.pairwise(widths)]
    optimiser = optax.adamw(1e-3)

    @jax.jit
    def step(params: Any, state: Any, x: Any) -> Any:
        def loss(params: Any) -> Any:
            hidden = x
            for place, weights in enumerate(params):
                hidden = hidden @ weights
                hidden = jax.nn.relu(hidden) if place < len(params) - 1 else hidden
            return jnp.mean(jnp.square(hidden - x))

        updates, state = optimiser.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state, order = optimiser.init(params), rng.permutation(len(values))
    batches = [order[np.arange(at, at + batch) % order.size] for at in range(0, steps * batch, batch)]
    params, state = jax.block_until_ready(step(params, state, np.asarray(values[batches[0]])))
    began = time.perf_counter()
    for rows in batches:
        params, state = step(params, state, np.asarray(values[rows]))
    jax.block_until_ready(params)
    return steps * batch / (time.perf_counter() - began)


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--bands", type=int, default=2136)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of reading and training")
    parser.add_argument("--folder", type=Path, help="keep the files here, and use those that are there")
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        print(json.dumps(prepare(options.prepare, options.bands)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / SCANS).exists():
            write_library(folder, options.rows, options.bands)
        packed = (folder / SCANS).stat().st_size
        print(f"{options.rows} rows of {options.bands} bands, {packed / 1e6:.0f} MB gzipped, {os.cpu_count()} cores")
        command = [sys.executable, __file__, "--prepare", str(folder), "--bands", str(options.bands)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        made = json.loads(done.stdout)
        least, worked = floor(folder)
        print(f"prepared in {made['seconds']:.1f} s ({options.rows / made['seconds']:.0f} rows/s), processor time "
              f"{made['cpu']:.1f} s, peak of memory {made['peak_mb']:.0f} MB")  # fmt: skip
        print(f"floor (unpack and parse): {least:.1f} s, processor time {worked:.1f} s")
        opened = []
        for _ in range(5):
            began = time.perf_counter()
            library = store.open_folder(folder / "prepared")
            opened.append(time.perf_counter() - began)
        print(f"opened in {min(opened) * 1000:.0f} ms (first {opened[0] * 1000:.0f} ms)")
        mapped = library.spectra.values
        memory = np.array(mapped)
        for name, measure in (("read", reading), ("trained", training)):
            rates = [(measure(mapped), measure(memory)) for _ in range(options.rounds)]
            from_map, from_memory = np.median(np.array(rates), axis=0)
            ratio = np.median([one / other for one, other in rates])
            print(f"{name}: {from_map:.0f} rows/s from the map, {from_memory:.0f} from memory, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
