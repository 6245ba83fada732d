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
from jaxsoil.studies.multifidelity.config import MIR_STRATEGIES, PropertyConfig, enough_steps
from jaxsoil.studies.multifidelity.inputs import Inputs
from jaxsoil.studies.multifidelity.property_models import PropertyModel, Task, fit_properties
from jaxsoil.studies.multifidelity.rows import SeedRows
from jaxsoil.studies.multifidelity.tables import convergence_row, history_rows, members, prediction_rows
from jaxsoil.studies.multifidelity.targets import LOGGED
from jaxsoil.training.rows import Fitted

Views = Mapping[str, Mapping[str, NDArray]]
"""What models read: view -> set -> array. "mir" and "nir" (n, m) are SNV spectra; "latents" and "nir_latents" (n, K)
posterior means of MIR and of NIR spectra; "nir_samples" (s, n, K) draws from the latter; "converted" and "fno" (n, M)
MIR spectra from NIR ones, by the shared latent space and by the Fourier neural operator; "reencoded" (n, K) the MIR
encoder's view of the converted spectra."""

APPLIED = {
    "MIR-MLP": ("MIR-MLP", "mir"),
    "NIRtoMIR-MLP": ("MIR-MLP", "converted"),
    "NIRtoMIR-FNO-MLP": ("MIR-MLP", "fno"),
    "MIR-ILR-MLP": ("MIR-ILR-MLP", "mir"),
    "NIRtoMIR-ILR-MLP": ("MIR-ILR-MLP", "converted"),
    "MIR-SSL-MLP": ("MIR-SSL-MLP", "latents"),
    "NIRtoMIR-SSL-MLP": ("MIR-SSL-MLP", "nir_latents"),
    "NIRtoMIR-SSL-MLP-samples": ("MIR-SSL-MLP", "nir_samples"),
    "NIRtoMIR-SSL-MLP-reencoded": ("MIR-SSL-MLP", "reencoded"),
    "NIR-MLP": ("NIR-MLP", "nir"),
}
"""Strategy -> the model it uses and the view it is applied to when judged."""

TRAINED = {"MIR-MLP": "mir", "MIR-ILR-MLP": "mir", "MIR-SSL-MLP": "latents", "NIR-MLP": "nir"}
"""Model -> the view it is trained on: NIR models on the pairs, all others on the labelled library."""


@dataclasses.dataclass
class Tables:
    """Rows gathered while the strategies of one seed run."""

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


def run_strategies(config: PropertyConfig, strategies: Sequence[str], tables: Tables, views: Views) -> Piece:
    """Trains and judges the strategies of one seed.

    Args:
      config: settings of stage 3.
      strategies: names; those that need pairs are left out where there are none.
      tables: the data, rows and seed, filled here.
      views: what the models of this seed read.

    Returns:
      Predictions, components, history and convergence.
    """
    wanted = [name for name in strategies if tables.inputs.paired or name in MIR_STRATEGIES]
    for name in wanted:
        if name.endswith("PLSR"):
            _plsr(config, tables, name)
    for name in dict.fromkeys(APPLIED[name][0] for name in wanted if name in APPLIED):
        for task in config.tasks:
            # ILR ties the three particle sizes together, so there is nothing to train one by one.
            if "ILR" in name and task == "single":
                continue
            model = _mlp(config, tables, name, task, views[TRAINED[name]])
            for strategy in wanted:
                used, view = APPLIED.get(strategy, ("", ""))
                if used == name:
                    tables.add(strategy, task, _applied(model, tables, view, views[view]))
    return tables.part()


def _applied(model: PropertyModel, tables: Tables, view: str, arrays: Mapping[str, NDArray]) -> NDArray:
    if view != "nir_samples":
        return model.predict(tables.judged(arrays))
    return np.mean([model.predict(z) for z in tables.judged(arrays, axis=1)], axis=0)


def _mlp(config: PropertyConfig, tables: Tables, name: str, task: Task, view: Mapping[str, NDArray]) -> PropertyModel:
    inputs, rows = tables.inputs, tables.rows
    part = "pairs" if name == "NIR-MLP" else "labelled"
    train, watch = (rows.pairs, rows.pairs_watch) if part == "pairs" else (rows.labelled, rows.labelled_watch)
    model, fitted = fit_properties(
        view[part],
        inputs.values[part],
        inputs.properties,
        train,
        watch,
        widths=config.latent_widths if TRAINED[name] == "latents" else config.widths,
        dropout=config.dropout,
        loop=enough_steps(config.loop, train.size, config.steps),
        task=task,
        key=key_of(tables.seed, name, task),
        ilr="ILR" in name,
        label=f"seed {tables.seed} {name} {task}",
    )
    tables.train(f"{name}/{task}", fitted, model.targets.columns if task == "single" else ())
    return model


def _plsr(config: PropertyConfig, tables: Tables, name: str) -> None:
    """PLSR of one range on all its training rows: rows that stop the networks are training rows to it."""
    inputs, rows = tables.inputs, tables.rows
    if name == "MIR-PLSR":
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
        tables.components.append({"seed": tables.seed, "strategy": name, "property": prop, "components": count})
    tables.add(name, "-", predicted)


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
