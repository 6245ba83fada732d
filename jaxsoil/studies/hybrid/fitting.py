"""All models of the study, one after the other; a finished one is kept in the run folder and not trained again."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from jaxsoil.models import plsr
from jaxsoil.runs.keys import key_of
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.runs.tracking import Tracker
from jaxsoil.studies.hybrid.cross import RANDOM, Crossing, Part, Trainable
from jaxsoil.studies.hybrid.network import Output, train

CNN, CLIPPED, PLSR = "cnn", "cnn-clipped", "plsr"
"""Models by name: the network within bounds, the network that is clipped, partial least squares (clipped)."""

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Job:
    """One model that is fitted."""

    target: str
    part: Part
    method: str
    model: str
    member: int

    @property
    def name(self) -> str:
        """Name of its file: readable, and different for every job."""
        key = hashlib.sha256(json.dumps(dataclasses.astuple(self)).encode()).hexdigest()[:6]
        plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in self.part.name)[:24]
        return f"{self.target}-{self.part.scheme}-{plain}-{self.method}-{self.model}-{self.member}-{key}"

    @property
    def draw(self) -> str:
        """What its random key is made from: networks that are compared, bounded and clipped or by harmonisation,
        start and shuffle alike, and nothing depends on what else is fitted."""
        return f"{self.target}/{self.part.scheme}/{self.part.name}/{self.member}"


@dataclasses.dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions of all rows by every model.

    Attributes:
      values: (target, part, method, model) -> (members, n) on the learning scale, before clipping; networks that
        diverged are left out.
      history: one row for each network and epoch.
      networks: one row for each network: whether it is alive (did not diverge) and converged, epochs, rows.
      left_out: (target, part) -> row numbers that did not train because their spectrum is an outlier.
      seconds: time by kind of model, of this call.
    """

    values: dict[tuple[str, Part, str, str], Floats]
    history: pd.DataFrame
    networks: pd.DataFrame
    left_out: dict[tuple[str, Part], NDArray[np.int64]]
    seconds: dict[str, float]


def jobs(crossing: Crossing) -> list[Job]:
    """All models, in the order in which they are fitted."""
    config, found = crossing.config, []
    for part in crossing.parts:
        for method in crossing.methods:
            chosen = method == crossing.method
            for target in crossing.data.targets:
                if not crossing.possible(part, target):
                    continue
                found.append(Job(target, part, method, PLSR, 0))
                count = config.members if chosen else 0
                if part.scheme != RANDOM:
                    count = config.laboratory_members
                found += [Job(target, part, method, CNN, member) for member in range(count)]
                if config.clipped and chosen and part.scheme == RANDOM:
                    found.append(Job(target, part, method, CLIPPED, 0))
    return found


def fit_all(crossing: Crossing, folder: Path, tracker: Tracker) -> Predicted:
    """Fits what is not yet in ``folder`` and returns the predictions of all models.

    Args:
      crossing: the data with their folds.
      folder: of the finished models.
      tracker: takes the epochs of every network, and how many models are done.

    Raises:
      DataError: too few rows of a part, or a damaged file of a finished model.
    """
    pieces = Pieces(folder)
    values: dict[tuple[str, Part, str, str], list[Floats]] = {}
    histories, networks, left_out = [], [], {}
    seconds = {PLSR: 0.0, CNN: 0.0, CLIPPED: 0.0}
    todo = jobs(crossing)
    with tqdm(total=len(todo), desc="hybrid models", unit="model") as bar:
        for number, (job, harmonised, data) in enumerate(_with_data(crossing, todo), start=1):
            if job.method == crossing.method:
                left_out[job.target, job.part] = data.left_out
            there = pieces.exists(job.name)
            stored = pieces.get(job.name, functools.partial(_fit, crossing, job, harmonised, data))
            if not there:
                seconds[job.model] += stored.seconds
            if stored.facts.get("alive", True):  # PLSR does not diverge.
                values.setdefault((job.target, job.part, job.method, job.model), []).append(stored.arrays["predicted"])
            if job.model != PLSR:
                histories.append(_history(job, stored))
                networks.append(_summary(job, stored))
                _log(tracker, job, histories[-1])
            tracker.log({"models_done": number, "models": len(todo)})
            bar.update()
    return Predicted(
        {key: np.stack(members).astype(np.float64) for key, members in values.items()},
        pd.concat(histories, ignore_index=True) if histories else pd.DataFrame(),
        pd.DataFrame(networks),
        left_out,
        seconds,
    )


def _with_data(crossing: Crossing, todo: list[Job]) -> Iterator[tuple[Job, Floats, Trainable]]:
    """Jobs with harmonised spectra and training rows, which neighbours in the list share."""
    place, harmonised, trainable = None, np.empty((0, 0)), {}
    for job in todo:
        if (job.part, job.method) != place:
            place, trainable = (job.part, job.method), {}
            data = crossing.data
            harmonised = crossing.harmoniser(job.part, job.method)(data.values, data.laboratory)
        if job.target not in trainable:
            trainable[job.target] = crossing.trainable(job.part, job.target, harmonised)
        yield job, harmonised, trainable[job.target]


def _fit(crossing: Crossing, job: Job, values: Floats, data: Trainable) -> Piece:
    limits = crossing.data.ranges[job.target]
    target = limits.to_scale(crossing.data.observed(job.target))
    if job.model == PLSR:
        rows = np.concatenate([data.rows, data.watch])
        components = min(crossing.config.plsr_components, rows.size - 1, values.shape[1])
        predicted = plsr.fit(values[rows], target[rows], components).predict(values)
        return Piece({"predicted": predicted.astype(np.float32)})
    output: Output = "bounded" if job.model == CNN else "clipped"
    config = crossing.config
    label = f"{job.target} {job.part.name}"[:24]
    arguments = (limits, output, config.network, config.train, key_of(config.seed, job.draw), label)
    network = train(values, target, data.rows, data.watch, *arguments)
    facts = {
        "alive": bool(network.alive),
        "converged": bool(network.converged),
        "epochs": int(network.epochs),
        "rows": int(data.rows.size),
    }
    return Piece(
        arrays={"predicted": network.predict(values).astype(np.float32)},
        trees={"params": network.params, "constants": network.constants},
        tables={"history": pd.DataFrame(network.history)},
        facts=facts,
    )


def _history(job: Job, stored: Piece) -> pd.DataFrame:
    frame = stored.tables["history"]
    frame.insert(0, "epoch", np.arange(1, len(frame) + 1))
    for place, name in enumerate(("target", "method", "model", "member")):
        frame.insert(place, name, getattr(job, name))
    frame.insert(1, "scheme", job.part.scheme)
    frame.insert(2, "part", job.part.name)
    return frame.loc[np.isfinite(frame["validation_loss"].to_numpy())]


def _log(tracker: Tracker, job: Job, history: pd.DataFrame) -> None:
    """One record for each epoch; a model of an earlier call repeats its own, which the log leaves out."""
    shown: pd.DataFrame = history.loc[:, ["epoch", "loss", "validation_loss"]]
    for row in shown.to_dict("records"):
        tracker.log({"trial": job.name, **{str(name): value for name, value in row.items()}})


def _summary(job: Job, stored: Piece) -> dict[str, Any]:
    return {
        "target": job.target,
        "scheme": job.part.scheme,
        "part": job.part.name,
        "method": job.method,
        "model": job.model,
        "member": job.member,
        **stored.facts,
    }
