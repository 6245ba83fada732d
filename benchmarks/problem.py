"""The problem that both sides of the training benchmark solve, and how a worker talks. Needs NumPy alone."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

SIGMA_SOC, SIGMA_REFLECTANCE = 0.0041, 0.01


@dataclasses.dataclass(frozen=True)
class Problem:
    """Shape of the training: encoder and ANN decoder of the reconstruction study, Eq. 1, Adam."""

    bands: int = 2136
    """Bands of a spectrum M (paper: 2136)."""
    components: int = 94
    """Endmembers K, the last one SOC (paper: 94)."""
    width: int = 512
    """Units of each hidden layer (paper: 512)."""
    hidden: int = 3
    """Hidden layers after the first one (paper: 3)."""
    rows: int = 4096
    """Spectra in an epoch."""
    batch: int = 75
    """Spectra in a step (paper: 75); an incomplete last batch is dropped."""
    lr: float = 5e-5
    """Learning rate of Adam (paper: 5e-5)."""
    b1: float = 0.99
    """First decay of Adam (paper: 0.99)."""
    product: int = 4096
    """Side of the square matrices whose product measures the peak."""

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return self.rows // self.batch

    @property
    def flops_per_row(self) -> int:
        """Floating-point operations of a training step per spectrum, matrix products alone.

        A product of a row with an ``a x b`` matrix takes 2ab, and a step makes three of them: forward, and backward
        for the weights and for the layer's input. Normalisation and activations are left out.
        """
        inner = (self.hidden * self.width + self.bands + self.components) * self.width
        return 2 * 6 * inner

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns reflectance ``(rows, bands)`` and SOC ``(rows,)`` as a mass fraction, float32, always the same."""
        draw = np.random.default_rng(0)
        soc = draw.uniform(0.001, 0.06, self.rows)
        slope = np.linspace(0.1, 0.5, self.bands)
        reflectance = slope * (1 - 5 * soc[:, None]) + draw.normal(0, 0.01, (self.rows, self.bands))
        return reflectance.astype(np.float32), soc.astype(np.float32)


def serve(make: Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, Callable[[], Any]]]]) -> None:
    """Answers, line by line, what the benchmark asks of this process.

    The first line that comes in is the setting, as JSON; the answer describes the worker. Each further line names
    one of the worker's actions; the answer is what the action returns. The end of the input ends the worker.
    """
    # Whatever a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    sys.stdout = sys.stderr
    description, actions = make(json.loads(sys.stdin.readline()))
    print(json.dumps(description), file=answers)
    for line in sys.stdin:
        print(json.dumps(actions[line.strip()]()), file=answers)
