"""All models of the study, one after the other; a finished one is kept in the run folder and not trained again."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.models import plsr
from jaxsoil.runs import progress
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.keys import key_of, mark
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.runs.tracking import Tracker
from jaxsoil.studies.hybrid.cross_fit import RANDOM, CrossFit, HeldOut, TrainingRows
from jaxsoil.studies.hybrid.network import Output, train

CNN, CLIPPED, PLSR = "cnn", "cnn-clipped", "plsr"
"""Models by name: the network within bounds, the network that is clipped, partial least squares (clipped)."""

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class ModelFit:
    """One model that is fitted: of a property, without the rows that are held out, after a harmonisation.

    ``member`` numbers the networks of an ensemble.
    """

    target: str
    held_out: HeldOut
    method: str
    model: str
    member: int

    @property
    def name(self) -> str:
        """Name of its file: readable, and different for every fit."""
        key = mark(json.dumps(dataclasses.astuple(self)), 6)
        plain = "".join(c if c.isalnum() or c in "-_" else "_" for c in self.held_out.name)[:24]
        return f"{self.target}-{self.held_out.scheme}-{plain}-{self.method}-{self.model}-{self.member}-{key}"

    @property
    def columns(self) -> dict[str, object]:
        """What names the fit in history.csv and networks.csv."""
        held = self.held_out
        return {
            "property": self.target, "scheme": held.scheme, "held_out": held.name,
            "harmonisation": self.method, "model": self.model, "member": self.member,
        }  # fmt: skip

    def key(self, seed: int) -> jax.Array:
        """Its random key.

        Networks that are compared, bounded and clipped or by harmonisation, start and shuffle alike, and the key of a
        fit depends on nothing else that is fitted.
        """
        return key_of(seed, f"{self.target}/{self.held_out.scheme}/{self.held_out.name}/{self.member}")


@dataclasses.dataclass(frozen=True, eq=False)
class ModelPredictions:
    """Predictions of all rows by every model.

    Attributes:
      values: (target, held out, method, model) -> (members, n) on the learning scale, before clipping; networks that
        diverged are left out.
      history: one row for each network and epoch.
      networks: one row for each network: whether it is alive (did not diverge) and converged, epochs, rows.
      outliers: (target, held out) -> row numbers that did not train because their spectrum is an outlier.
      seconds: time by kind of model, of this call.
    """

    values: dict[tuple[str, HeldOut, str, str], Floats]
    history: pd.DataFrame
    networks: pd.DataFrame
    outliers: dict[tuple[str, HeldOut], NDArray[np.int64]]
    seconds: dict[str, float]

    def ensemble(self, target: str, held_out: HeldOut, method: str, model: str) -> Floats | None:
        """Mean prediction of the members, (n,) on the learning scale; None where none is left."""
        members = self.values.get((target, held_out, method, model))
        return None if members is None else members.mean(axis=0)

    def random_outliers(self, target: str) -> list[NDArray[np.int64]]:
        """Row numbers that did not train because their spectrum is an outlier, for each random fold."""
        return [rows for (name, held), rows in self.outliers.items() if name == target and held.scheme == RANDOM]


def model_fits(cross_fit: CrossFit) -> list[ModelFit]:
    """All models, in the order in which they are fitted."""
    config, found = cross_fit.config, []
    for held in cross_fit.held_out:
        for method in cross_fit.methods:
            chosen = method == cross_fit.method
            for target in cross_fit.data.targets:
                if not cross_fit.can_learn(held, target):
                    continue
                found.append(ModelFit(target, held, method, PLSR, 0))
                count = config.members if chosen else 0
                if held.scheme != RANDOM:
                    count = config.laboratory_members
                found += [ModelFit(target, held, method, CNN, member) for member in range(count)]
                if config.clipped and chosen and held.scheme == RANDOM:
                    found.append(ModelFit(target, held, method, CLIPPED, 0))
    return found


def fit_all(cross_fit: CrossFit, folder: Path, tracker: Tracker) -> ModelPredictions:
    """Fits what is not yet in ``folder`` and returns the predictions of all models.

    Args:
      cross_fit, folder: the data with their folds; where the finished models are.
      tracker: takes the epochs of every network, and how many models are done.

    Raises:
      DataError: too few training rows, predictions that are not finite, or a damaged file of a finished model.
    """
    pieces = Pieces(folder)
    values: dict[tuple[str, HeldOut, str, str], list[Floats]] = {}
    histories, networks, outliers = [], [], {}
    seconds = {PLSR: 0.0, CNN: 0.0, CLIPPED: 0.0}
    wanted = model_fits(cross_fit)
    progress.expect(Counter(fit.model for fit in wanted), unit="models")
    for number, (fit, harmonised, rows) in enumerate(_with_data(cross_fit, wanted), start=1):
        if fit.method == cross_fit.method:
            outliers[fit.target, fit.held_out] = rows.outliers
        there = pieces.exists(fit.name)
        stored = pieces.get(fit.name, functools.partial(_fit, cross_fit, fit, harmonised, rows))
        if not there:
            seconds[fit.model] += stored.seconds
        if stored.facts.get("alive", True):  # PLSR does not diverge.
            predicted = stored.arrays["predicted"]
            if not np.isfinite(predicted).all():
                source = f"{fit.target}, {fit.held_out.name}, {fit.method}, {fit.model}"
                remedy = "Lower the learning rate (--train.lr)."
                raise DataError("a model returned predictions that are not finite", source=source, remedy=remedy)
            values.setdefault((fit.target, fit.held_out, fit.method, fit.model), []).append(predicted)
        if fit.model != PLSR:
            losses = stored.tables["history"]
            losses.insert(0, "epoch", np.arange(1, len(losses) + 1))
            losses = losses.loc[np.isfinite(losses["loss"].to_numpy())]
            # A model of an earlier call repeats its epochs, which the log leaves out.
            for row in losses.to_dict("records"):
                tracker.log({"trial": fit.name, **{str(name): value for name, value in row.items()}})
            histories.append(losses.assign(**fit.columns)[[*fit.columns, *losses.columns]])
            networks.append({**fit.columns, **stored.facts})
        tracker.log({"models_done": number, "models": len(wanted)})
        progress.reach(fit.model, fit.name, kept=there)
    stacked = {key: np.stack(members).astype(np.float64) for key, members in values.items()}
    history = pd.concat(histories, ignore_index=True) if histories else pd.DataFrame()
    return ModelPredictions(stacked, history, pd.DataFrame(networks), outliers, seconds)


def _with_data(cross_fit: CrossFit, wanted: list[ModelFit]) -> Iterator[tuple[ModelFit, Floats, TrainingRows]]:
    """Fits with harmonised spectra and training rows, which neighbours in the list share."""
    place, harmonised, rows = None, np.empty((0, 0)), {}
    data = cross_fit.data
    for fit in wanted:
        if (fit.held_out, fit.method) != place:
            place, rows = (fit.held_out, fit.method), {}
            harmonised = cross_fit.harmoniser(fit.held_out, fit.method)(data.values, data.laboratory)
        if fit.target not in rows:
            rows[fit.target] = cross_fit.training_rows(fit.held_out, fit.target, harmonised)
        yield fit, harmonised, rows[fit.target]


def _fit(cross_fit: CrossFit, fit: ModelFit, values: Floats, data: TrainingRows) -> Piece:
    limits, config = cross_fit.data.ranges[fit.target], cross_fit.config
    target = limits.to_scale(cross_fit.data.observed(fit.target))
    if fit.model == PLSR:
        rows = np.concatenate([data.rows, data.watch])
        components = min(config.plsr_components, rows.size - 1, values.shape[1])
        predicted = plsr.fit(values[rows], target[rows], components).predict(values)
        return Piece({"predicted": predicted.astype(np.float32)})
    output: Output = "bounded" if fit.model == CNN else "clipped"
    label = f"{fit.target} {fit.held_out.name}"[:24]
    arguments = (limits, output, config.network, config.train, fit.key(config.seed), label)
    network = train(values, target, data.rows, data.watch, *arguments)
    facts = {"alive": bool(network.alive), "converged": bool(network.converged)}
    facts |= {"epochs": int(network.epochs), "rows": int(data.rows.size)}
    predicted, trees = network.predict(values), {"params": network.params, "constants": network.constants}
    tables = {"history": pd.DataFrame(network.history)}
    return Piece({"predicted": predicted.astype(np.float32)}, trees, tables, facts)
