"""The study: loads, fits, calibrates, fills the table and writes the run folder."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.applicability import Judged
from jaxsoil.evaluation.results import write_results
from jaxsoil.report.prose import Prose
from jaxsoil.runs.files import write_csv, write_parquet
from jaxsoil.runs.folder import RunFolder, refuse_earlier
from jaxsoil.runs.mirror import Inputs
from jaxsoil.spectra.harmonise import Harmoniser
from jaxsoil.spectra.resample import Resample
from jaxsoil.studies.hybrid import results as tables
from jaxsoil.studies.hybrid.bundling import write_bundle
from jaxsoil.studies.hybrid.config import PAPER, HybridConfig
from jaxsoil.studies.hybrid.cross_fit import LABORATORY, LABORATORY_EXPOSURE, RANDOM, CrossFit, HeldOut
from jaxsoil.studies.hybrid.fitting import CLIPPED, CNN, PLSR, ModelPredictions, fit_all, model_fits
from jaxsoil.studies.hybrid.intervals import calibrate, coverage_table, held_out_predictions, suspect_values
from jaxsoil.studies.hybrid.network import Output, example
from jaxsoil.studies.hybrid.prepare import EXCLUSION_COLUMNS, MIN_ROWS, prepare_library
from jaxsoil.training import cost

TWIN = "laboratories"


def prepare(config: HybridConfig) -> CrossFit:
    """Loads and checks the data and draws the folds; nothing is written."""
    if config.data == TWIN:
        from jaxsoil.data.twin.laboratories.make import load_laboratories

        library = load_laboratories(config.twin)
    else:
        from jaxsoil.data import registry

        library = registry.load(config.data)
    axis, step = library.spectra.axis, config.step
    if step > float(np.median(np.diff(axis))) * 1.001:
        bands = axis[0] + step * np.arange(int((axis[-1] - axis[0]) / step + 1e-9) + 1)
        library = library.with_spectra(Resample(bands, library.spectra.unit)(library.spectra))
    data = prepare_library(library, config.targets, config.same_laboratory, config.unit_check)
    return CrossFit.draw(data, config)


def run(config: HybridConfig, folder: RunFolder, cross_fit: CrossFit) -> None:
    """Fits every model that the folder lacks and writes tables, product and what the report needs.

    Raises:
      DataError: a folder of an earlier version, too few training rows, or predictions that are not finite.
    """
    refuse_earlier(folder.path)
    inputs = Inputs.of(cross_fit.data.library.spectra, cross_fit.data.laboratory)
    with folder.track(dataclasses.asdict(config), inputs) as tracker:
        start = time.perf_counter()
        predicted = fit_all(cross_fit, folder.path / "models", tracker)
        fitted = time.perf_counter()
        tracker.summary(headline(_write(folder, cross_fit, predicted), cross_fit.method))
    folder.add_timing(predicted.seconds | {"fitting": fitted - start, "tables": time.perf_counter() - fitted})


def headline(results: pd.DataFrame, method: str) -> dict[str, float]:
    """R2 and RMSE of each property and scheme by the networks behind the product, for the tracker."""
    behind = (results["model"] == CNN) & (results["harmonisation"] == method) & (results["region"] == tables.ALL)
    ours: pd.DataFrame = results.loc[behind & results["metric"].isin(["r2", "rmse"])]
    return {f"{row['metric']}/{row['property']}/{row['split']}": float(row["value"]) for row in ours.to_dict("records")}


def _write(folder: RunFolder, cross_fit: CrossFit, predicted: ModelPredictions) -> pd.DataFrame:
    """Writes everything but the times and returns the results."""
    path, data = folder.path, cross_fit.data
    calibrated = {target: calibrate(cross_fit, predicted, target) for target in data.targets}
    held = held_out_predictions(cross_fit, predicted, calibrated)
    harmoniser = cross_fit.harmoniser(None, cross_fit.method)
    judged, outliers = _outliers(cross_fit, harmoniser, predicted)
    suspects = suspect_values(cross_fit, calibrated)
    models = {target: tables.model_id(cross_fit, target) for target in data.targets}
    table = tables.product_table(cross_fit, calibrated, judged, models)
    tables.check_product(table, cross_fit)
    tables.write_product(table, path / "hybrid.parquet")
    results = tables.result_table(cross_fit, folder.experiment, held, table, outliers, suspects)
    write_results(path / "results.csv", results, tables.OWN)
    write_csv(path / "skew.csv", tables.skew_table(results, cross_fit.method, data.targets))
    write_bundle(folder, cross_fit, held, results)
    places = data.places
    if "depth_cm" in places:
        write_csv(path / "depths.csv", tables.depth_table(table, places["depth_cm"], cross_fit.config.seed))
    places = pd.DataFrame({"id": data.library.ids, "laboratory": data.laboratory, **places})
    for name, frame in {"predictions": held, "places": places, "outliers": outliers}.items():
        write_parquet(path / f"{name}.parquet", frame)
    write_csv(path / "coverage.csv", coverage_table(cross_fit, predicted, calibrated, judged))
    write_csv(path / "suspects.csv", suspects)
    write_csv(path / "exclusions.csv", _exclusions(cross_fit, predicted, harmoniser))
    write_csv(path / "history.csv", predicted.history)
    write_csv(path / "networks.csv", predicted.networks)
    folder.write_json("data.json", _data(cross_fit, models))
    return results


def _outliers(
    cross_fit: CrossFit, harmoniser: Harmoniser, predicted: ModelPredictions
) -> tuple[dict[str, Judged], pd.DataFrame]:
    """Where all rows lie in the space of all measured rows of each property, also as a table."""
    data, judged, frames = cross_fit.data, {}, []
    values = harmoniser(data.values, data.laboratory)
    for target in data.targets:
        space = cross_fit.training_rows(None, target, values).space
        found = judged[target] = space.judge(values)
        left_out = np.zeros(len(data), bool)
        left_out[np.concatenate(predicted.random_outliers(target))] = True
        columns = {
            "property": target, "id": data.library.ids, "laboratory": data.laboratory,
            "distance": found.distance, "residual": found.residual,
            "distance_limit": space.limits[0], "residual_limit": space.limits[1],
            "flag": found.flag, "measured": data.measured(target), "left_out": left_out,
            "spoiled": getattr(data.library.truth, "spoiled", np.full(len(data), "")),
        }  # fmt: skip
        frames.append(pd.DataFrame(columns))
    return judged, pd.concat(frames, ignore_index=True)


def _exclusions(cross_fit: CrossFit, predicted: ModelPredictions, harmoniser: Harmoniser) -> pd.DataFrame:
    """What was left out before, and what did not train because its spectrum is an outlier."""
    data, every = cross_fit.data, "all rows"
    rows: list[tuple[str, ...]] = []
    for target in data.targets:
        folds = predicted.random_outliers(target)
        numbers, counts = np.unique(np.concatenate(folds), return_counts=True)
        for row, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            reason = f"spectrum beyond the outlier limits in {count} of {len(folds)} folds"
            rows.append((str(data.library.ids[row]), str(data.laboratory[row]), target, "training", reason))
        for name in cross_fit.laboratories:
            if not cross_fit.can_learn(HeldOut(LABORATORY, name), target):
                reason = "too few measured values in the other laboratories to learn from"
                rows.append((every, name, target, "laboratory-out", reason))
    for name, size in data.sizes.items():
        if size < MIN_ROWS:
            reason = f"laboratory of {size} rows, {MIN_ROWS} needed to centre it or to hold it out"
            rows.append((every, name, "", "harmonisation and laboratory-out", reason))
    if cross_fit.method != "none":
        unchanged = harmoniser.unchanged.items()
        rows += [(every, name, "", "harmonisation", reason) for name, reason in unchanged if reason]
    frame = pd.DataFrame(rows, columns=pd.Index(EXCLUSION_COLUMNS))
    return pd.concat([data.exclusions, frame], ignore_index=True)


def _data(cross_fit: CrossFit, models: dict[str, str]) -> dict[str, Any]:
    data, library = cross_fit.data, cross_fit.data.library
    axis = library.spectra.axis
    return {
        "name": library.name, "licence": library.licence, "notes": list(data.notes), "sha256": library.fingerprint(),
        "rows": len(data), "samples": int(np.unique(data.sample).size), "bands": axis.size,
        "axis": [float(axis[0]), float(axis[-1])], "unit": library.spectra.unit,
        "laboratories": data.sizes, "held_laboratories": list(cross_fit.laboratories),
        "harmonisation": cross_fit.method, "methods": list(cross_fit.methods),
        "laboratory_exposure": LABORATORY_EXPOSURE,
        "synthetic": any(data.truth(target) is not None for target in data.targets), "paper": PAPER,
        "properties": {t: {**dataclasses.asdict(limits), "model": models[t]} for t, limits in data.ranges.items()},
    }  # fmt: skip


def plan(config: HybridConfig, cross_fit: CrossFit) -> str:
    """What a configuration would fit and what that costs, without fitting it."""
    wanted, data, models = model_fits(cross_fit), cross_fit.data, []
    measured = {target: int(data.measured(target).sum()) for target in data.targets}
    for model, what in ((CNN, "networks within bounds"), (CLIPPED, "networks that are clipped"), (PLSR, "PLSR")):
        schemes = [fit.held_out.scheme for fit in wanted if fit.model == model]
        models.append((what, schemes.count(RANDOM), schemes.count(LABORATORY)))
    costs = []
    outputs: tuple[tuple[str, Output], ...] = ((CNN, "bounded"), (CLIPPED, "clipped"))
    for model, output in outputs:
        # Rows that are held out or watched are counted as if they trained: at most so many steps.
        steps = [max(1, measured[fit.target] // config.train.batch) for fit in wanted if fit.model == model]
        if steps:
            program, params = example(data.values.shape[1], output, config.network, config.train, cost.STEPS)
            costs.append(cost.of_program(f"networks, {output}", program, params, steps))
    values = {"samples": np.unique(data.sample).size, "measured": measured, "models": models}
    lines = Prose("jaxsoil.studies.hybrid.report", "plan").notes("plan", data=data, cross_fit=cross_fit, **values)
    return "\n".join([*lines, "", *cost.table(costs, (), "PLSR, intervals and predictions")])
