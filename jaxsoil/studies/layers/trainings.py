"""Trainings of the study: each is made once, kept in the run folder, and read again when a run goes on.

References without a network are the mean of a layer, and random forests on covariates at the site.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Float64

from jaxsoil.models import forest
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.studies.layers import learn
from jaxsoil.studies.layers.config import NETWORKS, LayersConfig
from jaxsoil.studies.layers.prepare import LayersData

T = TypeVar("T")
K = TypeVar("K")

INNER = -1
"""Stands for the seed in the names of trainings of the inner cross-validation."""

Predict = Callable[[np.ndarray], np.ndarray]
"""(t, w, w, c) windows -> (folds, t, layers) on the scale of learning, NaN from members that diverged."""


@dataclasses.dataclass(frozen=True)
class Training:
    """One model under one split with one seed; the models of all folds are trained together."""

    model: str
    split: str
    seed: int

    @property
    def label(self) -> str:
        """Name in files and progress bars."""
        return f"{self.model}-{self.split}-{self.seed if self.seed != INNER else 'inner'}"


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingResult:
    """Predictions of the fold models of one training, and how their training went.

    Attributes:
      held_out: (n, layers) prediction of every site by the fold model that did not see it, on the scale of learning.
      probe: (folds, t, layers) predictions at pixels of a landscape whose truth is known; t is 0 elsewhere.
      alive, converged: members that did not diverge, and that stopped by patience or on a plateau.
      curves: (n, 3) coefficients of the depth function of held-out sites; empty for other models.
      history: tables (members, epochs) by "stage/loss" and so on.
    """

    held_out: Float64[np.ndarray, "n l"]
    probe: Float64[np.ndarray, "k t l"]
    alive: Bool[np.ndarray, " s"]
    converged: Bool[np.ndarray, " s"]
    curves: np.ndarray
    history: dict[str, np.ndarray]

    @property
    def stages(self) -> dict[str, dict[str, np.ndarray]]:
        """Stage of the training -> loss -> (members, epochs); NaN in epochs that a member did not train in."""
        stages: dict[str, dict[str, np.ndarray]] = {}
        for name, values in self.history.items():
            stage, loss = name.split("/")
            stages.setdefault(stage, {})[loss] = values
        return stages


def trainings(config: LayersConfig) -> list[Training]:
    """All trainings of a study; the mean of a layer has no seed."""
    return [
        Training(model, split, seed)
        for split in config.splits
        for model in config.models
        for seed in range(config.seeds if model != "mean" else 1)
    ]


def in_parallel(chains: Sequence[Mapping[K, Callable[[], T]]], *, alike: bool = False) -> dict[K, Future[T]]:
    """Starts chains of named calls, each in its own order and two chains at a time; returns their results to come.

    A network's program keeps one core of a CPU busy. After an error no further call is started; the results that are
    then missing raise the same error.

    Args:
      chains: the calls.
      alike: the chains end with the same kinds of calls, and the first has all of them: a call of another chain waits
        for that of the first, whose compiled program it then finds. Otherwise both would compile it at the same time.
    """
    results, failed = {name: Future() for chain in chains for name in chain}, []
    first = [*chains[0]] if alike and chains else []

    def follow(chain: Mapping[K, Callable[[], T]]) -> None:
        for place, (name, call) in enumerate(chain.items(), start=len(first) - len(chain)):
            try:
                if alike and chain is not chains[0]:
                    wait([results[first[place]]])
                if failed:
                    raise failed[0]
                results[name].set_result(call())
            except BaseException as error:  # handed on to whoever waits for the result
                failed.append(error)
                results[name].set_exception(error)

    pool = ThreadPoolExecutor(2)
    for chain in chains:
        pool.submit(follow, chain)
    pool.shutdown(wait=False)
    return results


def train_or_read(
    training: Training, data: LayersData, config: LayersConfig, folder: Path, probe: np.ndarray
) -> TrainingResult:
    """Result of a training: trained and written to ``folder``, or read from there where an earlier run finished it."""
    piece = Pieces(folder).get(training.label, lambda: _train(training, data, config, folder, probe))
    return TrainingResult(**piece.arrays, history=piece.trees["history"])


def _train(training: Training, data: LayersData, config: LayersConfig, folder: Path, probe: np.ndarray) -> Piece:
    fold, everyone = data.folds[training.split], np.arange(len(data.sites))
    held = learn.held_out_rows(fold, config.folds)
    alive, curves, trees = np.ones(1, bool), np.empty((0, 3)), {"history": {}}
    converged = alive
    if training.model not in NETWORKS:
        predict = reference(training.model, training.seed, held, data, config)
    else:
        base = None
        if training.model in learn.GOES_ON:
            before = dataclasses.replace(training, model=learn.GOES_ON[training.model])
            train_or_read(before, data, config, folder, probe)
            base = _read(before, folder)
        trained = learn.train(dataclasses.astuple(training), held, data, config, base)
        predict = _network(training.model, data, config, trained)
        alive, converged = trained.alive, trained.converged
        trees = {"history": trained.history, "params": trained.params, "own": trained.own}
        if training.model == "profile":
            curves = learn.curves_of(learn.loss_of("profile", data, config), trained, data.windows)[fold, everyone]
    arrays = {
        "held_out": predict(data.windows)[fold, everyone],
        "probe": predict(probe) if len(probe) else np.empty((config.folds, 0, len(data.layers))),
        "alive": alive, "converged": converged, "curves": curves,
    }  # fmt: skip
    return Piece(arrays, trees)


def predictor(training: Training, data: LayersData, config: LayersConfig, folder: Path) -> Predict:
    """The fold models of a finished training; forests, which are quick, are fitted again to the same trees."""
    if training.model not in NETWORKS:
        held = learn.held_out_rows(data.folds[training.split], config.folds)
        return reference(training.model, training.seed, held, data, config)
    return _network(training.model, data, config, _read(training, folder))


def _read(training: Training, folder: Path) -> learn.Trained:
    """The networks of a finished training."""
    piece = Pieces(folder).read(training.label)
    trees, arrays = piece.trees, piece.arrays
    return learn.Trained(trees["params"], trees["own"], arrays["alive"], arrays["converged"], trees["history"])


def inner_predictions(
    model: str, split: str, data: LayersData, config: LayersConfig, folder: Path
) -> Float64[np.ndarray, "k n l"]:
    """Predictions inside the training sites of each fold k: of every site that is not in k, by a model that saw neither
    k nor the site's own fold; NaN for sites of k. One seed; a finished training is read from ``folder``.
    """

    def make() -> Piece:
        fold, count = data.folds[split], config.folds
        held, arrays, trees = learn.held_out_rows(fold, count, pairs=True), {}, {}
        if model in NETWORKS:
            base = None
            if model in learn.GOES_ON:
                inner_predictions(learn.GOES_ON[model], split, data, config, folder)
                base = _read(Training(learn.GOES_ON[model], split, INNER), folder)
            trained = learn.train((model, f"{split} inner", 0), held, data, config, base)
            predict = _network(model, data, config, trained)
            arrays = {"alive": trained.alive, "converged": trained.converged}
            trees = {"history": trained.history, "params": trained.params, "own": trained.own}
        else:
            predict = reference(model, 0, held, data, config)
        every = predict(data.windows)
        found = np.full((count, *every.shape[1:]), np.nan)
        for number, pair in enumerate(itertools.combinations(range(count), 2)):
            for left_out, inside in (pair, pair[::-1]):
                found[left_out, fold == inside] = every[number, fold == inside]
        return Piece({"predicted": found, **arrays}, trees)

    return Pieces(folder).get(Training(model, split, INNER).label, make).arrays["predicted"]


def _network(model: str, data: LayersData, config: LayersConfig, trained: learn.Trained) -> Predict:
    loss = learn.loss_of(model, data, config)
    return lambda windows: learn.by_fold(model, learn.predict_members(loss, trained, windows), len(data.layers))


def point_features(windows: Float32[np.ndarray, "n w v c"], *, context: bool) -> Float32[np.ndarray, "n f"]:
    """Covariates of the central pixel; with ``context`` also their means and standard deviations over the window."""
    centre = windows[:, windows.shape[1] // 2, windows.shape[2] // 2, :]
    if not context:
        return centre
    return np.concatenate([centre, windows.mean(axis=(1, 2)), windows.std(axis=(1, 2))], axis=1)


def reference(model: str, seed: int, held: Bool[np.ndarray, "s n"], data: LayersData, config: LayersConfig) -> Predict:
    """References of all sites but those of each row of ``held``: the mean of each layer, or a random forest for each.

    The mean is what a model must beat. Forests (scikit-learn) see no scaled covariates: trees do not need it.
    """
    target = data.to_scale(data.sites.values)
    if model == "mean":
        means = np.stack([np.nanmean(target[~rows], axis=0) for rows in held])
        return lambda windows: np.repeat(means[:, None, :], windows.shape[0], axis=1)
    context = model == "rf_window"
    features = point_features(data.windows, context=context)
    # A third of the covariates at a split and small leaves are the usual choice for regression.
    options = {"n_trees": config.trees, "max_features": 1 / 3, "min_samples_leaf": 3, "n_jobs": 2}
    forests = []
    for number, out in enumerate(held):
        for place in range(target.shape[1]):
            rows = ~out & data.seen[:, place]
            own = seed * len(held) + number
            forests.append(forest.fit(features[rows], target[rows, place], seed=own, **options))

    def predict(windows: np.ndarray) -> np.ndarray:
        seen = point_features(windows, context=context)
        with ThreadPoolExecutor(2) as pool:
            found = np.stack(list(pool.map(lambda one: one.predict(seen), forests)))
        return np.moveaxis(found.reshape(len(held), -1, len(windows)), 1, 2)

    return predict
