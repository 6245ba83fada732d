"""What happened while a study ran: a log in its run folder, and a mirror of it in Weights & Biases.

``log.jsonl``, one JSON object per line, is the source of truth. It is only ever appended to, survives ``kill -9``
up to the line being written, and a resumed study continues it. Weights & Biases (W&B) is rebuilt from it and from the
folder's other files: offline when the study ends, online while it runs, and again when the report is written
(:mod:`jaxsoil.runs.mirror`). Whatever goes wrong with either, the study goes on.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from jaxsoil.runs.errors import DataError, UsageError, did_you_mean
from jaxsoil.runs.mirror import INPUTS, Inputs, Mirror

LOG_NAME = "log.jsonl"

Mode = Literal["auto", "offline", "online", "disabled"]
MODES: tuple[Mode, ...] = ("auto", "offline", "online", "disabled")


def start(
    run_folder: str | os.PathLike[str],
    mode: Mode = "auto",
    config: Mapping[str, Any] | None = None,
    *,
    group: str = "",
    inputs: Inputs | None = None,
) -> Tracker:
    """Opens the log of a run folder, new or resumed, and its mirror.

    A record that an interrupted session already wrote is not written again when the resumed one repeats it:
    records are the same if they agree in all that is not a floating-point number (trial, epoch, ...).

    Args:
      run_folder: an existing folder; the log and all files of W&B go into it.
      mode: "auto" obeys WANDB_MODE, else is "online" if WANDB_API_KEY is set and "offline" if not.
      config: settings of the study, shown by W&B.
      group: under which W&B shows the run; the folder's name by default.
      inputs: a few spectra, shown by W&B at step 0.

    Raises:
      UsageError: for an unknown mode.
      DataError: if an existing log is damaged other than by a half-written last line.
    """
    folder, resolved = Path(run_folder), resolve_mode(mode)
    if inputs is not None and resolved != "disabled":
        inputs.write(folder / "wandb" / INPUTS)
    return Tracker(folder, resolved, plain(config or {}), group)


def complete(run_folder: str | os.PathLike[str], mode: Mode, config: Mapping[str, Any], group: str = "") -> None:
    """Mirrors a finished run once more, with the figures of its report; arguments as of :func:`start`."""
    resolved = resolve_mode(mode)
    if resolved != "disabled":
        Tracker(Path(run_folder), resolved, plain(config), group).finish(trials=False)


def resolve_mode(mode: str) -> Literal["offline", "online", "disabled"]:
    """Turns "auto" into what the environment asks for."""
    if mode not in MODES:
        raise UsageError(f"Unknown tracking mode '{mode}'. {did_you_mean(mode, MODES)}")
    wished = os.environ.get("WANDB_MODE", "") if mode == "auto" else mode
    if wished in ("offline", "online", "disabled"):
        return wished
    return "online" if os.environ.get("WANDB_API_KEY") else "offline"


def read_log(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the records of a ``log.jsonl``, or an empty list if there is none.

    A half-written last line, as ``kill -9`` leaves it, is left out.

    Raises:
      DataError: if any other line is not a JSON object.
    """
    source, records = Path(path), []
    lines = source.read_bytes().split(b"\n")[:-1] if source.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            value = line.decode("utf-8", "replace")
            remedy = "Delete that line; the log informs, no result is computed from it."
            raise DataError(f"line {number} is not a JSON object", source=source, value=value, remedy=remedy)
        records.append(record)
    return records


class Tracker:
    """Where a study says what it is doing; also a context manager that finishes at its end.

    The mirror is one W&B run, always filled from the log: the number of a line in the log is its step in W&B.
    Failures of the log or of the mirror are reported once and stop nothing.
    """

    def __init__(
        self, folder: Path, mode: Literal["offline", "online", "disabled"], config: Mapping[str, Any], group: str = ""
    ) -> None:
        self._mode: Literal["offline", "online", "disabled"] = mode
        self._warned: set[str] = set()
        self._mirror = Mirror(folder, config, group)
        path = folder / LOG_NAME
        self._records = read_log(path)
        self._earlier = {_identity(record) for record in self._records}
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by finish()
        self._file.truncate(path.read_bytes().rfind(b"\n") + 1)
        if mode == "online":
            with self._guard("W&B (online)"):
                self._mirror.open("online", self._records)

    def log(self, record: Mapping[str, Any]) -> None:
        """Adds one record, e.g. ``{"trial": "ann/geeves/0", "epoch": 10, "train_loss": 0.3}``.

        One that an earlier session wrote already is left out.
        """
        line = plain(record)
        if _identity(line) in self._earlier:
            return
        with self._guard(LOG_NAME):
            data = json.dumps(line, allow_nan=False).encode() + b"\n"
            whole = os.fstat(self._file.fileno()).st_size
            try:
                if self._file.write(data) != len(data):
                    raise OSError("the disk took only part of a line")
            except OSError:
                with contextlib.suppress(OSError):
                    self._file.truncate(whole)
                raise
            self._records.append(line)
            with self._guard("W&B"):
                self._mirror.add(line, len(self._records) - 1)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Adds values that describe the whole study; later values replace earlier ones of the same name."""
        self.log({"summary": dict(values)})

    def finish(self, *, trials: bool = True) -> None:
        """Closes the log and completes the mirror, with a W&B run for each trial; nothing can be added afterwards."""
        self._file.close()
        mode, self._mode = self._mode, "disabled"
        if mode != "disabled":
            with self._guard("W&B"):
                # Offline, and the way out when the server could not be reached: a mirror on disk can be synced later.
                self._mirror.close(mode if self._mirror.run is not None else "offline", self._records, trials)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.finish()

    @contextlib.contextmanager
    def _guard(self, part: str) -> Iterator[None]:
        # Exception, not only OSError: no error inside W&B may cost a study its results.
        try:
            yield
        except Exception as error:
            if part not in self._warned:
                self._warned.add(part)
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                warnings.warn(f"{part} failed and the study goes on without it: {reason}", stacklevel=4)


class Silent:
    """A tracker that keeps nothing: of a process whose run another one tracks."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Does nothing."""


def plain(value: Any) -> Any:
    """Turns a value into what JSON can hold: NumPy and JAX numbers into Python's, NaN and infinity into None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def _identity(record: Mapping[str, Any]) -> str:
    """What a record is about: everything in it but measurements, which are floating-point numbers or missing.

    A summary is about its values: one that changes them is news.
    """

    def about(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: about(item) for key, item in value.items()}
        return None if isinstance(value, float) else value

    return json.dumps(record if "summary" in record else about(record), sort_keys=True)
