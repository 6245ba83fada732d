"""Times predictions with a bundle: the encoder alone at 2,136 bands from a memory map, against what its products take.

    python benchmarks/predict.py

Prints spectra per second of the compiled network on spectra that lie in memory (the limit), of the network behind a
memory map, of `predict` with and without decoder, and their ratios, from interleaved rounds; and the time from the
start of a process to its first prediction.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.bundle.bundle import Bundle, Model, Target
from jaxsoil.bundle.networks import Network
from jaxsoil.bundle.predict import predict
from jaxsoil.bundle.trees import ROWS
from jaxsoil.evaluation.domain import Domain
from jaxsoil.evaluation.shift import Calibration
from jaxsoil.models.autoencoder import Autoencoder, ModelConfig
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.preprocess import SNV, Absorbance, Pipeline

BANDS, COMPONENTS, TRAINING = 2136, 94, 2000
AXIS = np.linspace(365.0, 2500.0, BANDS)


def spectra_of(rows: int, seed: int) -> np.ndarray:
    """Smooth reflectance (rows, bands)."""
    rng = np.random.default_rng(seed)
    waves = np.stack([np.sin(AXIS / width) for width in (90.0, 160.0, 310.0, 700.0)])
    return (0.35 + 0.03 * rng.normal(size=(rows, 4)) @ waves + 1e-3 * rng.normal(size=(rows, BANDS))).astype(np.float32)


def bundle_of(decoder: str) -> Bundle:
    """A bundle of one network of the publication's width, with random parameters."""
    training = Spectra(spectra_of(TRAINING, 0), AXIS, "nm", "reflectance")
    z = Pipeline((Absorbance(), SNV()))(training).values
    domain = Domain.fit(z, np.arange(TRAINING).astype(str))
    config = ModelConfig(decoder=decoder)  # type: ignore[arg-type]
    variables = Autoencoder(COMPONENTS, BANDS, config).init(
        jax.random.key(0), jnp.asarray(training.values[:2]), train=False
    )
    network = Network(COMPONENTS, BANDS, dataclasses.asdict(config), jax.tree.map(np.asarray, dict(variables)), {})
    soc = np.random.default_rng(1).uniform(0.2, 8.0, TRAINING)
    regions = np.array([f"r{row % 8}" for row in range(TRAINING)])
    found = Calibration.of(soc, soc * 1.2, regions, domain.space.scores(z))
    limit = None if decoder == "none" else 0.1
    model = Model(network, (), (Target.of("soc", "%", soc),), {"soc": found}, (), limit)
    return Bundle("bench", AXIS, "nm", "reflectance", {"net": model}, "net", domain, {}, {}, True)


def rate(call: Callable[[], object], rows: int) -> float:
    """Spectra per second."""
    began = time.perf_counter()
    call()
    return rows / (time.perf_counter() - began)


def measure(folder: Path, rows: int, rounds: int) -> tuple[np.ndarray, dict[str, Bundle], dict[str, list[float]]]:
    """The spectra as a memory map, the bundles, and case -> spectra per second of each round; the limit comes first."""
    path = folder / "spectra.npy"
    np.save(path, spectra_of(rows, 3))
    mapped = np.load(path, mmap_mode="r")
    bundles = {name: bundle_of(name) for name in ("none", "ann")}
    encoder = bundles["none"].model().predictor
    in_memory = jnp.asarray(mapped[:ROWS])
    repeats = rows // ROWS

    def limit() -> None:
        for _ in range(repeats):
            jax.block_until_ready(encoder._apply(in_memory))  # type: ignore[attr-defined]

    cases: dict[str, tuple[Callable[[], object], int]] = {
        "limit: the encoder's program on spectra in memory": (limit, repeats * ROWS),
        "encoder behind a memory map": (lambda: encoder(mapped), rows),
        "predict, encoder alone": (lambda: predict(bundles["none"], _mapped(mapped)), rows),
        "predict, with the ANN decoder": (lambda: predict(bundles["ann"], _mapped(mapped)), rows),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, (call, count) in cases.items():
            measured = rate(call, count)
            if number:  # the first round compiles
                found[name].append(measured)
    return mapped, bundles, found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mapped, bundles, found = measure(Path(folder), options.rows, options.rounds)
        medians = {name: float(np.median(values)) for name, values in found.items()}
        top = next(iter(medians.values()))
        for name, value in medians.items():
            print(f"{name:52} {value:9.0f} spectra/s  {top / value:5.2f} x the time of the limit")
        bundle = bundles["none"].save(Path(folder) / "bundle")
        np.savetxt(
            Path(folder) / "one.csv", mapped[:1], delimiter=",", header=",".join(f"{b:.4f}" for b in AXIS), comments=""
        )
        words = ["-m", "jaxsoil.cli", "predict", str(bundle), str(Path(folder) / "one.csv"), "--unit", "nm"]
        words += ["--quantity", "reflectance", "-o", str(Path(folder) / "out.csv")]
        began = time.perf_counter()
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
        if "1 samples predicted" not in done.stdout:  # bands of random curves are questioned, with status 3
            raise SystemExit(done.stdout + done.stderr)
        print(f"from the start of a process to the end of its first prediction: {time.perf_counter() - began:.1f} s")


def _mapped(values: np.ndarray) -> Spectra:
    return Spectra(values, AXIS, "nm", "reflectance")


if __name__ == "__main__":
    main()
