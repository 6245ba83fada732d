"""The laboratory's method for SOC as a covariate: a shrunken additive effect of the method beside the ridge.

Wet oxidation finds less carbon than combustion, loss on ignition is converted by a convention, total carbon has
carbonates in it: part of a region's bias is in its labels. The method of a new region is known without any label of it.
With eight regions and half as many methods the effect is nearly confounded with the region: a method that no training
region shares has no effect, and one that two or three share is told from their other differences by a prior alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxsoil.data.splits import Split
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.models import carry_over, gaussian_process
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.studies.reconstruction import baselines
from jaxsoil.studies.reconstruction.config import CarryOverConfig
from jaxsoil.studies.reconstruction.tables import Of, Tables

MODEL, BASE = "ridge_method", "ridge_both"
WET, IGNITION, TOTAL = "wet oxidation", "loss on ignition", "total carbon by combustion"
METHODS: Mapping[str, str] = {
    "SSP.460": WET, "SC.93": WET, "nirsoil": WET, "SL.125": IGNITION, "UL.120": IGNITION, "geeves": TOTAL,
}  # fmt: skip
"""Method by region: SSP.460 Walkley-Black, SC.93 photometry after oxidation, SL.125 and UL.120 loss on ignition (pages
of the R package LimeSoDa), nirsoil ISO 14235 (page of prospectr), geeves total carbon. raca99 is modelled, and csiro100
states none; what is not here has an effect of zero."""
PRIOR = 1.0
"""Regions that the prior of no effect counts as; not tuned."""
ROUNDS = 5
"""Times that slopes and effects are fitted in turn; each is a least-squares step, and the fifth moves nothing that a
report prints."""
EXPOSURE = "the laboratory method of the held-out region"


def add(tables: Tables, config: CarryOverConfig) -> None:
    """Adds the model :data:`MODEL`; nothing where no two regions share a known method, or without :data:`BASE`.

    Args:
      tables: with the splits that are tested and the fits of :data:`BASE`; receives the predictions.
      config: the study.
    """
    library = tables.library
    regions = baselines.regions_of(library)
    known = [METHODS[name] for name in np.unique(regions).tolist() if name in METHODS]
    if BASE not in config.baselines or len(set(known)) == len(known):
        return
    pieces, x = Pieces(tables.run.path / "trials"), baselines.seen(library, "absorbance")
    for split in tables.splits:
        label = f"{MODEL}/{split.name}/{tables.seed}"

        def made(split: Split = split) -> Piece:
            rows, effect = split.train, METHODS.get(split.held_out, "")
            own = (x[rows], log10_percent(tables.soc[rows]), regions[rows], library.spectra.axis)
            model, effects = fit(*own, METHODS)
            return Piece({"soc": 10.0 ** (model.predict(x[split.test]) + effects.get(effect, 0.0))})

        base = f"{BASE}/{split.name}/{tables.seed}"
        factor = float(pieces.read(base.replace("/", "-"), identity=base).arrays["factor"])
        soc = pieces.get(label.replace("/", "-"), made, identity=label).arrays["soc"]
        seen = dataclasses.replace(split, exposure=EXPOSURE) if split.held_out in METHODS else split
        tables.add_baseline(label, MODEL, seen, tables.seed, soc, of=Of("absorbance", "log", ""), factor=factor)


def fit(
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
