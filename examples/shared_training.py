"""One training that several processes share, on one host or on many: each reads its part of every batch from the disk.

    python examples/shared_training.py --folder runs/shared --processes 2 --process-index 0 --process-address HOST:PORT
    python examples/shared_training.py --folder runs/shared --processes 2 --process-index 1 --process-address HOST:PORT

Without --processes one process does it alone, on all of its devices. The folder is on a disk that all processes see.
A process that is killed ends the others; the same commands again go on from the latest checkpoint.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from jaxsoil.runs import processes, stop
from jaxsoil.runs.errors import UsageError
from jaxsoil.runs.files import atomic_path, write_arrays

BANDS, ROWS, HELD_OUT = 40, 4000, 800


def train(folder: Path, epochs: int, pause: float) -> None:
    """Fits SOC to made-up spectra that lie in a file, and writes parameters and losses into the folder."""
    import jax  # after the processes have met
    import jax.numpy as jnp

    from jaxsoil.training.checkpoints import Checkpoints
    from jaxsoil.training.config import LoopConfig
    from jaxsoil.training.devices import batch_mesh
    from jaxsoil.training.rows import fit
    from jaxsoil.training.streamed import Stored

    spectra = np.load(folder / "spectra.npy", mmap_mode="r")
    read = list[int]()

    def rows_of(rows: np.ndarray) -> dict[str, np.ndarray]:
        read.append(int(np.sum(rows < ROWS - HELD_OUT)))
        time.sleep(pause)
        x = np.asarray(spectra[rows])
        return {"x": x, "soc": x[:, 7] - x[:, 3]}

    def loss(params: Any, stats: Any, batch: Any, key: Any, progress: Any) -> Any:
        return jnp.mean(jnp.square(batch["x"] @ params - batch["soc"])), (stats, {})

    stored = Stored(ROWS, rows_of, memory_gb=1e-4, checkpoint_steps=5)
    train, watch = np.arange(ROWS - HELD_OUT), np.arange(ROWS - HELD_OUT, ROWS)
    config, mesh = LoopConfig(epochs=epochs, batch=64, lr=0.02), batch_mesh(jax.devices())
    with Checkpoints(folder / "checkpoint") as kept:
        start = jnp.zeros(BANDS)
        found = fit(loss, start, stored, train, watch, config, jax.random.key(0), checkpoints=kept, mesh=mesh)
    watched = found.history["validation_loss"]
    print(f"{sum(read)} of {epochs * train.size} training rows read here")
    if processes.leads():
        write_arrays(folder / "fitted.npz", {"params": found.params, **found.history})
        print(f"validation loss {watched[0]:.4f} at first, {watched.min():.6f} at best")


def main() -> int:
    """Returns the exit status: 2 for processes that do not come together, 1 where one of them was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="on a disk that all processes see")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that reading waits, to see what a kill does")
    processes.add_options(parser)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        team = processes.settings_of(options)
        with stop.caught(), processes.joined(team, options.folder, connected=True):
            if processes.leads() and not (options.folder / "spectra.npy").exists():
                with atomic_path(options.folder / "spectra.npy") as new:
                    np.save(new, np.random.default_rng(0).random((ROWS, BANDS), np.float32))
            if processes.leads():
                processes.ready()
            else:
                processes.wait_for_folder()
            train(options.folder, options.epochs, options.pause)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except stop.Terminated:
        return processes.LOST if processes.lost() else stop.STATUS
    return 0


if __name__ == "__main__":
    sys.exit(main())
