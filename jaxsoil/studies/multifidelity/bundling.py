"""The study's models for other people's spectra: a bundle for mid-infrared and, where there are pairs, one for NIR.

They are those of the first replicate. What is said of their accuracy comes from its test set, another laboratory or
field, on which nothing was trained. Of measured pairs every row trains the models that are handed on, and what is said
of their accuracy comes from the held-out parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.bundle.bundle import FACTS, Bundle, Model, Target, forbidden, score_rows
from jaxsoil.bundle.networks import Perceptron
from jaxsoil.bundle.predictors import Linear, Predictor
from jaxsoil.data.library import Library
from jaxsoil.evaluation.domain import Domain, levels
from jaxsoil.evaluation.shift import Calibration
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.tables import Columns, read_parquet
from jaxsoil.studies.multifidelity.config import STRATEGY, MultifidelityConfig
from jaxsoil.studies.multifidelity.measured import BUNDLED
from jaxsoil.studies.multifidelity.property_models import LOGGED, learned_scales
from jaxsoil.studies.multifidelity.replicates import TEST, Replicate, Replicates
from jaxsoil.studies.multifidelity.strategies import training_rows
from jaxsoil.studies.multifidelity.tables import MULTI, NO_TASK

STEPS = ("absorbance", "snv")

HELD_OUT = (
    "the test set of the first replicate, which is another laboratory or field; models are those of its training. "
    "The default model is the one with the highest mean CCC over properties."
)

HELD_OUT_PARTS = (
    "samples of the data, each predicted by models that had not seen its part; the models here are those of every row. "
    "The default model is the one with the highest mean CCC over properties and parts."
)

Stored = Mapping[str, Mapping[str, Any]]


def write_bundles(
    config: MultifidelityConfig, folder: RunFolder, prepared: Replicates, results: pd.DataFrame, stored: Stored
) -> None:
    """Writes ``bundle/mir`` and ``bundle/nir`` into the run's folder, unless they are there.

    Args:
      config, folder, prepared, results: the study and its scores.
      stored: strategy -> parameters and scalings of the first replicate's network, or coefficients of its linear model
        (piece of stage 3).
    """
    replicate = prepared.handed_on
    if forbidden(replicate.sets.data.labelled.licence, folder.path / "bundle"):
        return
    columns = Columns("strategy task set id property", "observed predicted", "seed")
    predictions = read_parquet(folder.path / "predictions.parquet", columns)
    # Of measured pairs all parts, together each sample once.
    seeds = [replicate.number] if prepared.whole is None else [one.number for one in prepared.each]
    results = results.loc[results["seed"].isin(seeds) & (results["split"] == TEST)]
    first: Any = predictions[predictions["seed"].isin(seeds) & (predictions["set"] == TEST)]
    for name, strategies in BUNDLED.items():
        target = folder.path / "bundle" / name
        own = [strategy for strategy in strategies if strategy in config.strategies]
        spectra = getattr(replicate.sets, name)
        if (target / FACTS).exists() or not own or "test" not in spectra:
            continue
        library = replicate.sets.library(STRATEGY[own[0]].part)
        rows = np.concatenate(training_rows(replicate, STRATEGY[own[0]]))
        names = np.asarray(library.ids)[rows]
        level = levels(library.spectra.to_absorbance().values[rows])
        known: dict[str, Any] = {"names": names, "levels": level}
        domain = Domain.fit(spectra[STRATEGY[own[0]].part][rows], library.blocks[rows], **known)
        scores = domain.space.scores(spectra["test"])
        models: dict[str, Model] = {}
        for strategy in own:
            fitted = _fitted(replicate.sets.properties, strategy, stored)
            if fitted is not None:
                predictor, properties = fitted
                targets = tuple(_target(replicate, library, rows, one, strategy) for one in properties)
                found = _calibrations(replicate, first, strategy, targets, scores)
                models[strategy] = Model(predictor, STEPS, targets, found, _scores(results, strategy))
        if models:
            measured = replicate.sets.data.test_mir if name == "mir" else replicate.sets.data.test_nir
            Bundle(
                name=f"{folder.experiment}-{replicate.sets.data.name}-{name}".replace("/", "-"),
                axis=measured.spectra.axis,
                unit=measured.spectra.unit,
                quantity="absorbance",
                models=models,
                default=max(models, key=lambda one: models[one].mean_ccc()),
                domain=domain,
                data={"name": replicate.sets.data.name, "rows": int(rows.size), "licence": library.licence,
                      "notes": [*replicate.sets.data.notes, *library.notes], "sha256": library.fingerprint()},
                study={"experiment": folder.experiment, "command": folder.command,
                       "held_out": HELD_OUT if prepared.whole is None else HELD_OUT_PARTS},
                twin=replicate.sets.data.truth is not None,
            ).save(target)  # fmt: skip


def _fitted(properties: tuple[str, ...], strategy: str, stored: Stored) -> tuple[Predictor, tuple[str, ...]] | None:
    """A model and the properties that it predicts; None where its training diverged or nothing could be fitted."""
    if strategy not in stored:
        if STRATEGY[strategy].linear:
            raise DataError(
                "stage 3 of this run was finished by an earlier version, which did not keep this model",
                value=strategy, remedy="Start the run again with --overwrite.",
            )  # fmt: skip
        return None
    kept = stored[strategy]
    if STRATEGY[strategy].linear:
        # What could not be fitted, of too few values, has no slope.
        fitted = np.flatnonzero(np.any(kept["coefficients"], axis=0))
        names = tuple(properties[column] for column in fitted)
        parts = (np.asarray(kept["coefficients"])[:, fitted], np.asarray(kept["intercept"])[fitted])
        return (Linear(*parts, learned_scales(names)), names) if names else None
    widths = tuple(int(width) for width in np.asarray(kept["widths"]))
    parts = (np.asarray(kept["inputs"]), np.asarray(kept["targets"]), learned_scales(properties))
    return Perceptron(widths, kept["params"], *parts), properties


def _target(replicate: Replicate, library: Library, rows: NDArray[Any], name: str, strategy: str) -> Target:
    column = replicate.sets.properties.index(name)
    values = replicate.sets.values[STRATEGY[strategy].part][rows, column]
    return Target.of(name, library.property(name).unit, values, "log10" if name in LOGGED else "unit")


def _calibrations(
    replicate: Replicate, predictions: pd.DataFrame, strategy: str, targets: tuple[Target, ...], scores: NDArray[Any]
) -> dict[str, Calibration]:
    """Residuals on the test set, by property."""
    place = {str(name): row for row, name in enumerate(replicate.sets.library("test").ids)}
    task = NO_TASK if STRATEGY[strategy].linear else MULTI
    mine, found = predictions[(predictions["strategy"] == strategy) & (predictions["task"] == task)], {}
    for target in targets:
        rows = mine[mine["property"] == target.name]
        if len(rows):
            at = [place[str(name)] for name in rows["id"]]
            pair = (np.asarray(rows["observed"]), np.asarray(rows["predicted"]))
            found[target.name] = Calibration.of(*pair, np.full(len(at), TEST), scores[at], target.scale)  # type: ignore[arg-type]
    return found


def _scores(results: pd.DataFrame, strategy: str) -> tuple[dict[str, Any], ...]:
    chosen = results["model"] == strategy
    rows: Any = results[chosen & results["metric"].isin(["ccc", "r2", "rmse", "bias"]) & (results["task"] != "single")]
    keys = ["property", "split", "region", "scale", "metric", "value", "unit"]
    return score_rows(rows[keys])
