"""Fold models of one model, split and seed: trained once, kept in the run folder, found again when a run goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float64

from jaxsoil.runs.files import read_arrays, write_arrays
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
    path = folder / f"{group.label}.npz"
    if path.exists():
        return _read(path)
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
    outcome = Outcome(
        predict(prepared.windows)[fold, everyone],
        predict(probe) if len(probe) else np.empty((config.folds, 0, len(prepared.layers))),
        np.ones(members, bool) if trained is None else trained.alive,
        np.ones(members, bool) if trained is None else trained.converged,
        curves,
        {} if trained is None else trained.history,
    )
    _write(path, outcome, trained)
    return outcome


def predictor(group: Group, prepared: Prepared, config: LayersConfig, folder: Path) -> Predict:
    """The fold models of a finished group; forests, which are quick, are fitted again to the same trees."""
    if group.model not in NETWORKS:
        return _reference(group, prepared, config)
    return _network(group, prepared, config, _restore(folder / f"{group.label}.npz"))


def _reference(group: Group, prepared: Prepared, config: LayersConfig) -> Predict:
    models = references(group.model, group.split, group.seed, prepared, config)
    return lambda windows: np.stack([model.predict(windows) for model in models])


def _network(group: Group, prepared: Prepared, config: LayersConfig, trained: learn.Trained) -> Predict:
    loss = learn.loss_of(group.model, prepared, config)
    return lambda windows: learn.by_fold(
        group.model, learn.predict_members(loss, trained, windows), len(prepared.layers)
    )


def _write(path: Path, outcome: Outcome, trained: learn.Trained | None) -> None:
    arrays: dict[str, Any] = {
        name: getattr(outcome, name) for name in ("held_out", "probe", "alive", "converged", "curves")
    }
    arrays |= {f"history:{name}": values for name, values in outcome.history.items()}
    if trained is not None:
        arrays |= {f"own:{name}": values for name, values in trained.own.items()}
        for keys, leaf in jax.tree_util.tree_leaves_with_path(trained.params):
            arrays["params:" + "/".join(str(key.key) for key in keys)] = np.asarray(leaf)
    write_arrays(path, **arrays)


def _read(path: Path) -> Outcome:
    stored = _stored(path)
    fields = {name: stored[name] for name in ("held_out", "probe", "alive", "converged", "curves")}
    return Outcome(**fields, history=_part(stored, "history:"))


def _restore(path: Path) -> learn.Trained:
    stored, params = _stored(path), {}
    for name, leaf in _part(stored, "params:").items():
        *folders, last = name.split("/")
        place: dict[str, Any] = params
        for step in folders:
            place = place.setdefault(step, {})
        place[last] = leaf
    history = _part(stored, "history:")
    return learn.Trained(params, _part(stored, "own:"), stored["alive"], stored["converged"], history)


def _stored(path: Path) -> dict[str, np.ndarray]:
    return read_arrays(path, remedy="Delete this file and run again with --resume: it is trained anew.")


def _part(stored: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): values for name, values in stored.items() if name.startswith(prefix)}
