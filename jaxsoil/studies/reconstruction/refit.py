"""The models of a finished region-out study, fitted once more on all regions, as a bundle for other people's spectra.

What the bundle says of their accuracy comes from the regions that were held out: scores as in results.csv, and
intervals from the residuals of each region by models that had not seen it. The models handed on have seen them all.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from tqdm import tqdm

from jaxsoil.bundle.bundle import FACTS, Bundle, Model, Target
from jaxsoil.bundle.networks import Network
from jaxsoil.bundle.predictors import Linear, Trees
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split, all_rows, validation_rows
from jaxsoil.evaluation.applicability import reconstruction_limit
from jaxsoil.evaluation.domain import Domain
from jaxsoil.evaluation.results import read_results
from jaxsoil.evaluation.shift import Calibration
from jaxsoil.models import forest, plsr
from jaxsoil.models.autoencoder import ModelConfig
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.reconstruction.config import StudyConfig
from jaxsoil.studies.reconstruction.objectives import make_loss
from jaxsoil.studies.reconstruction.prepare import StudyInputs, describe, direct_start
from jaxsoil.studies.reconstruction.train import shared_data, snv_absorbance
from jaxsoil.training.devices import matmul_precision
from jaxsoil.training.grid import Trial, make_groups
from jaxsoil.training.group_run import GroupRun, run_groups

STAGE = "refit"
FOLDER = "bundle"
BASELINE_STEPS = ("absorbance", "snv")

HELD_OUT = (
    "each region was held out in turn, by models trained on the others; the models here are trained on all regions. "
    "The default model is the one with the highest mean CCC of log10 SOC over those regions."
)


def write_bundle(config: StudyConfig, run: RunFolder, prepared: StudyInputs) -> None:
    """Fits the study's models on all rows and writes them into the run's folder ``bundle``, unless it is there.

    Args:
      config: the study.
      run: its folder, with results.csv and predictions.parquet.
      prepared: its data.
    """
    target = run.path / FOLDER
    if (target / FACTS).exists():
        return
    library, results = prepared.library, read_results(run.path / "results.csv")
    spectra = snv_absorbance(library)
    domain = Domain.fit(spectra, library.blocks)
    soc = Target.of("soc", "%", library.property("soc").values)
    calibrations = _calibrations(run.path, library, domain.space.scores(spectra))
    fitted = {name: (_baseline(name, spectra, library), BASELINE_STEPS, None) for name in config.baselines}
    fitted |= {name: (network, (), limit) for name, network, limit in _networks(config, run.path, prepared)}
    # A model that diverged wherever a region was held out has nothing to be judged by.
    models = {
        name: Model(predictor, steps, (soc,), {"soc": calibrations[name]}, _scores(results, name), limit)
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
        default=max(models, key=lambda name: _mean_ccc(models[name])),
        domain=domain,
        data=describe(library, prepared.minerals),
        study={"experiment": run.experiment, "command": run.command, "held_out": HELD_OUT},
        twin=library.truth is not None,
    ).save(target)
    shutil.rmtree(run.path / "states", ignore_errors=True)


def _calibrations(folder: Path, library: Library, scores: np.ndarray) -> dict[str, Calibration]:
    """Residuals of each model on the regions it had not seen; of several seeds the mean prediction on the log scale."""
    held_out = pd.read_parquet(folder / "predictions.parquet", columns=["model", "id", "predicted", "split"])
    held_out = held_out[(held_out["split"] == "test") & np.isfinite(held_out["predicted"])]
    observed, region = library.property("soc").values, library.group("region")
    found = {}
    for name, rows in held_out.groupby("model", sort=False):
        logs: Any = pd.Series(np.log10(np.maximum(np.asarray(rows["predicted"]), 1e-6)), index=np.asarray(rows["id"]))
        predicted = 10.0 ** np.asarray(logs.groupby(level=0).mean().reindex(library.ids))
        kept = np.isfinite(predicted)
        found[str(name)] = Calibration.of(observed[kept], predicted[kept], region[kept], scores[kept])
    return found


def _baseline(name: str, spectra: np.ndarray, library: Library) -> Linear | Trees:
    target = np.log10(library.property("soc").values)
    if name == "plsr":
        return Linear.of([plsr.fit(spectra, target)], ["log10"])
    return Trees.of(forest.fit(spectra, target, seed=0), "log10")


def _networks(config: StudyConfig, folder: Path, prepared: StudyInputs) -> Iterator[tuple[str, Network, float | None]]:
    """Name, network and critical limit of the reconstruction error of each network that did not diverge."""
    library, split = prepared.library, all_rows(prepared.library)
    data, minerals = shared_data(library, prepared.minerals)
    with matmul_precision(config.train.precision):
        groups = make_groups(
            [_trial(config, library, split, network) for network in config.networks],
            config.train, config.devices, config.components, library.spectra.n_bands, minerals,
        )  # fmt: skip
        runs = [
            GroupRun(group, data, config.train, config.devices, folder, make_loss, stage=STAGE, keep_states=True)
            for group in groups
        ]
        with tqdm(total=config.train.epochs * len(runs), desc="bundle", unit="epoch", leave=False) as bar:

            def done(trial: Trial, first: int, after: int, losses: np.ndarray) -> None:
                bar.update(after - first)

            for run, trial, outcome in run_groups(runs, done):
                if outcome.alive:
                    decoded = trial.model.decoder != "none"
                    limit = reconstruction_limit(outcome.rmse).value if decoded else None
                    yield trial.name, _network(run, trial, prepared), limit


def _trial(config: StudyConfig, library: Library, split: Split, network: Any) -> Trial:
    model = ModelConfig(config.encoder, network, config.width, initialisation=config.initialisation)
    watch = validation_rows(split, library.blocks, config.train.validation_share, 0)
    start = direct_start(library, split) if config.start == "direct" and model.physical else None
    return Trial(network, model, split, 0, watch, 0, start)


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


def _scores(results: pd.DataFrame, model: str) -> tuple[dict[str, Any], ...]:
    """Scores of SOC on the held-out regions: of each, and the means over them and over seeds."""
    chosen = results["metric"].isin(["ccc", "rmse", "r2", "bias"]) & results["scale"].isin(["log10", "percent"])
    rows = results[chosen & (results["model"] == model) & (results["split"] == "test") & (results["property"] == "soc")]
    keys = ["property", "scale", "metric", "unit"]
    by_region: Any = rows.groupby([*keys, "region"], sort=False)["value"].mean()
    by_region = by_region.reset_index()
    means: Any = by_region.groupby(keys, sort=False)["value"].mean()
    means = means.reset_index()
    found = pd.concat([means.assign(region="mean over regions"), by_region], ignore_index=True).assign(split="test")
    return tuple({str(name): value for name, value in row.items()} for row in found.to_dict("records"))


def _mean_ccc(model: Model) -> float:
    found = [
        r["value"]
        for r in model.scores
        if (r["metric"], r["scale"], r["region"]) == ("ccc", "log10", "mean over regions")
    ]
    return float(found[0]) if found and np.isfinite(found[0]) else -np.inf
