"""The mirror of a run in Weights & Biases (W&B), made from the files of its folder: the one module that knows W&B.

One W&B run for each run folder: its curves and summary come from ``log.jsonl``, its configuration from config.json,
flat, and it has the results as a table, the figures of the report and, at step 0, a few input spectra of each region.
Its id is kept in the folder, beside the checkpoints, so that a resumed run is the same one. Runs of a sweep are grouped
under the sweep's name. Every trial has a run of its own as well, in the group of its study: of up to 40 trials, since
W&B takes a tenth of a second to some seconds for each, otherwise with ``JAXSOIL_WANDB_TRIALS=1`` (0: never).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from jaxsoil.runs.files import read_arrays, read_csv_text, write_arrays, write_text_atomic
from jaxsoil.runs.keys import mark

PROJECT = "jaxsoil"
TRIALS = "JAXSOIL_WANDB_TRIALS"
"""Environment variable that asks for a W&B run of each trial ("1") or for none ("0")."""

MOST_TRIALS = 40
"""Trials that have a run of their own unasked."""

MOST_ROWS = 10_000
"""Rows of the table of results at most: W&B shows no more."""

INPUTS = "inputs.npz"
_BANDS = 256
_NUMBERS = ("value", "seed")

# The run folder's env.json describes the machine and the code; nothing of them leaves it unasked.
_PRIVATE = ("disable_code", "disable_git", "disable_job_creation")
_PRIVATE += ("x_disable_meta", "x_disable_stats", "x_disable_machine_info")
_SETTINGS: dict[str, Any] = dict.fromkeys(("silent", *_PRIVATE), True)
# Which packages are installed stands in env.json; W&B would list them anew for every run, half a second each.
_SETTINGS |= {"x_save_requirements": False, "console": "off", "symlink": False}
_SETTINGS |= {"init_timeout": 10, "finish_timeout": 60}  # seconds


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
    """A few spectra of each region (laboratory, set), as the data have them.

    Attributes:
      spectra: name of the region -> axis (m,) and spectra (k, m).
      label: what they are and the unit of their axis.
    """

    spectra: Mapping[str, tuple[np.ndarray, np.ndarray]]
    label: str

    @classmethod
    def of(cls, spectra: Any, regions: ArrayLike, per: int = 3) -> Self:
        """``per`` spectra of each region, in even steps, on at most 256 bands.

        Args:
          spectra: with ``values`` (n, m), ``axis`` (m,), ``unit`` and ``quantity``.
          regions: (n,) names, or one name for all.
          per: how many of each.
        """
        names = np.broadcast_to(np.asarray(regions).astype(str), len(spectra.values))
        bands = slice(None, None, max(1, -(-len(spectra.axis) // _BANDS)))
        found = {}
        for name in dict.fromkeys(names.tolist()):
            rows = np.flatnonzero(names == name)
            rows = rows[np.unique(np.linspace(0, rows.size - 1, min(per, rows.size)).astype(int))]
            found[name] = np.asarray(spectra.axis)[bands], np.asarray(spectra.values)[rows][:, bands]
        return cls(found, f"{spectra.quantity} by {spectra.unit}")

    def write(self, path: Path) -> None:
        """Writes them as an .npz file of numbers and text."""
        arrays: dict[str, Any] = {"names": np.array(list(self.spectra)), "label": np.array(self.label)}
        for place, (axis, values) in enumerate(self.spectra.values()):
            arrays |= {f"axis_{place}": axis, f"values_{place}": values}
        write_arrays(path, arrays)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads what :meth:`write` wrote."""
        arrays = read_arrays(path)
        places = {str(name): place for place, name in enumerate(arrays["names"])}
        found = {name: (arrays[f"axis_{place}"], arrays[f"values_{place}"]) for name, place in places.items()}
        return cls(found, str(arrays["label"]))


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A configuration as W&B filters by it: ``{"train": {"lr": 1e-3}}`` becomes ``{"train.lr": 1e-3}``.

    Lists become text, "ann, physics": W&B compares numbers, text and truth values alone.
    """
    found: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{key}.")
        elif isinstance(value, list | tuple):
            plain = not any(isinstance(item, Mapping | list | tuple) for item in value)
            found[key] = ", ".join(map(str, value)) if plain else json.dumps(value)
        else:
            found[key] = value
    return found


class Mirror:
    """One W&B run, filled from the records of a log; a method may raise whatever W&B does.

    Args:
      folder: of the run.
      config: settings of the study.
      group: of W&B, such as the name of a sweep; otherwise that of the folder.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], group: str = "") -> None:
        self.folder, self.config, self.group, self.run = folder, flat(config), group, None
        self.files = folder / "wandb"

    @property
    def id(self) -> str:
        """The run's id; kept in the folder, so that it moves with it and is new in a new one."""
        kept = self.files / "run-id"
        if not kept.exists():
            write_text_atomic(kept, secrets.token_hex(4) + "\n")
        return kept.read_text("utf-8").strip()

    def open(self, mode: Literal["offline", "online"], records: Sequence[Mapping[str, Any]]) -> None:
        """Starts the W&B run, or continues it where the server has it, and adds the records that it lacks."""
        job = "point" if self.group else "study"
        self.run = self._begin(mode, self.id, self.folder.resolve().name, job, self.config)
        for name, options in (("*", {}), ("validation_loss/*", {"summary": "min"})):
            self.run.define_metric(name, step_metric="epoch", **options)
        if not self.run.step and (self.files / INPUTS).exists():
            self._add_inputs(Inputs.read(self.files / INPUTS))
        for step in range(self.run.step, len(records)):
            self.add(records[step], step)

    def add(self, record: Mapping[str, Any], step: int) -> None:
        """Adds a record's numbers as W&B curves, ``train_loss/ann/geeves/0``: one section per metric."""
        if self.run is None:
            return
        if "summary" in record:
            self.run.summary.update(record["summary"])
        trial = f"/{record['trial']}" if record.get("trial") is not None else ""
        numbers = _numbers(record)
        named = {name if name == "epoch" else f"{name}{trial}": value for name, value in numbers.items()}
        self.run.log(named, step=step)

    def close(
        self, mode: Literal["offline", "online"], records: Sequence[Mapping[str, Any]], trials: bool = True
    ) -> None:
        """Completes the W&B run with the results and figures that the folder has, and ends it; opens it if need be.

        With ``trials``, these get runs of their own where :data:`TRIALS` or their number allow it.
        """
        if self.run is None:
            self.open(mode, records)
        run: Any = self.run
        self.run = None
        media = self._media()
        if media:
            run.log(media, step=max(run.step, len(records)))
        with _quiet(self.files):
            run.finish()
        if trials:
            self._add_trials(mode, records)

    def _begin(
        self, mode: Literal["offline", "online"], name: str, title: str, job: str, config: Mapping[str, Any]
    ) -> Any:
        if mode == "offline":
            for stale in self.files.glob(f"offline-run-*-{name}"):
                shutil.rmtree(stale, ignore_errors=True)
        used_by_others = "wandb" in sys.modules
        with _quiet(self.files):
            import wandb

            try:
                return wandb.init(
                    project=os.environ.get("WANDB_PROJECT", PROJECT),
                    group=os.environ.get("WANDB_RUN_GROUP") or self.group or self.folder.resolve().name,
                    job_type=job,
                    name=title,
                    id=name,
                    dir=self.folder,
                    config=dict(config),
                    mode=mode,
                    resume="allow" if mode == "online" else None,
                    reinit="create_new",
                    settings=wandb.Settings(**_SETTINGS),
                )
            except Exception:
                # Its service still holds the run's name, which the mirror on disk is going to need.
                if not used_by_others:
                    wandb.teardown()
                raise

    def _add_inputs(self, inputs: Inputs) -> None:
        """A chart for each region at step 0."""
        import wandb

        run, charts = self.run, {}
        for region, (axis, values) in inputs.spectra.items():
            names = [f"spectrum {row + 1}" for row in range(len(values))]
            chart = wandb.plot.line_series(axis.tolist(), values.tolist(), names, region, inputs.label)
            charts[f"inputs/{region}"] = chart
        if run is not None:
            run.log(charts, step=0)

    def _media(self) -> dict[str, Any]:
        """The results as a table, and the figures of the report, as far as the folder has them."""
        import wandb

        found: dict[str, Any] = {}
        if (self.folder / "results.csv").exists():
            header, rows = read_csv_text(self.folder / "results.csv", remedy="")
            columns = [place for place, name in enumerate(header) if name in _NUMBERS]
            data: Any = [list(row) for row in rows[:MOST_ROWS]]
            for row in data:
                for place in columns:
                    row[place] = _number(row[place])
            found["results"] = wandb.Table(columns=list(header), data=data, allow_mixed_types=True)
        figures = self.folder / "figures"
        for path in sorted(figures.rglob("*.png")):
            name = path.relative_to(figures).with_suffix("").as_posix()
            found[f"figures/{name}"] = wandb.Image(str(path))
        return found

    def _add_trials(self, mode: Literal["offline", "online"], records: Sequence[Mapping[str, Any]]) -> None:
        """A W&B run for each trial, in the group of the study."""
        trials: dict[str, list[Mapping[str, Any]]] = {}
        for record in records:
            if record.get("trial") is not None:
                trials.setdefault(str(record["trial"]), []).append(record)
        asked = os.environ.get(TRIALS, "")
        if asked == "0" or (not asked and len(trials) > MOST_TRIALS):
            return
        for trial, mine in trials.items():
            name = f"{self.id}-{mark(trial, 8)}"
            run = self._begin(mode, name, trial, "trial", self.config | {"trial": trial})
            run.define_metric("*", step_metric="epoch")
            for step in range(run.step, len(mine)):
                run.log(_numbers(mine[step]), step=step)
            with _quiet(self.files):
                run.finish()


def _numbers(record: Mapping[str, Any]) -> dict[str, int | float]:
    return {name: value for name, value in record.items() if isinstance(value, int | float)}


def _number(text: str) -> float | str | None:
    """A cell of results.csv: a number, nothing, or the text that it is ("all")."""
    try:
        value = float(text or "nan")
    except ValueError:
        return text
    return value if np.isfinite(value) else None


@contextlib.contextmanager
def _quiet(files: Path) -> Iterator[None]:
    """Keeps W&B's remarks off the screen, its side files in the run folder and its error reports at home."""
    wanted = {"WANDB_SILENT": "true", "WANDB_CACHE_DIR": str(files / "cache"), "WANDB_DATA_DIR": str(files / "data")}
    wanted["WANDB_ERROR_REPORTING"] = os.environ.get("WANDB_ERROR_REPORTING", "false")
    before = {name: os.environ.pop(name, None) for name in wanted}
    os.environ.update(wanted)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
        sys.stderr.flush()
