"""What a smooth curve between two instruments does to the models of MIR spectra, and whether pre-training helps.

Real instruments differ by a smooth curve that SNV does not take out (``spectra.perturbations.smooth_curve``). Such
curves are added to the absorbance of the test set and the trained models are judged again; nothing is trained anew. Of
the ridge regressions one is penalised for curves of this very kind, one for all else. As
a control the latents of the autoencoder are replaced by as many principal components of the same scans, with a network
of its own on them: what both do alike is no merit of the autoencoder.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.bundle.predictors import Linear
from jaxsoil.data.twin.infrared.make import InfraredTruth, laboratory_curve
from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.compare import paired_differences
from jaxsoil.runs.keys import seed_of
from jaxsoil.runs.pieces import Piece
from jaxsoil.spectra.perturbations import smooth_curve
from jaxsoil.spectra.preprocess import SNV
from jaxsoil.studies.multifidelity.config import CARRY_OVER, NO_CURVE, RIDGE, STRATEGY, InstrumentConfig, PropertyConfig
from jaxsoil.studies.multifidelity.pretrain import Pretrained
from jaxsoil.studies.multifidelity.property_models import PropertyModel, fit_properties, learned_scales
from jaxsoil.studies.multifidelity.replicates import Replicate, SpectraSets
from jaxsoil.studies.multifidelity.strategies import training_rows
from jaxsoil.studies.multifidelity.tables import joined, training_tables

PCA = "MIR-PCA-MLP"
"""The control: a network on principal components in place of the autoencoder's latents."""

JUDGED = ("MIR-PLSR", "MIR-MLP", "MIR-SSL-MLP", RIDGE, NO_CURVE, CARRY_OVER)
CONTRASTS = (
    ("MIR-SSL-MLP", "MIR-MLP"), ("MIR-SSL-MLP", PCA), (PCA, "MIR-MLP"), ("MIR-SSL-MLP", "MIR-PLSR"),
    (CARRY_OVER, RIDGE), (NO_CURVE, RIDGE), (CARRY_OVER, NO_CURVE), (CARRY_OVER, "MIR-SSL-MLP"),
    (NO_CURVE, "MIR-SSL-MLP"),
)  # fmt: skip


def run_instruments(
    config: InstrumentConfig, properties: PropertyConfig, replicate: Replicate, pretrained: Pretrained, stage3: Piece
) -> Piece:
    """Judges the MIR strategies of one replicate on its test set with curves of each size.

    Args:
      config, properties: sizes and draws of the curves; settings of stage 3, for the control.
      pretrained, stage3: stage 1, with its principal components; the trained models.

    Returns:
      Tables "instruments", rows ``seed, strategy, sd, draws, ccc`` (CCC averaged over properties and draws), and
      "history" and "convergence" of the control.
    """
    sets, number = replicate.sets, replicate.number
    spectra = sets.data.test_mir.spectra.to_absorbance()
    base = spectra.values.astype(np.float64) - own_curve(sets)
    models, tables = _models(properties, replicate, pretrained, stage3)
    # The same shapes at every size.
    seeds = [seed_of(number, "curve", draw) for draw in range(config.draws)]
    curves, found = [smooth_curve(base.shape[1], 1.0, np.random.default_rng(seed)) for seed in seeds], []
    for sd in config.curves:
        scores: dict[str, list[float]] = {name: [] for name in models}
        for curve in curves if sd else curves[:1]:
            shifted = SNV()(spectra.replace(values=(base + sd * curve).astype(np.float32), step="curve")).values
            for name, predict in models.items():
                scores[name].append(_mean_ccc(sets.values["test"], predict(shifted)))
        for name, values in scores.items():
            row = {"seed": number, "strategy": name, "sd": sd, "draws": len(values)}
            found.append(row | {"ccc": float(np.mean(values))})
    return Piece(tables=tables | {"instruments": pd.DataFrame(found)})


def own_curve(sets: SpectraSets) -> NDArray[np.float64]:
    """The curve (M,) that a twin's test set has of its own; zeros for measured data, of which none is known."""
    truth = sets.data.test_mir.truth
    if isinstance(truth, InfraredTruth):
        return laboratory_curve(truth.config, near=False)
    return np.zeros(sets.data.test_mir.spectra.n_bands)


def _models(
    properties: PropertyConfig, replicate: Replicate, pretrained: Pretrained, stage3: Piece
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Strategy -> function from SNV spectra (n, M) to predictions (n, p); tables of the control's training."""
    sets, components, active = replicate.sets, pretrained.components, pretrained.active.astype(np.float32)
    models: dict[str, Any] = {}
    for name in (name for name in JUDGED if name in stage3.trees):
        if STRATEGY[name].linear:
            linear = Linear.read(stage3.trees[name], {"scales": learned_scales(sets.properties)})
            models[name] = lambda spectra, model=linear: model(spectra)[0]
        else:
            model = PropertyModel.of_tree(stage3.trees[name], sets.properties)
            latent = STRATEGY[name].view == "latents"
            models[name] = _reading(model, (lambda x: pretrained.embed(x)[0] * active) if latent else None)
    own = STRATEGY["MIR-SSL-MLP"]
    view = {"labelled": components.scores(sets.mir["labelled"])}
    key, label = replicate.key(PCA, "multi"), f"seed {replicate.number} {PCA}"
    rows = training_rows(replicate, own)
    model, fitted = fit_properties(properties, own, sets, view, *rows, task="multi", key=key, label=label)
    if fitted.alive:
        models[PCA] = _reading(model, components.scores)
    return models, training_tables(fitted, "instruments", replicate.number, f"{PCA}/multi")


def _reading(model: PropertyModel, view: Any) -> Any:
    return lambda spectra: model.predict(spectra if view is None else view(spectra))


def _mean_ccc(observed: NDArray, predicted: NDArray) -> float:
    """CCC averaged over the properties that are known and predicted."""
    found = []
    for truth, mine in zip(observed.T, predicted.T, strict=True):
        known = np.isfinite(truth) & np.isfinite(mine)
        found += [metrics.ccc(truth[known], mine[known])] if known.any() and np.ptp(truth[known]) > 0 else []
    return float(np.mean(found)) if found else float("nan")


def instrument_differences(instruments: pd.DataFrame) -> pd.DataFrame:
    """Rows ``sd, first, second, n, mean, low, high``: differences between strategies, paired by seed, for each size."""
    tables = []
    for sd, rows in instruments.groupby("sd", sort=True):
        found = paired_differences(rows.assign(property="all"), CONTRASTS)
        tables.append({"found": found[found["property"] == "all"].drop(columns="property").assign(sd=sd)})
    return joined(tables).get("found", pd.DataFrame())
