"""Models of carry_over beside the family: two ridges that know more than absorbance, and a mix that sees its spectra.

All take the other models' fits of the run, which must be there; each fit leaves a file, which a resumed run reads.

**Laboratory method.** Wet oxidation finds less carbon than combustion, loss on ignition is converted by a convention,
total carbon has carbonates in it: part of a region's bias is in its labels. The manifest states the method of a new
region without any label of it. With eight regions and half as many methods the effect is nearly confounded with the
region: a method that no training region shares has no effect, and one that two or three share is told from their other
differences by a prior alone.

**Latent features.** Mass fractions of reconstruction networks beside absorbance. The networks are those of
:mod:`jaxsoil.studies.reconstruction.local_networks` before they are fine-tuned: they saw the rows that train and
nothing of the region held out. The mass fraction of SOC is left out: on training rows it is close to the label that it
was fitted to, and a ridge would rely on it.

**Transductive mix.** The level of a batch of spectra is the mean prediction of log10 SOC by the carry-over model over
all spectra of the held-out region; the shape is what predictions differ from their mean by. PLSR as the study sets it
sees SNV by default: it loses the level with the albedo and has a better shape. Its weight in the shape is the one of
:data:`WEIGHTS` with the highest mean CCC over the training regions, each predicted by models that saw neither it nor
the held-out region.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data import splits
from jaxsoil.data.library import NOT_STATED, SOC_METHOD, Library
from jaxsoil.data.splits import Split
from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.applicability import MASS_FLOOR
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.models import carry_over, gaussian_process, plsr
from jaxsoil.runs.files import write_csv
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.studies.reconstruction import baselines
from jaxsoil.studies.reconstruction.config import CarryOverConfig
from jaxsoil.studies.reconstruction.tables import Of, Tables
from jaxsoil.studies.reconstruction.uncertainty import pair_predictions
from jaxsoil.training.grid import Trial

METHOD, LATENTS, MIX = "ridge_method", "ridge_latents", "carry_over_mix"
BASE = "ridge_both"
"""The ridge that the first two are made of."""
PRIOR = 1.0
"""Regions that the prior of no effect of a method counts as; not tuned."""
ROUNDS = 5
"""Times that slopes and effects are fitted in turn; each is a least-squares step, and the fifth moves nothing that a
report prints."""
COMPONENTS = 10
"""Principal components of the logarithms of the mass fractions that are features; not tuned."""
LEVEL, SHAPE = "carry_over", "plsr"
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of PLSR in the shape that are tried."""
KNOWS_METHOD = "the laboratory method of the held-out region"
SEES_SPECTRA = "uses all spectra of the held-out region, without labels, for the mean of its predictions"


def _kept(tables: Tables, model: str, split: Split) -> Mapping[str, np.ndarray]:
    """What a fit of the run left: "soc" of the test rows in %, and "factor"."""
    label = f"{model}/{split.name}/{tables.seed}"
    return Pieces(tables.run.path / "trials").read(label.replace("/", "-"), identity=label).arrays


def _add(tables: Tables, model: str, split: Split, soc: np.ndarray, factor: Any) -> None:
    label, of = f"{model}/{split.name}/{tables.seed}", Of("absorbance", "log", "")
    tables.add_baseline(label, model, split, tables.seed, soc, of=of, factor=float(factor))


def _add_ridge(tables: Tables, model: str, split: Split, predict: Callable[[], np.ndarray]) -> None:
    """Adds a ridge that predicts log10 SOC of the test rows, with the factor of :data:`BASE`."""
    label = f"{model}/{split.name}/{tables.seed}"
    made = Pieces(tables.run.path / "trials").get(
        label.replace("/", "-"), lambda: Piece({"soc": 10.0 ** predict()}), identity=label
    )
    _add(tables, model, split, made.arrays["soc"], _kept(tables, BASE, split)["factor"])


def methods_of(library: Library) -> dict[str, str]:
    """The laboratory's method for SOC of each region whose rows all state one and the same."""
    regions, stated = baselines.regions_of(library), library.groups.get(SOC_METHOD, np.full(len(library), NOT_STATED))
    found = {name: set(stated[regions == name].tolist()) for name in np.unique(regions).tolist()}
    return {name: one for name, (one, *others) in found.items() if not others and one != NOT_STATED}


def add_method(tables: Tables, config: CarryOverConfig) -> None:
    """Adds the model :data:`METHOD`; nothing where no two regions share a known method, or without :data:`BASE`."""
    library, methods = tables.library, methods_of(tables.library)
    if BASE not in config.baselines or len(set(methods.values())) == len(methods):
        return
    x, regions = baselines.seen(library, "absorbance"), baselines.regions_of(library)
    for split in tables.splits:

        def predict(split: Split = split) -> np.ndarray:
            rows, effect = split.train, methods.get(split.held_out, "")
            own = (x[rows], log10_percent(tables.soc[rows]), regions[rows], library.spectra.axis)
            model, effects = fit_method(*own, methods)
            return model.predict(x[split.test]) + effects.get(effect, 0.0)

        seen = dataclasses.replace(split, exposure=KNOWS_METHOD) if split.held_out in methods else split
        _add_ridge(tables, METHOD, seen, predict)


def fit_method(
    absorbance: np.ndarray, target: np.ndarray, regions: np.ndarray, axis: np.ndarray, methods: Mapping[str, str]
) -> tuple[carry_over.CarryOver, dict[str, float]]:
    """The ridge with both penalties and the effect of each method on the target's scale.

    A ridge on indicator columns with a row for each region: the effect is the sum of the mean residuals of the regions
    with that method over their number plus :data:`PRIOR`. Slopes and effects are fitted in turn.

    Args:
      absorbance, target, regions, axis: (n, m), (n,), (n,) names and (m,) nm of the training rows.
      methods: method by region; regions that are not in it have no effect.
    """
    names = [name for name in np.unique(regions).tolist() if name in methods]
    rows, effects = gaussian_process.subset(regions), dict.fromkeys((methods[name] for name in names), 0.0)
    within: Any = carry_over.space(absorbance[rows], axis)
    of_row = np.array([methods.get(str(name), "") for name in regions])
    for _ in range(ROUNDS):
        own = np.array([effects.get(name, 0.0) for name in of_row.tolist()])
        model = carry_over.fit(absorbance, target - own, regions, axis, within=within)
        off = target - model.predict(absorbance)
        means = {name: float(off[regions == name].mean()) for name in names}
        for method in effects:
            same = [means[name] for name in names if methods[name] == method]
            effects[method] = sum(same) / (len(same) + PRIOR)
    return model, effects


def keep_masses(pieces: Pieces, trial: Trial, mass: np.ndarray) -> np.ndarray:
    """Leaves the mass fractions (n, K) of a trained network as a piece; has the form of a measure of a training."""
    pieces.get(_masses(trial.id), lambda: Piece({"mass": mass.astype(np.float32)}), identity=trial.id)
    return np.full(len(mass), np.nan)


def _masses(trial: str) -> str:
    return f"latents-{trial}".replace("/", "-")


def add_latents(tables: Tables, config: CarryOverConfig) -> None:
    """Adds the model :data:`LATENTS`; nothing without a network with a decoder, whose mass fractions must be there."""
    decoders = [name for name in config.finetuned if name != "none"]
    if BASE not in config.baselines or not decoders:
        return
    pieces, x = Pieces(tables.run.path / "trials"), baselines.seen(tables.library, "absorbance")
    regions, axis = baselines.regions_of(tables.library), tables.library.spectra.axis
    for split in tables.splits:
        trained = f"{decoders[0]}/{split.name}/0"
        if not pieces.exists(_masses(trained)):
            continue  # it diverged

        def predict(split: Split = split, trained: str = trained) -> np.ndarray:
            rows, mass = split.train, pieces.read(_masses(trained), identity=trained).arrays["mass"]
            joined, within = features(x, mass, rows, regions, axis)
            own = (joined[rows], log10_percent(tables.soc[rows]), regions[rows], axis)
            return carry_over.fit(*own, within=within).predict(joined[split.test])

        _add_ridge(tables, LATENTS, split, predict)


def features(
    x: np.ndarray, mass: np.ndarray, rows: np.ndarray, regions: np.ndarray, axis: np.ndarray
) -> tuple[np.ndarray, carry_over.Space]:
    """Absorbance and latent features (n, m + q) of all rows, and the coordinates that they are fitted in.

    The features are the first :data:`COMPONENTS` principal components of log mass fractions of minerals, each with the
    mean variance of a band; perturbations are not known to move them.

    Args:
      x: (n, m) absorbances, on axis (m,) nm.
      mass: (n, K) mass fractions, that of SOC last.
      rows: (n,) which rows train: all scales and directions come from them.
      regions: (n,) names.
    """
    logs = np.log(np.maximum(mass[:, :-1].astype(np.float64), MASS_FLOOR))
    logs = logs - logs[rows].mean(axis=0)
    count = min(COMPONENTS, logs.shape[1])
    loadings = np.linalg.svd(logs[rows], full_matrices=False)[2][:count].T
    scores = logs @ loadings
    spread = np.maximum(scores[rows].std(axis=0), 1e-12)
    scores *= np.sqrt(x[rows].var(axis=0).mean()) / spread
    train = np.flatnonzero(rows)
    some = train[gaussian_process.subset(regions[rows])]
    own = carry_over.space(x[some], axis)
    bands, q = own.basis.shape
    basis = np.zeros((bands + count, q + count))
    basis[:bands, :q], basis[bands:, q:] = own.basis, np.eye(count)
    penalties = np.zeros((len(own.penalties), q + count, q + count))
    penalties[:, :q, :q] = own.penalties
    return np.concatenate([x, scores], axis=1), carry_over.Space(basis, penalties, own.bands)


def add_mix(tables: Tables, config: CarryOverConfig) -> None:
    """Adds the mix as a model of its own, and mix.csv, PLSR's weight by held-out region.

    Nothing is added where the study lacks its parts, has fewer than three regions, or where two less leave too few rows
    for PLSR.
    """
    regions = splits.region_out(tables.library)
    names = [split.held_out for split in regions]
    places = [names.index(split.held_out) for split in tables.splits]
    pairs = pairs_of(places, len(regions), config)
    if not pairs or min(np.sum(regions[r].train & regions[s].train) for r, s in pairs) <= plsr.N_COMPONENTS:
        return
    inner: Any = [
        pair_predictions(tables.run.path, tables.library, regions, config, name, pairs) for name in (LEVEL, SHAPE)
    ]
    weights = []
    for place, split in zip(places, tables.splits, strict=True):
        others = [(s, frozenset((place, s))) for s in range(len(regions)) if s != place]
        rows = [regions[s].test for s, _ in others]
        soc = [tables.soc[mine] for mine in rows]
        found = [[model[pair][mine] for (_, pair), mine in zip(others, rows, strict=True)] for model in inner]
        weight = chosen_weight(soc, *found)
        level, shape = (_kept(tables, name, split) for name in (LEVEL, SHAPE))
        predicted = 10.0 ** mixed(log10_percent(level["soc"]), log10_percent(shape["soc"]), weight)
        _add(tables, MIX, seen_by_mix(split), predicted, level["factor"])
        weights.append((split.held_out, weight))
    write_csv(tables.run.path / "mix.csv", pd.DataFrame(weights, columns=pd.Index(["region", "weight"])))


def seen_by_mix(split: Split) -> Split:
    """The same rows with what the mix sees of them."""
    return dataclasses.replace(split, unlabelled=split.test, exposure=SEES_SPECTRA)


def pairs_of(places: Sequence[int], regions: int, config: CarryOverConfig) -> list[tuple[int, int]]:
    """Pairs of a held-out region and another, each once; none where the study has no mix."""
    if regions < 3 or not {LEVEL, SHAPE} <= set(config.baselines):
        return []
    return sorted({(min(r, s), max(r, s)) for r in places for s in range(regions) if r != s})


def mixed(level: np.ndarray, shape: np.ndarray, weight: float) -> np.ndarray:
    """Predictions (t,) of log10 SOC with the mean of ``level``; ``shape`` counts with ``weight`` in what differs."""
    return level + weight * ((shape - shape.mean()) - (level - level.mean()))


def chosen_weight(observed: Sequence[np.ndarray], level: Sequence[np.ndarray], shape: Sequence[np.ndarray]) -> float:
    """The weight with the highest mean CCC of log10 SOC over regions; the lowest of equal ones.

    Args:
      observed, level, shape: SOC in % of the rows of each training region: measured, and by both models.
    """
    logs = [tuple(log10_percent(values) for values in region) for region in zip(observed, level, shape, strict=True)]
    found = np.array([[metrics.summary(y, mixed(a, b, one))["ccc"] for y, a, b in logs] for one in WEIGHTS])
    found = found[:, np.isfinite(found).all(axis=0)]  # a region whose SOC does not vary has no CCC
    return WEIGHTS[int(np.argmax(found.mean(axis=1)))] if found.size else WEIGHTS[0]
