"""The transductive mix: the level of a batch of spectra from the carry-over model, its shape also from PLSR.

The level is the mean prediction of log10 SOC over all spectra of the held-out region; the shape is what predictions
differ from their mean by. PLSR as the study sets it sees SNV by default: it loses the level with the albedo and has a
better shape. Its weight in the shape is the one of :data:`WEIGHTS` with the highest mean CCC over the training regions,
each predicted by models that saw neither it nor the held-out region.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data import splits
from jaxsoil.data.splits import Split
from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.models import plsr
from jaxsoil.runs.files import write_csv
from jaxsoil.runs.pieces import Pieces
from jaxsoil.studies.reconstruction.config import CarryOverConfig
from jaxsoil.studies.reconstruction.tables import Of, Tables
from jaxsoil.studies.reconstruction.uncertainty import pair_predictions

MIX = "carry_over_mix"
LEVEL, SHAPE = "carry_over", "plsr"
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Weights of PLSR in the shape that are tried."""
EXPOSURE = "uses all spectra of the held-out region, without labels, for the mean of its predictions"


def add(tables: Tables, config: CarryOverConfig) -> None:
    """Adds the mix as a model of its own, and mix.csv, PLSR's weight by held-out region.

    Nothing is added where the study lacks its parts, has fewer than three regions, or where two less leave too few rows
    for PLSR. The fits of the baselines must be
    there. Models of pairs of regions leave a file each, which a resumed run reads.

    Args:
      tables: with the splits that are tested; receives the predictions.
      config: the study.
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
    pieces, weights = Pieces(tables.run.path / "trials"), []
    for place, split in zip(places, tables.splits, strict=True):
        others = [(s, frozenset((place, s))) for s in range(len(regions)) if s != place]
        rows = [regions[s].test for s, _ in others]
        soc = [tables.soc[mine] for mine in rows]
        found = [[model[pair][mine] for (_, pair), mine in zip(others, rows, strict=True)] for model in inner]
        weight = chosen_weight(soc, *found)
        labels = [f"{name}/{split.name}/{tables.seed}" for name in (LEVEL, SHAPE)]
        level, shape = (pieces.read(label.replace("/", "-"), identity=label).arrays for label in labels)
        predicted = 10.0 ** mixed(log10_percent(level["soc"]), log10_percent(shape["soc"]), weight)
        label, seen = f"{MIX}/{split.name}/{tables.seed}", _declared(split)
        of, factor = Of("absorbance", "log", ""), float(level["factor"])
        tables.add_baseline(label, MIX, seen, tables.seed, predicted, of=of, factor=factor)
        weights.append((split.held_out, weight))
    write_csv(tables.run.path / "mix.csv", pd.DataFrame(weights, columns=pd.Index(["region", "weight"])))


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


def _declared(split: Split) -> Split:
    """The same rows with what the mix sees of them."""
    return Split(split.name, split.held_out, split.train, split.test, split.test, EXPOSURE, split.seed)
