"""Points of a sweep that are stopped early where others do better: ASHA of Li et al. (2020), on Ray Tune.

A point is a process of its own, which says how far it is and what its watched loss is; points are compared at the same
share of their trainings and the worse ones stopped (:func:`stops`). What was compared lies in the points' folders, so
that a sweep that goes on compares with all of it. A stopped point keeps its checkpoints and goes on where it was when
it is run again. The loss is that of training rows that were set aside (``train.validation_share``); scores of held-out
data are not read, so that what is stopped is not chosen by them.

Li et al. (2020), A system for massively parallel hyperparameter tuning, arXiv:1810.05934, Algorithm 2.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxsoil.runs import progress
from jaxsoil.runs import stop as stopping
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.files import read_json, write_json
from jaxsoil.runs.tracking import LOG_NAME, read_log
from jaxsoil.sweep.execute import FAILED, FINISHED, STOPPED, Job, run_job, status

PERCENT, LOSS, RECORD = "percent", "loss", "record"
"""Keys of what a point says: how much of it is done, its watched loss, and at its end its record."""

MILESTONES, FACTOR, ALL = (10, 30, 90), 3, 100
"""A point is compared when so many % of it are done; of three about one goes on."""

RUNGS = "rungs.json"
"""File of a point's run folder: by milestone its loss there, and whether it was stopped by it."""

LOOK = 1.0
"""Seconds between two looks at how far a point is."""

DIVERGED = 1e30
"""Loss of a training that is not finite: the worst, and a number that a percentile can be taken of."""

OTHER_LOSS = ("data", "axis", "networks", "loss", "seeds", "targets", "beta", "folds", "members")
"""Fields, by the last part of their name, with which the loss is another quantity or that of other trainings; so it is
with those of the twin and with the standard errors in it (``sigma_...``)."""


def require_comparable(fields: Iterable[str]) -> None:
    """Raises UsageError where the points of a sweep differ in what their loss is.

    Args:
      fields: dotted names of those that differ.
    """
    for field in fields:
        last = field.rpartition(".")[2]
        if last in OTHER_LOSS or last.startswith("sigma_") or field.startswith("twin."):
            raise UsageError(
                f"--asha compares points by their loss, and points that differ in '{field}' have losses of different "
                "things: leave --asha out, or sweep over width, rates or steps."
            )


def watched_loss(records: Iterable[Mapping[str, Any]]) -> float | None:
    """Mean over the trainings that have begun of the lowest validation loss of each; None where there is none yet.

    Args:
      records: of a run's log.jsonl; those with "trial" and "validation_loss" are read.
    """
    lowest: dict[str, float] = {}
    for record in records:
        if "trial" in record and "validation_loss" in record:
            loss, name = record["validation_loss"], str(record["trial"])
            lowest[name] = min(lowest.get(name, DIVERGED), DIVERGED if loss is None else float(loss))
    return sum(lowest.values()) / len(lowest) if lowest else None


def stops(folders: Iterable[Path], own: Path, percent: float, loss: float) -> bool:
    """Whether a point is to be stopped, by what it and the others had at the last milestone that it has come to.

    It is compared with the points that came there before it, in this call or an earlier one, and stopped if its loss is
    above the 1 / :data:`FACTOR` quantile of theirs; the first to come goes on. That is said once for each milestone and
    kept (:data:`RUNGS`): a point that was killed and has come there again is told the same.

    Args:
      folders: run folders of all points of the sweep.
      own: that of this point.
      percent, loss: how much of it is done, and its watched loss; one that is not finite is not compared.
    """
    import numpy as np

    known, here = _rungs(own), max((milestone for milestone in MILESTONES if percent >= milestone), default=0)
    last = max(known, default=0)
    if here <= last or not math.isfinite(loss) or not own.is_dir():
        return last > 0 and here == last and known[last]["stops"]
    losses = [rungs[here]["loss"] for rungs in map(_rungs, folders) if here in rungs]
    worse = bool(losses) and loss > float(np.quantile(losses, 1 / FACTOR))
    write_json(own / RUNGS, known | {here: {"loss": loss, "stops": worse}})
    return worse


def _rungs(folder: Path) -> dict[int, dict[str, Any]]:
    try:
        return {int(milestone): said for milestone, said in read_json(folder / RUNGS).items()}
    except (FileNotFoundError, DataError):  # What is damaged is compared anew.
        return {}


class Watched:
    """A point that runs in a process of its own.

    Args:
      job: the point.
      folder: where the process works; this one's folder where there is no such one on this host.
    """

    def __init__(self, job: Job, folder: str = "") -> None:
        words = [sys.executable, "-m", "jaxsoil.sweep.asha", json.dumps(dataclasses.asdict(job))]
        paths = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        where = folder if folder and Path(folder).is_dir() else None
        self.process = subprocess.Popen(words, **pipes, text=True, env=paths, cwd=where)
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.said: dict[str, Any] = {PERCENT: 0.0, LOSS: math.nan}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def next(self) -> dict[str, Any]:
        """Waits for the next that the point says; with :data:`RECORD`, as JSON, when it has come to its end.

        Raises:
          RuntimeError: its process ended and did not say what became of the point.
        """
        while (line := self.lines.get()) is not None:
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                if isinstance(told, dict) and told.keys() & {PERCENT, RECORD}:
                    self.said |= told
                    return dict(self.said)
        raise RuntimeError(f"the process of the point ended with status {self.process.wait()}")

    def end(self) -> None:
        """Ends the process if it runs; it keeps its state first."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(stopping.GRACE + 4.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def stopped_record(job: Job, said: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a point that was stopped, from the last that it said."""
    text = f"stopped by ASHA at {said[PERCENT]:.0f} % with a validation loss of {said[LOSS]:.4g}"
    attempts = int(status(job).get("attempts", 0)) + 1
    return {
        "status": STOPPED, "error": text, "seconds": round(float(said.get("time_total_s", math.nan)), 3),
        "attempts": attempts, PERCENT: said[PERCENT], LOSS: said[LOSS],
    }  # fmt: skip


def drive(jobs: Sequence[Job], settings: Any, tell: Callable[[Job, dict[str, Any]], None]) -> None:
    """Runs the points by Ray Tune, whose cluster this process is connected with, and tells what became of each.

    Args:
      jobs: the points.
      settings: :class:`jaxsoil.sweep.on_ray.Settings`.
      tell: called with each point and its record, which is then written.
    """
    # Tune's own logs, and its folder of a point as working directory, are of no use: a run folder has all.
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0"}
    os.environ |= {"TUNE_DISABLE_STRICT_METRIC_CHECKING": "1", "TUNE_MAX_PENDING_TRIALS_PG": str(len(jobs))}
    from ray import tune  # pyright: ignore[reportMissingImports]
    from ray.tune.schedulers import FIFOScheduler  # pyright: ignore[reportMissingImports]

    by_name, here, sweep = {job.name: job for job in jobs}, os.getcwd(), Path(jobs[0].sweep)
    every = [dataclasses.replace(jobs[0], name=one["name"]).folder for one in read_json(sweep / "sweep.json")["points"]]

    class Point(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.watched = Watched(by_name[config["point"]], here)

        def step(self) -> dict[str, Any]:
            said = self.watched.next()
            return said | {"done": RECORD in said}

        def cleanup(self) -> None:
            self.watched.end()

    class Told(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            job, said = by_name[trial.config["point"]], trial.last_result
            if RECORD in said:
                record = json.loads(said[RECORD])
            else:
                record = stopped_record(job, said)
                write_json(job.record, record)
            tell(job, record)

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            lines = str(trial.error_file and Path(trial.error_file).read_text("utf-8")).strip().splitlines()
            error = f"{lines[-1][:200] if lines else 'its process was lost'} ({settings.retries} retries)"
            tell(by_name[trial.config["point"]], {"status": FAILED, "error": error})

    class Compared(FIFOScheduler):
        def on_trial_result(self, tune_controller: Any, trial: Any, result: Any) -> str:
            own = by_name[trial.config["point"]].folder
            return self.STOP if stops(every, own, result[PERCENT], result[LOSS]) else self.CONTINUE

        def on_trial_complete(self, tune_controller: Any, trial: Any, result: Any) -> None:
            # Others are compared with it: it has come to its end, which one that failed or is in use elsewhere has not.
            if json.loads(result.get(RECORD, "{}")).get("status") == FINISHED:
                self.on_trial_result(tune_controller, trial, result)

    storage = sweep.absolute() / f".tune-{os.urandom(3).hex()}"  # Of this driver: another may run other points.
    try:
        tune.Tuner(
            tune.with_resources(Point, {"cpu": settings.cpus, "gpu": settings.gpus}),
            param_space={"point": tune.grid_search(list(by_name))},
            tune_config=tune.TuneConfig(scheduler=Compared()),
            run_config=tune.RunConfig(
                name="points", storage_path=str(storage), callbacks=[Told()], verbose=0,
                failure_config=tune.FailureConfig(max_failures=settings.retries),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()  # fmt: skip
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def main() -> None:
    """The process of a point, which is ended with the one that started it: says how far it is, then its record."""
    said = json.loads(sys.argv[1])
    job, ended = Job(**{**said, "words": tuple(said["words"])}), threading.Event()

    def say(**content: Any) -> None:
        print(json.dumps(content), flush=True)

    def tell() -> None:
        while not ended.wait(LOOK):
            with contextlib.suppress(DataError, OSError):
                loss = watched_loss(read_log(job.folder / LOG_NAME))
                if loss is not None:
                    say(**{PERCENT: min(100.0 * progress.share(), ALL - 1.0), LOSS: loss})

    threading.Thread(target=tell, daemon=True).start()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with stopping.caught():
            record = run_job(job)
    except stopping.Terminated:
        sys.exit(stopping.STATUS)
    ended.set()
    say(**{PERCENT: float(ALL), RECORD: json.dumps(record)})


def _end_with_parent() -> None:
    """Asks this process to end when nobody holds the other end of its input any more."""
    # Not by sys.stdin, whose lock a thread that waits holds when Python ends.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
