"""Stage 3: the strategies from spectra to properties, each judged on the validation pairs and on the test set.

Which rows train what is the paper's (section 2.5): MIR models on the labelled library, NIR baselines on the pairs,
NIRtoMIR strategies apply a MIR model to the converted spectra or to the latents of the NIR spectra.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.draws import group_folds
from jaxsoil.models import plsr
from jaxsoil.runs.keys import key_of, seed_of
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity.config import (
    STRATEGY,
    PropertyConfig,
    Strategy,
    enough_steps,
    strategies_for,
)
from jaxsoil.studies.multifidelity.inputs import Inputs
from jaxsoil.studies.multifidelity.property_models import PropertyModel, Task, fit_properties
from jaxsoil.studies.multifidelity.rows import SeedRows
from jaxsoil.studies.multifidelity.tables import NO_TASK, convergence_row, history_rows, members, prediction_rows
from jaxsoil.studies.multifidelity.targets import LOGGED
from jaxsoil.training.rows import Fitted

Views = Mapping[str, Mapping[str, NDArray]]
"""What models read: view -> set -> array. "mir" and "nir" (n, m) are SNV spectra; "latents" and "nir_latents" (n, K)
posterior means of MIR and of NIR spectra; "nir_samples" (s, n, K) draws from the latter; "converted" and "fno" (n, M)
MIR spectra from NIR ones, by the shared latent space and by the Fourier neural operator; "reencoded" (n, K) the MIR
encoder's view of the converted spectra."""

APPLIED = {one.name: (one.model, one.view) for one in STRATEGY.values() if not one.plsr}
"""Network strategy -> the model it uses and the view it is applied to when judged."""

TRAINED = {model: STRATEGY[model].view for model, _ in APPLIED.values()}
"""Model -> the view it is trained on: NIR models on the pairs, all others on the labelled library."""


@dataclasses.dataclass
class SeedTables:
    """Predictions and records of the trainings of one seed, gathered while its strategies run."""

    inputs: Inputs
    rows: SeedRows
    seed: int
    predictions: list[pd.DataFrame] = dataclasses.field(default_factory=list)
    components: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    history: list[pd.DataFrame] = dataclasses.field(default_factory=list)
    convergence: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def judged(self, arrays: Mapping[str, NDArray], axis: int = 0) -> NDArray:
        """The rows that judge, validation pairs first and then the test set, as one array."""
        parts = [np.take(arrays["pairs"], self.rows.pairs_valid, axis=axis)] if "pairs" in arrays else []
        return np.concatenate([*parts, arrays["test"]], axis=axis)

    def add(self, strategy: str, task: str, predicted: NDArray) -> None:
        """Adds predictions (n, p) for the rows of :meth:`judged`."""
        self.predictions.append(prediction_rows(self.inputs, self.rows, self.seed, strategy, task, predicted))

    def train(self, label: str, fitted: Fitted, columns: Sequence[str] = ()) -> None:
        """Adds how a training went; ``columns`` name the members of several trainings."""
        for member, one in enumerate(members(fitted)):
            name = f"{label}/{columns[member]}" if columns else label
            self.history.append(history_rows(one, "stage3", self.seed, name))
            self.convergence.append(convergence_row(one, "stage3", self.seed, name))

    def part(self) -> Piece:
        """The piece of the run."""
        return Piece(
            tables={
                "predictions": pd.concat(self.predictions, ignore_index=True),
                "components": pd.DataFrame(self.components, columns=pd.Index(COMPONENTS)),
                "history": pd.concat(self.history, ignore_index=True) if self.history else pd.DataFrame(),
                "convergence": pd.DataFrame(self.convergence),
            }
        )


COMPONENTS = ("seed", "strategy", "property", "components")


def run_strategies(config: PropertyConfig, strategies: Sequence[str], tables: SeedTables, views: Views) -> Piece:
    """Trains and judges the strategies of one seed.

    Args:
      config: settings of stage 3.
      strategies: names; those that need pairs are left out where there are none.
      tables: data, rows and number of the seed; predictions and records are added to it.
      views: what the models of this seed read.

    Returns:
      Predictions, components, history and convergence.
    """
    wanted = strategies_for(strategies, tables.inputs.paired)
    for strategy in wanted:
        if strategy.plsr:
            _plsr(config, tables, strategy)
    networks = [strategy for strategy in wanted if not strategy.plsr]
    for name in dict.fromkeys(strategy.model for strategy in networks):
        for task in config.tasks:
            # ILR ties the three particle sizes together, so there is nothing to train one by one.
            if STRATEGY[name].ilr and task == "single":
                continue
            model = _mlp(config, tables, STRATEGY[name], task, views)
            for strategy in networks:
                if strategy.model == name:
                    tables.add(strategy.name, task, _applied(model, tables, strategy.view, views[strategy.view]))
    return tables.part()


def _applied(model: PropertyModel, tables: SeedTables, view: str, arrays: Mapping[str, NDArray]) -> NDArray:
    if view != "nir_samples":
        return model.predict(tables.judged(arrays))
    return np.mean([model.predict(z) for z in tables.judged(arrays, axis=1)], axis=0)


def _mlp(config: PropertyConfig, tables: SeedTables, own: Strategy, task: Task, views: Views) -> PropertyModel:
    """Trains the network of a strategy that has a model of its own."""
    inputs, rows, name = tables.inputs, tables.rows, own.name
    if own.needs_pairs:
        part, train, validation = "pairs", rows.pairs, rows.pairs_watch
    else:
        part, train, validation = "labelled", rows.labelled, rows.labelled_watch
    model, fitted = fit_properties(
        views[own.view][part],
        inputs.values[part],
        inputs.properties,
        train,
        validation,
        widths=config.latent_widths if own.view == "latents" else config.widths,
        dropout=config.dropout,
        loop=enough_steps(config.loop, train.size, config.steps),
        task=task,
        key=key_of(tables.seed, name, task),
        ilr=own.ilr,
        label=f"seed {tables.seed} {name} {task}",
    )
    tables.train(f"{name}/{task}", fitted, model.targets.columns if task == "single" else ())
    return model


def _plsr(config: PropertyConfig, tables: SeedTables, strategy: Strategy) -> None:
    """PLSR of one range on all its training rows: rows that stop the networks are training rows to it."""
    inputs, rows = tables.inputs, tables.rows
    if not strategy.needs_pairs:
        part, library, spectra = "labelled", inputs.data.labelled, inputs.mir
        chosen = np.concatenate([rows.labelled, rows.labelled_watch])
    else:
        part, library, spectra = "pairs", inputs.data.paired_nir, inputs.nir
        chosen = np.concatenate([rows.pairs, rows.pairs_watch])
    new = tables.judged(spectra)
    predicted = np.full((len(new), len(inputs.properties)), np.nan)
    for column, prop in enumerate(inputs.properties):
        y = inputs.values[part][chosen, column]
        known = chosen[np.isfinite(y)]
        groups = library.blocks[known]
        predicted[:, column], count = fit_plsr(
            spectra[part][known], y[np.isfinite(y)], prop, groups, new, config, tables.seed
        )
        tables.components.append(
            {"seed": tables.seed, "strategy": strategy.name, "property": prop, "components": count}
        )
    tables.add(strategy.name, NO_TASK, predicted)


def fit_plsr(
    x: NDArray, y: NDArray, prop: str, groups: NDArray, new: NDArray, config: PropertyConfig, seed: int
) -> tuple[NDArray[np.float64], int]:
    """PLSR of one property in its own units: predictions (t,) for ``new`` and the components chosen within ``x``."""
    rng = np.random.default_rng(seed_of(seed, prop))
    folds = group_folds(groups, min(config.folds, np.unique(groups).size), rng)
    target = np.log1p(y) if prop in LOGGED else y
    model = plsr.fit_chosen(x, target, folds, config.components)
    predicted = model.predict(new)
    return (np.expm1(predicted) if prop in LOGGED else predicted), model.n_components
