"""The models of a finished region-out study, fitted once more on all regions, as a bundle for other people's spectra.

What the bundle says of their accuracy comes from the regions that were held out: scores as in results.csv, and
intervals from the residuals of each region by models that had not seen it. The models handed on have seen them all.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxsoil.bundle.bundle import FACTS, Bundle, Model, Target, forbidden, score_rows
from jaxsoil.bundle.networks import Network
from jaxsoil.bundle.predictors import Linear, Networks, Predictor, Process, Trees
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split, all_rows, validation_rows
from jaxsoil.evaluation.applicability import reconstruction_limit
from jaxsoil.evaluation.domain import Domain, levels
from jaxsoil.evaluation.shift import Calibration
from jaxsoil.models.autoencoder import ModelConfig
from jaxsoil.models.forest import Forest
from jaxsoil.runs import processes, progress
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.threads import one_thread_each
from jaxsoil.runs.tracking import Silent
from jaxsoil.studies.reconstruction import baselines, train
from jaxsoil.studies.reconstruction.config import Network as Decoder
from jaxsoil.studies.reconstruction.config import StudyConfig, settings_of
from jaxsoil.studies.reconstruction.family import Mean
from jaxsoil.studies.reconstruction.prepare import StudyInputs, describe, direct_start
from jaxsoil.studies.reconstruction.summaries import modelled_regions
from jaxsoil.studies.reconstruction.tables import read_main, read_predictions
from jaxsoil.training.cost import achieved
from jaxsoil.training.grid import Trial
from jaxsoil.training.group_run import GroupRun

STAGE = "refit"
FOLDER = "bundle"

HELD_OUT = (
    "each region was held out in turn, by models trained on the others; the models here are trained on all regions. "
    "The default model is the one with the highest mean CCC of log10 SOC over those of them whose SOC was measured. "
    "Values of a model of log10 SOC are medians; scores in % are those of their means (docs/comparisons.md)."
)


def write_bundle(config: StudyConfig, run: RunFolder, prepared: StudyInputs) -> None:
    """Fits the study's models on all rows and writes them into the run's folder ``bundle``, unless it is there; the run
    has results.csv and predictions.parquet."""
    target = run.path / FOLDER
    if (target / FACTS).exists():
        return
    if not processes.leads():
        for _ in () if forbidden(prepared.library.licence, target) else _networks(config, run, prepared):
            pass
        return
    if forbidden(prepared.library.licence, target):
        shutil.rmtree(run.path / "states", ignore_errors=True)
        return
    library, results, modelled = prepared.library, read_main(run.path), modelled_regions(run.path)
    spectra = baselines.seen(library, "snv")
    level = levels(baselines.seen(library, "absorbance"))
    domain = Domain.fit(spectra, library.blocks, names=library.ids, levels=level)
    soc = Target.of("soc", "%", library.property("soc").values)
    calibrations = _calibrations(run.path, library, domain.space.scores(spectra))
    with one_thread_each():
        fitted = {name: (*_baseline(name, config, library), None) for name in config.baselines}
    fitted |= {name: (network, (), limit) for name, network, limit in _networks(config, run, prepared)}
    # A model that diverged wherever a region was held out has nothing to be judged by.
    models = {
        name: Model(predictor, steps, (soc,), {"soc": calibrations[name]}, _scores(results, name, modelled), limit)
        for name, (predictor, steps, limit) in fitted.items()
        if name in calibrations
    }
    if not models:
        return
    Bundle(
        name=f"{run.experiment}-{library.name}",
        axis=library.spectra.axis,
        unit=library.spectra.unit,
        quantity="reflectance",
        models=models,
        default=max(models, key=lambda name: models[name].mean_ccc(scale="log10", region="mean over regions")),
        domain=domain,
        data=describe(library, prepared.minerals),
        study={"experiment": run.experiment, "command": run.command, "held_out": HELD_OUT},
        twin=library.truth is not None,
    ).save(target)
    shutil.rmtree(run.path / "states", ignore_errors=True)


def _calibrations(folder: Path, library: Library, scores: np.ndarray) -> dict[str, Calibration]:
    """Residuals of each model on the regions it had not seen; of several seeds the mean prediction on the log scale."""
    held_out = read_predictions(folder)
    held_out = held_out[(held_out["split"] == "test") & np.isfinite(held_out["predicted"])]
    observed, region = library.property("soc").values, library.group("region")
    found = {}
    for name, rows in held_out.groupby("model", sort=False):
        logs: Any = pd.Series(np.log10(np.maximum(np.asarray(rows["predicted"]), 1e-6)), index=np.asarray(rows["id"]))
        predicted = 10.0 ** np.asarray(logs.groupby(level=0).mean().reindex(library.ids))
        kept = np.isfinite(predicted)
        found[str(name)] = Calibration.of(observed[kept], predicted[kept], region[kept], scores[kept])
    return found


def _baseline(name: str, config: StudyConfig, library: Library) -> tuple[Predictor, tuple[str, ...]]:
    """A baseline with the study's own setting, and the steps that prepare its spectra."""
    (what, loss), soc = settings_of(config, name)[0], library.property("soc").values
    own: dict[str, Any] = {"seed": 0, "loss": loss, "train": config.train, "correct": False}
    own |= {"regions": baselines.regions_of(library), "axis": library.spectra.axis}
    model = baselines.fit(name, baselines.seen(library, what), soc, library.blocks, **own).model
    scale = "log10" if loss == "log" else "unit"
    steps = baselines.STEPS[what]
    if isinstance(model, Forest):
        return Trees.of(model, scale), steps
    if isinstance(model, Mean):
        slope, start = model.linear.coefficients[:, None], np.array([model.linear.intercept])
        linear = Linear(slope, start, (scale,))
        base = linear if model.process is None else Process(linear, model.process, model.weight)
        return base if model.networks is None else Networks(base, model.networks, model.share), steps
    return Linear.of([model], [scale]), steps


def _networks(
    config: StudyConfig, run: RunFolder, prepared: StudyInputs
) -> Iterator[tuple[str, Network, float | None]]:
    """Name, network and critical limit of the reconstruction error of each network that did not diverge."""
    library, split = prepared.library, all_rows(prepared.library)
    trials = [_trial(config, library, split, network) for network in config.networks]
    networks = train.Networks(
        library, prepared.minerals, trials, config.train, config.devices, config.components,
        STAGE, keep_states=True, measure=None,
    )  # fmt: skip
    # Once more: what came before, such as the baselines and the tables, is no time of theirs.
    progress.expect({STAGE: len(config.networks)}, STAGE)
    began, runs = time.perf_counter(), list[GroupRun]()
    for group, trial, outcome in train.trained(networks, run, Silent(), runs, STAGE):
        if outcome.alive:
            decoded = trial.model.decoder != "none"
            limit = reconstruction_limit(outcome.rmse).value if decoded else None
            yield trial.name, _network(group, trial, prepared), limit
    if not processes.several():
        train.record_floors(run, STAGE, achieved(runs, config.train, time.perf_counter() - began))


def _trial(config: StudyConfig, library: Library, split: Split, network: Decoder) -> Trial:
    what, loss = settings_of(config, network)[0]
    model = ModelConfig(config.encoder, network, config.width, initialisation=config.initialisation, input=what)
    watch = validation_rows(split, library.blocks, config.train.validation_share, 0)
    start = direct_start(library, split) if config.start == "direct" and model.physical else None
    return Trial(network, model, split, 0, watch, 0, start, loss)


def _network(run: GroupRun, trial: Trial, prepared: StudyInputs) -> Network:
    """A trained network with the parameters that the run kept."""
    params, stats = jax.tree.map(lambda x: np.asarray(x)[0], run.kept_states(0))
    minerals: dict[str, np.ndarray] = {}
    if trial.model.physical and prepared.minerals is not None:
        own = prepared.minerals
        minerals = {"spectra": own.spectra.values, "rho_r": own.rho_r.astype(np.float32)}
    return Network(
        run.group.components,
        prepared.library.spectra.n_bands,
        dataclasses.asdict(trial.model),
        {"params": params, "batch_stats": stats},
        minerals,
    )


def _scores(results: pd.DataFrame, model: str, modelled: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Scores of SOC on the held-out regions, and their means over seeds and the regions whose SOC is not modelled."""
    chosen = results["metric"].isin(["ccc", "rmse", "r2", "bias"]) & results["scale"].isin(["log10", "percent"])
    rows = results[chosen & (results["model"] == model) & (results["split"] == "test") & (results["property"] == "soc")]
    keys = ["property", "scale", "metric", "unit"]
    by_region: Any = rows.groupby([*keys, "region"], sort=False)["value"].mean()
    by_region = by_region.reset_index()
    means: Any = by_region[~by_region["region"].isin(modelled)].groupby(keys, sort=False)["value"].mean()
    means = means.reset_index()
    found = pd.concat([means.assign(region="mean over regions"), by_region], ignore_index=True).assign(split="test")
    return score_rows(found)
