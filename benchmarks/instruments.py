"""Speed of the readers of instrument files: ``python benchmarks/instruments.py``.

Copies the measured OPUS files (JAXSOIL_DATA), or built ones of their size, and built ASD files of 2,151 channels into
a temporary folder, reads them all and prints files per second; the libraries are imported before.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jaxsoil.data.readers import instruments
from tools.instrument_files import asd, opus, spectrum


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    files: int = 1000
    """Files of each format (the aim: 1,000 in under 10 s)."""
    rounds: int = 3
    """Times that all of them are read; the fastest and the slowest are printed."""


def examples() -> dict[str, list[tuple[str, bytes]]]:
    """Returns (suffix, content) of the files of each format."""
    rng = np.random.default_rng(0)
    folder = Path(os.environ.get("JAXSOIL_DATA", ""), "woodwell604", "opus")
    measured = [(".0", path.read_bytes()) for path in sorted(folder.glob("*.0"))] if folder.is_dir() else []
    axis = np.linspace(6000.0, 180.0, 3017)
    nm = np.arange(350.0, 2501.0)
    white = np.full(nm.size, 20_000.0)
    scans = [asd(values * white, white, first=350.0, step=1.0) for values in spectrum(rng, nm, 8)]
    built = [(".0", opus(values, axis[0], axis[-1])) for values in spectrum(rng, axis, 8)]
    return {
        "OPUS, measured" if measured else "OPUS, built": measured or built,
        "ASD, built": [(".asd", content) for content in scans],
    }


def main(config: Config) -> None:
    """Measures and prints."""
    for name, contents in examples().items():
        with tempfile.TemporaryDirectory() as folder:
            for number in range(config.files):
                suffix, content = contents[number % len(contents)]
                Path(folder, f"{number:05d}{suffix}").write_bytes(content)
            instruments.read(next(Path(folder).iterdir()))
            seconds = []
            for _ in range(config.rounds):
                began = time.perf_counter()
                good = sum(isinstance(result, instruments.Reading) for _, result in instruments.readings(folder))
                seconds.append(time.perf_counter() - began)
                assert good == config.files
        best, worst = min(seconds), max(seconds)
        print(f"{name}: {config.files} files in {best:.2f} to {worst:.2f} s ({config.files / best:.0f} per second)")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
