"""The study: loads, fits, calibrates, fills the table and writes the run folder."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.library import Library
from jaxsoil.evaluation.outliers import Judged, PcaSpace
from jaxsoil.runs import tracking
from jaxsoil.runs.files import write_csv, write_parquet
from jaxsoil.runs.folder import RunFolder
from jaxsoil.spectra.harmonise import Harmoniser
from jaxsoil.spectra.resample import Resample
from jaxsoil.studies.hybrid.config import PAPER, HybridConfig
from jaxsoil.studies.hybrid.cross import LABORATORY, RANDOM, Crossing, Part
from jaxsoil.studies.hybrid.fitting import CLIPPED, CNN, PLSR, Predicted, fit_all, jobs
from jaxsoil.studies.hybrid.prepare import EXCLUSION_COLUMNS, MIN_ROWS, prepare_library
from jaxsoil.studies.hybrid.product import check_product, model_id, product_table, write_product
from jaxsoil.studies.hybrid.results import (
    calibrate,
    coverage_table,
    predictions,
    require_models,
    score_table,
    suspect_values,
)

TWIN = "laboratories"


def prepare(config: HybridConfig) -> Crossing:
    """Loads and checks the data and draws the folds; nothing is written."""
    if config.data == TWIN:
        from jaxsoil.data.twin.laboratories.make import load_laboratories

        library = load_laboratories(config.twin)
    else:
        from jaxsoil.data import registry

        library = registry.load(config.data)
    library = _thinned(library, config.step)
    data = prepare_library(library, config.targets, config.same_laboratory, config.unit_check)
    return Crossing.lay_out(data, config)


def _thinned(library: Library, step: float) -> Library:
    axis = library.spectra.axis
    if step <= float(np.median(np.diff(axis))) * 1.001:
        return library
    count = int((axis[-1] - axis[0]) / step + 1e-9) + 1
    return library.with_spectra(Resample(axis[0] + step * np.arange(count), library.spectra.unit)(library.spectra))


def run(config: HybridConfig, folder: RunFolder, crossing: Crossing) -> None:
    """Fits every model that the folder lacks and writes tables, product and what the report needs."""
    with tracking.start(folder.path, folder.wandb, dataclasses.asdict(config)) as tracker:
        tracker.summary(headline(_run(folder, crossing, tracker), crossing.method))


def headline(scores: pd.DataFrame, method: str) -> dict[str, float]:
    """R2 and RMSE of each property and scheme by the networks behind the product, for the tracker."""
    behind = (scores["model"] == CNN) & (scores["harmonisation"] == method) & (scores["laboratory"] == "all")
    chosen: pd.DataFrame = scores.loc[behind]
    return {
        f"{metric}/{row['property']}/{row['scheme']}": float(row[metric])
        for row in chosen.to_dict("records")
        for metric in ("r2", "rmse")
    }


def _run(run: RunFolder, crossing: Crossing, tracker: tracking.Tracker) -> pd.DataFrame:
    """Writes everything and returns the scores."""
    start = time.perf_counter()
    predicted = fit_all(crossing, run.path / "models", tracker)
    require_models(predicted)
    fitted = time.perf_counter()
    calibrated = {target: calibrate(crossing, predicted, target) for target in crossing.data.targets}
    held = predictions(crossing, predicted, calibrated)
    harmoniser = crossing.harmoniser(None, crossing.method)
    spaces, judged = _judge(crossing, harmoniser)
    scores = score_table(held)
    models = {target: model_id(crossing, target) for target in crossing.data.targets}
    table = product_table(crossing, calibrated, judged, models)
    check_product(table, crossing)
    write_product(table, run.path / "hybrid.parquet")
    write_parquet(run.path / "predictions.parquet", held)
    write_parquet(run.path / "places.parquet", _places(crossing))
    write_parquet(run.path / "outliers.parquet", _outliers(crossing, spaces, judged, predicted))
    write_csv(run.path / "scores.csv", scores)
    write_csv(run.path / "coverage.csv", coverage_table(crossing, predicted, calibrated, judged))
    write_csv(run.path / "suspects.csv", suspect_values(crossing, calibrated))
    write_csv(run.path / "exclusions.csv", _exclusions(crossing, predicted, harmoniser))
    write_csv(run.path / "history.csv", predicted.history)
    write_csv(run.path / "networks.csv", predicted.networks)
    run.write_json("data.json", _data(crossing, models))
    stored = run.read_json("timing.json") if (run.path / "timing.json").exists() else {}
    seconds = {name: stored.get(name, 0.0) + value for name, value in predicted.seconds.items()}
    rest = {"fitting": fitted - start, "tables": time.perf_counter() - fitted}
    run.write_json("timing.json", {**seconds, **{k: stored.get(k, 0.0) + v for k, v in rest.items()}})
    return scores


def _judge(crossing: Crossing, harmoniser: Harmoniser) -> tuple[dict[str, PcaSpace], dict[str, Judged]]:
    """The space of all measured rows of each property, and where all rows lie in it."""
    data = crossing.data
    values = harmoniser(data.values, data.laboratory)
    spaces = {target: crossing.trainable(None, target, values).space for target in data.targets}
    return spaces, {target: space.judge(values) for target, space in spaces.items()}


def _outliers(
    crossing: Crossing, spaces: dict[str, PcaSpace], judged: dict[str, Judged], predicted: Predicted
) -> pd.DataFrame:
    data, frames = crossing.data, []
    for target, found in judged.items():
        space = spaces[target]
        gone = [rows for (name, part), rows in predicted.left_out.items() if name == target and part.scheme == RANDOM]
        left_out = np.zeros(len(data), bool)
        left_out[np.concatenate(gone)] = True
        spoiled = getattr(data.library.truth, "spoiled", np.full(len(data), ""))
        frames.append(
            pd.DataFrame(
                {
                    "property": target,
                    "id": data.library.ids,
                    "laboratory": data.laboratory,
                    "distance": found.distance,
                    "residual": found.residual,
                    "distance_limit": space.distance_limit.value,
                    "residual_limit": space.residual_limit.value,
                    "flag": found.flag,
                    "measured": np.isfinite(data.observed(target)),
                    "left_out": left_out,
                    "spoiled": spoiled,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _exclusions(crossing: Crossing, predicted: Predicted, harmoniser: Harmoniser) -> pd.DataFrame:
    """What was left out before, and what did not train because its spectrum is an outlier."""
    data = crossing.data
    rows: list[tuple[str, ...]] = []
    for target in data.targets:
        gone = [found for (name, part), found in predicted.left_out.items() if name == target and part.scheme == RANDOM]
        numbers, counts = np.unique(np.concatenate(gone), return_counts=True)
        for row, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            reason = f"spectrum beyond the outlier limits in {count} of {len(gone)} folds"
            rows.append((str(data.library.ids[row]), str(data.laboratory[row]), target, "training", reason))
        for name in crossing.held:
            if not crossing.possible(Part(LABORATORY, name), target):
                reason = "too few measured values in the other laboratories to learn from"
                rows.append(("all rows", name, target, "laboratory-out", reason))
    names, sizes = np.unique(data.laboratory, return_counts=True)
    for name, size in zip(names.tolist(), sizes.tolist(), strict=True):
        if size < MIN_ROWS:
            reason = f"laboratory of {size} rows, {MIN_ROWS} needed to centre it or to hold it out"
            rows.append(("all rows", name, "", "harmonisation and laboratory-out", reason))
    if crossing.method != "none":
        for name, reason in harmoniser.unchanged.items():
            if reason:
                rows.append(("all rows", name, "", "harmonisation", reason))
    frame = pd.DataFrame(rows, columns=pd.Index(EXCLUSION_COLUMNS))
    return pd.concat([data.exclusions, frame], ignore_index=True)


def _places(crossing: Crossing) -> pd.DataFrame:
    data = crossing.data
    return pd.DataFrame({"id": data.library.ids, "laboratory": data.laboratory, **data.places})


def _data(crossing: Crossing, models: dict[str, str]) -> dict[str, Any]:
    data, library = crossing.data, crossing.data.library
    names, sizes = np.unique(data.laboratory, return_counts=True)
    axis = library.spectra.axis
    return {
        "name": library.name,
        "licence": library.licence,
        "notes": list(data.notes),
        "sha256": library.fingerprint(),
        "rows": len(data),
        "samples": int(np.unique(data.sample).size),
        "laboratories": dict(zip(names.tolist(), sizes.tolist(), strict=True)),
        "held_laboratories": list(crossing.held),
        "axis": f"{axis.size} bands, {axis[0]:g}-{axis[-1]:g} {library.spectra.unit}",
        "harmonisation": crossing.method,
        "methods": list(crossing.methods),
        "held_out_rows": int((crossing.fold < 0).sum()),
        "synthetic": bool(data.truth),
        "paper": PAPER,
        "properties": {
            name: {
                "unit": limits.unit,
                "low": limits.low,
                "high": limits.high,
                "scale": limits.scale,
                "measured": int(np.isfinite(data.observed(name)).sum()),
                "predicted": int((~np.isfinite(data.observed(name))).sum()),
                "model": models[name],
            }
            for name, limits in data.ranges.items()
        },
    }


def plan(config: HybridConfig, crossing: Crossing) -> str:
    """What a configuration would fit, without fitting it."""
    todo, data = jobs(crossing), crossing.data
    names, sizes = np.unique(data.laboratory, return_counts=True)
    lines = [
        f"{data.library.name}: {len(data)} rows of {np.unique(data.sample).size} samples, "
        f"{data.values.shape[1]} bands, laboratories "
        + ", ".join(f"{name} {size}" for name, size in zip(names.tolist(), sizes.tolist(), strict=True)),
        f"harmonisation {crossing.method}; compared: {', '.join(crossing.methods)}",
    ]
    for target, limits in data.ranges.items():
        count = int(np.isfinite(data.observed(target)).sum())
        lines.append(
            f"{target}: {count} measured, {len(data) - count} to predict, "
            f"{limits.low:g} to {limits.high:g} {limits.unit}"
        )
    for model, what in ((CNN, "networks within bounds"), (CLIPPED, "networks that are clipped"), (PLSR, "PLSR")):
        by_scheme = {s: sum(j.model == model and j.part.scheme == s for j in todo) for s in (RANDOM, LABORATORY)}
        lines.append(f"{what}: {by_scheme[RANDOM]} in random folds, {by_scheme[LABORATORY]} with a laboratory held out")
    passes = sum(
        config.train.epochs * int(np.isfinite(data.observed(job.target)).sum()) for job in todo if job.model != PLSR
    )
    lines.append(
        f"about {passes / 1e6:.1f} million spectra pass through networks (two cores take in the order of "
        "10,000 a second at 213 bands)"
    )
    return "\n".join(lines)
