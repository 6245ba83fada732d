"""One run of an experiment in its folder: for the command line, a sweep in this process and a worker of Ray alike."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jaxsoil import experiments
from jaxsoil.experiments import Experiment
from jaxsoil.runs import lock, processes, progress
from jaxsoil.runs.compiled import keep_compiled
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.files import read_json, remove_unfinished, write_json
from jaxsoil.runs.folder import RunFolder, create, refuse_or_accept
from jaxsoil.sweep import points

FINISHED, FAILED, IN_USE, STOPPED = "finished", "failed", "in use", "stopped early"
"""What became of a point; "in use": another worker runs it; "stopped early": by ASHA, it can go on."""


def precision_of(config: Any) -> str:
    """Precision of matrix products in a run: that of the training where a configuration states it, else highest."""
    return getattr(getattr(config, "train", None), "precision", "highest")


def statement(run: RunFolder, config: Any) -> dict[str, Any]:
    """What config.json says of a run from its beginning."""
    content = {"experiment": run.experiment, "config": dataclasses.asdict(config)}
    return content | ({"folder": run.source} if run.source else {})


def execute(
    experiment: Experiment,
    config: Any,
    run: RunFolder,
    arguments: Sequence[str],
    *,
    resume: bool = False,
    overwrite: bool = False,
    wait: float = 0.0,
) -> None:
    """Runs a study in its folder, which no other worker may use meanwhile; no report is written.

    Args:
      experiment, config: what is run.
      run: where.
      arguments: words of the command that env.json records.
      resume, overwrite: what is done with an earlier run in the folder.
      wait: seconds to wait for another worker in the folder.

    Raises:
      UsageError: the folder may not be used (InUse: another worker runs it).
      DataError: the data are not what the study needs; then nothing has been written.
    """
    content = statement(run, config)
    if processes.leads():
        refuse_or_accept(run, content, resume, overwrite)
        if not wait:
            lock.refuse_running(run.path)
    keep_compiled()
    # Data come before the folder: bad input leaves no half-made run behind, and an earlier one untouched.
    study = experiment.study_module()
    data = study.prepare(config)
    precision = precision_of(config)
    from jaxsoil.training import floors
    from jaxsoil.training.devices import matmul_precision

    with contextlib.ExitStack() as stack:
        if processes.leads():
            stack.enter_context(lock.held(run.path, wait))
            # Another worker may have come and gone since.
            refuse_or_accept(run, content, resume, overwrite)
            if (run.path / "env.json").exists():  # else it is no run yet, and perhaps the folder of something else
                remove_unfinished(run.path)
            create(run, content, arguments, overwrite, precision)
            processes.ready()
        else:
            processes.wait_for_folder()
            refuse_or_accept(run, content, resume=True, overwrite=False)
        with matmul_precision(precision), progress.line(run.experiment):
            mark = floors.marked()
            study.run(config, run, data)
        if not processes.several():  # The seconds would be those of all, the steps those of one.
            _note_floors(run, mark, precision)


def _note_floors(run: RunFolder, mark: int, precision: str) -> None:
    """Adds what the trainings of this call reached to env.json, unless the study did so, stage by stage."""
    from jaxsoil.training import floors

    known = run.read_json("env.json")
    found = {} if "floors" in known else floors.reached(mark, precision)
    if found:
        run.write_json("env.json", known | {"floors": {"networks": found}})


@dataclasses.dataclass(frozen=True)
class Job:
    """A point of a sweep as plain text and numbers, so that any process on any host can run it.

    Args:
      sweep: the sweep's folder.
      experiment, experiments: name of the experiment and the folder of its file.
      size: "smoke", "paper" or "".
      words: fields of the command line that all points share.
      name, overrides: of the point.
      wandb: how its run is tracked.
      wait: seconds to wait for another worker in its folder.
    """

    sweep: str
    experiment: str
    experiments: str
    size: str
    words: tuple[str, ...]
    name: str
    overrides: Mapping[str, Any]
    wandb: Literal["auto", "offline", "online", "disabled"] = "auto"
    wait: float = 0.0

    @property
    def folder(self) -> Path:
        """The run folder of the point."""
        return Path(self.sweep) / "points" / self.name

    @property
    def record(self) -> Path:
        """The file that says what became of the point."""
        return self.folder.with_name(f"{self.name}.json")

    @property
    def run(self) -> RunFolder:
        """The run folder of the point, as studies take it."""
        source = experiments.own_folder(Path(self.experiments))
        return RunFolder(self.folder, self.experiment, self.wandb, source, group=Path(self.sweep).name)

    def configured(self) -> tuple[Experiment, Any]:
        """The experiment, and the configuration of the point."""
        experiment = experiments.load(self.experiment, Path(self.experiments))
        config = experiments.configure(experiment, self.experiment, self.size, list(self.words))
        for field, value in self.overrides.items():
            config = points.with_field(config, field, value)
        return experiment, config

    @property
    def command(self) -> list[str]:
        """Words of the command that runs this point alone."""
        size = [f"--{self.size}"] if self.size else []
        return ["--exp", self.experiment, *size, *self.words, *points.words(self.overrides)]


def status(job: Job) -> dict[str, Any]:
    """What became of a point; empty where no worker has come to its end."""
    try:
        said = read_json(job.record)
    except (FileNotFoundError, DataError):  # A damaged record says nothing: the point goes on where it was.
        return {}
    finished = said.get("status") == FINISHED and not (job.folder / "results.csv").is_file()
    return {} if finished else said


def run_job(job: Job) -> dict[str, Any]:
    """Runs a point, or goes on with it, and records what became of it; what is finished is not run again.

    Returns:
      Its record: status, error, seconds of this attempt, host, number of attempts, and the points that its networks
      were trained with in programs that they share (:mod:`jaxsoil.sweep.sharing`), in seconds that are not its own.

    Raises:
      OSError: the disk refused a file.
    """
    before = status(job)
    if before.get("status") == FINISHED:
        return before
    experiment, config = job.configured()
    began, said = time.monotonic(), {"status": FINISHED, "error": ""}
    try:
        execute(experiment, config, job.run, job.command, resume=True, wait=job.wait)
    except lock.InUse as error:
        return {"status": IN_USE, "error": str(error)}
    except OSError:
        raise
    except Exception as error:
        text = str(error) if isinstance(error, DataError | UsageError) else f"{type(error).__name__}: {error}"
        said = {"status": FAILED, "error": text, "traceback": traceback.format_exc()}
    attempts = int(before.get("attempts", 0)) + 1
    said |= {"seconds": round(time.monotonic() - began, 3), "host": socket.gethostname(), "attempts": attempts}
    with contextlib.suppress(DataError, FileNotFoundError):  # A damaged one is what the point has failed of.
        said |= {"shared": job.run.read_json("env.json").get("shared", {}).get("points", 0)}
    write_json(job.record, said)
    return said
