"""One contender of benchmarks/scale.py: a training whose scans lie on the disk or in memory, and what it takes."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from problem import serve

from jaxsoil.data.library import Library, Property
from jaxsoil.data.scans import Scans
from jaxsoil.data.sources import store
from jaxsoil.models.autoencoder import Autoencoder, ModelConfig, parameter_count
from jaxsoil.models.config import VaeConfig
from jaxsoil.models.mlp import Mlp
from jaxsoil.studies.multifidelity.config import PretrainConfig
from jaxsoil.studies.multifidelity.pretrain import ScansProgram
from jaxsoil.studies.multifidelity.property_models import PropertyLoss, standardise
from jaxsoil.studies.reconstruction.objectives import make_loss
from jaxsoil.training import step as pure
from jaxsoil.training.config import LoopConfig, TrainConfig
from jaxsoil.training.grid import NetworkFunctions
from jaxsoil.training.loop import Program
from jaxsoil.training.rows import program_of
from jaxsoil.training.streamed import Stored

COMPONENTS, TARGETS, WRITTEN = 94, 9, 4096
PERIOD = 0.005
"""Seconds between two looks at the memory."""


class Case(NamedTuple):
    """What one contender trains.

    ``place``: folder of :func:`write_scans`; ``kind``: one of :data:`KINDS`; ``rows``: the first scans of the library;
    ``memory_gb``: the setting; ``widths``: of the network's layers.
    """

    place: str
    kind: str
    rows: int
    memory_gb: float
    widths: tuple[int, ...] = (256, 128)
    batch: int = 256
    steps: int = 256


class Watch:
    """How far memory grew while it was watched, in MB of 1e6 bytes: ``grown_mb``, anonymous, which nothing but its
    owner gives back, and ``file_mb``, mapped pages of files, which the system drops when it needs them."""

    def __enter__(self) -> Watch:
        self._first = self._most = now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._ended.wait(PERIOD):
            self._most = tuple(map(max, self._most, now()))

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._most = tuple(map(max, self._most, now()))

    @property
    def grown_mb(self) -> float:
        """Anonymous memory."""
        return self._most[0] - self._first[0]

    @property
    def file_mb(self) -> float:
        """Mapped pages."""
        return self._most[1] - self._first[1]

    @property
    def mapped_mb(self) -> float:
        """Mapped pages at most, those of before among them."""
        return self._most[1]


def now() -> tuple[float, ...]:
    """Anonymous and mapped memory of this process, MB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    found = dict(line.split(":", 1) for line in lines if line.startswith(("RssAnon", "RssFile")))
    return tuple(int(found[name].split()[0]) * 1.024e-3 for name in ("RssAnon", "RssFile"))


def write_scans(place: Path, rows: int, bands: int) -> None:
    """Writes a prepared library of made-up absorbance in pieces: four scans of each sample, one property."""
    axis, draw = np.linspace(600.0, 4000.0, bands), np.random.default_rng(0)
    centres = draw.uniform(600.0, 4000.0, 12)
    shapes = np.exp(-0.5 * ((axis - centres[:, None]) / 100.0) ** 2).astype(np.float32)
    with store.new_folder(place / f"{rows}") as folder:
        with store.open_values(folder) as stream:
            for first in range(0, rows, WRITTEN):
                draw, count = np.random.default_rng([1, first]), min(WRITTEN, rows - first)
                scans = 0.3 + draw.random((count, 12), np.float32) @ shapes
                stream.write((scans + 0.01 * draw.standard_normal((count, bands), np.float32)).astype("<f4").tobytes())
        number = np.arange(rows)
        ids, samples = (np.char.add(name, part.astype(str)) for name, part in (("scan ", number), ("s", number // 4)))
        soc = {"soc": Property(draw.uniform(0.1, 6.0, rows), "%")}
        kind = {"name": "made up", "unit": "cm-1", "quantity": "absorbance", "steps": [], "licence": "", "notes": []}
        store.write_columns(folder, axis, ids, soc, {"sample": samples}, kind)


def open_scans(place: str) -> Library:
    """The largest library in a folder."""
    return store.open_folder(max(Path(place).glob("[0-9]*"), key=lambda one: int(one.name)))


def contender(case: Case) -> tuple[dict[str, Any], Steps]:
    """Prepares a training; returns what it is, and a call that runs its next steps."""
    with Watch() as opening:
        library = open_scans(case.place)
    values, began = library.spectra.values, time.perf_counter()
    scans = Scans(library.spectra.axis, library.samples[: case.rows], lambda rows: values[rows])
    program, state = KINDS[case.kind](case, scans, values)
    description = {
        "parameters": parameter_count(state.params),
        "names_mb": opening.grown_mb,
        "library_rows": len(library),
        "bands": int(scans.axis.size),
        "held": 0 if getattr(program, "resident", None) is not None else getattr(program, "held", 0),
        "setup_seconds": time.perf_counter() - began,
    }
    return description, Steps(program, state, case.steps)


def _pretraining(case: Case, scans: Scans, _: np.ndarray) -> tuple[Program, Any]:
    loop = LoopConfig(epochs=1000, batch=case.batch, lr=5e-4, schedule="constant")
    config = PretrainConfig(VaeConfig(widths=case.widths), loop, memory_gb=case.memory_gb)
    program = ScansProgram(scans, config, jax.random.key(0), jax.devices()[:1])
    return program, program.start


def _reconstruction(case: Case, scans: Scans, values: np.ndarray) -> tuple[Program, Any]:
    first, *others = case.widths
    network = Autoencoder(COMPONENTS, scans.axis.size, ModelConfig(width=first, hidden=len(others), decoder="ann"))
    soc = np.random.default_rng(2).uniform(0.001, 0.06, case.rows).astype(np.float32)
    loss = make_loss(network, TrainConfig(batch=case.batch))
    program = _program(case, loss, {"spectra": values[: case.rows], "soc": soc})
    return program, program.initial(*NetworkFunctions(network).initial(jax.random.key(1), None, None))


def _property_network(case: Case, scans: Scans, values: np.ndarray) -> tuple[Program, Any]:
    network = Mlp(TARGETS, case.widths, dropout=0.1)
    labels = np.random.default_rng(2).standard_normal((case.rows, TARGETS)).astype(np.float32)
    some = values[:512]
    centre, scale, known = some.mean(axis=0), some.std(axis=0), np.ones_like(labels)

    arrays = {"x": values[: case.rows], "t": labels, "known": known}
    program = _program(case, PropertyLoss(network, "multi"), arrays, (centre, scale))
    return program, program.initial(network.init(jax.random.key(1), jnp.zeros((1, scans.axis.size)))["params"])


def _program(case: Case, loss: Any, arrays: dict[str, np.ndarray], scaling: Any = None) -> Program:
    """A training over rows as ``jaxsoil.training.rows.fit`` makes it, from the disk or in memory.

    ``scaling``: mean and standard deviation by which "x" is standardised, once or as it is read.
    """
    prepare = scaling and functools.partial(standardise, centre=scaling[0], scale=scaling[1])
    rows: Any = Stored(case.rows, arrays, case.memory_gb, prepare=prepare)
    if sum(array.nbytes for array in arrays.values()) <= case.memory_gb * 1e9:
        rows = {name: np.array(array) for name, array in arrays.items()}
        if prepare:
            prepare(rows)
    loop = LoopConfig(epochs=1000, batch=case.batch, lr=5e-5, schedule="constant")
    return program_of(loss, rows, np.arange(case.rows), np.zeros(0, int), loop, jax.random.key(0))


KINDS: dict[str, Callable[[Case, Scans, np.ndarray], tuple[Program, Any]]] = {
    "pretrain": _pretraining, "reconstruction": _reconstruction, "property": _property_network,
}  # fmt: skip
"""Stage 1 of the multi-fidelity study; the published network of the reconstruction study, encoder and ANN decoder; and
a network from spectra to nine properties."""


class Steps:
    """Runs a training some steps at a time, epoch after epoch; the reader goes on reading in between.

    ``processor``: seconds of processor time of each turn.
    """

    def __init__(self, program: Program, state: Any, steps: int) -> None:
        self.program, self.state, self.blocks, self.steps = program, state, self._blocks(), steps
        self.total, self.at, self.block = pure.zero(state), 0, None
        self.processor: list[float] = []

    def _blocks(self) -> Iterator[tuple[int, int, Any, Any]]:
        for epoch in itertools.count():
            for stop, order, data in self.program.blocks(epoch, 0):
                yield epoch, stop, order, data
                del order, data

    def __call__(self) -> dict[str, float]:
        began, worked, left = time.perf_counter(), time.process_time(), self.steps
        while left:
            if self.block is None:
                self.block = next(self.blocks)
            epoch, stop, order, data = self.block
            until = min(stop, self.at + left)
            self.state, self.total = self.program.steps(self.state, self.total, order, data, epoch, self.at, until)
            left, self.at = left - (until - self.at), until
            if until == stop:
                jax.block_until_ready(self.total)
                self.block, order, data = None, None, None
                if stop == self.program.most:
                    self.total, self.at = pure.zero(self.state), 0
        jax.block_until_ready(self.state.params)
        seconds = time.perf_counter() - began
        self.processor.append(time.process_time() - worked)
        return {
            "seconds": seconds,
            "loss": float(sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(self.state.params))),
        }


def make(setting: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """The worker's description and its actions; its memory is watched from before the library is opened."""
    jax.config.update("jax_default_matmul_precision", "highest")
    jnp.zeros(8).block_until_ready()
    watch = Watch().__enter__()
    description, some_steps = contender(Case(**{**setting, "widths": tuple(setting["widths"])}))
    description["device"] = jax.devices()[0].platform
    memory = lambda: [watch.grown_mb, watch.file_mb]  # noqa: E731
    return description, {"epoch": some_steps, "memory": memory, "processor": lambda: some_steps.processor}


if __name__ == "__main__":
    serve(make)
