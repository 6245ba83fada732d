"""Fold models of one model, split and seed: trained once, kept in the run folder, found again when a run goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64

from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.studies.layers import learn
from jaxsoil.studies.layers.config import NETWORKS, LayersConfig
from jaxsoil.studies.layers.forest import references
from jaxsoil.studies.layers.prepare import Prepared

Predict = Callable[[np.ndarray], np.ndarray]
"""(t, w, w, c) windows -> (folds, t, layers) on the scale of learning, NaN from members that diverged."""


@dataclasses.dataclass(frozen=True)
class Group:
    """What is trained together."""

    model: str
    split: str
    seed: int

    @property
    def label(self) -> str:
        """Name in files and progress bars."""
        return f"{self.model}-{self.split}-{self.seed}"


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a group leaves.

    Attributes:
      held_out: (n, layers) prediction of every site by the fold model that did not see it, on the scale of learning.
      probe: (folds, t, layers) predictions at pixels of a landscape whose truth is known; t is 0 elsewhere.
      alive, converged: members that did not diverge, and that stopped by patience or on a plateau.
      curves: (n, 3) coefficients of the depth function of held-out sites; empty for other models.
      history: tables (members, epochs).
    """

    held_out: Float64[np.ndarray, "n l"]
    probe: Float64[np.ndarray, "k t l"]
    alive: Bool[np.ndarray, " s"]
    converged: Bool[np.ndarray, " s"]
    curves: np.ndarray
    history: dict[str, np.ndarray]


def groups(config: LayersConfig) -> list[Group]:
    """All groups of a study; the mean of a layer has no seed."""
    return [
        Group(model, split, seed)
        for split in config.splits
        for model in config.models
        for seed in range(config.seeds if model != "mean" else 1)
    ]


def finish(group: Group, prepared: Prepared, config: LayersConfig, folder: Path, probe: np.ndarray) -> Outcome:
    """Trains a group, or reads what an earlier run left of it; a file appears only when all of it is there."""
    piece = Pieces(folder).get(group.label, lambda: _train(group, prepared, config, probe))
    return Outcome(**piece.arrays, history=piece.trees["history"])


def _train(group: Group, prepared: Prepared, config: LayersConfig, probe: np.ndarray) -> Piece:
    if group.model not in NETWORKS:
        predict, trained = _reference(group, prepared, config), None
    else:
        trained = learn.train(group.model, group.split, group.seed, prepared, config)
        predict = _network(group, prepared, config, trained)
    fold, everyone = prepared.folds[group.split], np.arange(len(prepared.sites))
    members = 1 if trained is None else trained.alive.size
    curves = np.empty((0, 3))
    if trained is not None and group.model == "profile":
        loss = learn.loss_of("profile", prepared, config)
        curves = learn.curves_of(loss, trained, prepared.windows)[fold, everyone]
    arrays = {
        "held_out": predict(prepared.windows)[fold, everyone],
        "probe": predict(probe) if len(probe) else np.empty((config.folds, 0, len(prepared.layers))),
        "alive": np.ones(members, bool) if trained is None else trained.alive,
        "converged": np.ones(members, bool) if trained is None else trained.converged,
        "curves": curves,
    }
    if trained is None:
        return Piece(arrays, {"history": {}})
    return Piece(arrays, {"history": trained.history, "params": trained.params, "own": trained.own})


def predictor(group: Group, prepared: Prepared, config: LayersConfig, folder: Path) -> Predict:
    """The fold models of a finished group; forests, which are quick, are fitted again to the same trees."""
    if group.model not in NETWORKS:
        return _reference(group, prepared, config)
    return _network(group, prepared, config, _restore(Pieces(folder).read(group.label)))


def _reference(group: Group, prepared: Prepared, config: LayersConfig) -> Predict:
    models = references(group.model, group.split, group.seed, prepared, config)
    return lambda windows: np.stack([model.predict(windows) for model in models])


def _network(group: Group, prepared: Prepared, config: LayersConfig, trained: learn.Trained) -> Predict:
    loss = learn.loss_of(group.model, prepared, config)
    return lambda windows: learn.by_fold(
        group.model, learn.predict_members(loss, trained, windows), len(prepared.layers)
    )


def _restore(piece: Piece) -> learn.Trained:
    trees, arrays = piece.trees, piece.arrays
    return learn.Trained(trees["params"], trees["own"], arrays["alive"], arrays["converged"], trees["history"])
