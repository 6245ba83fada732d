"""A synthetic run folder of the multi-fidelity study, in the shapes that the study leaves; the numbers are random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from made_once import made_once

from jaxsoil.evaluation import results
from jaxsoil.evaluation.applicability import LatentSpace, critical_limit
from jaxsoil.evaluation.compare import describe
from jaxsoil.evaluation.conversion import conversion_tables
from jaxsoil.evaluation.xi import bin_spectra, xi_matrix
from jaxsoil.studies.multifidelity import reliability
from jaxsoil.studies.multifidelity.config import STRATEGIES, STRATEGY
from jaxsoil.studies.multifidelity.report.published import PROPERTIES, summary
from jaxsoil.studies.multifidelity.tables import OWN, result_rows, summaries

SKILL = {"MIR-PLSR": 0.5, "MIR-MLP": 0.5, "MIR-SSL-MLP": 0.35, "NIR-PLSR": 1.0, "NIR-MLP": 1.0}


@made_once
def write_multifidelity_run(
    folder: Path,
    *,
    strategies: tuple[str, ...] = (*STRATEGIES, "NIRtoMIR-SSL-MLP-samples"),
    properties: tuple[str, ...] = tuple(PROPERTIES),
    seeds: int = 3,
    tasks: tuple[str, ...] = ("multi", "single"),
    optional: bool = True,
    latents: int = 32,
    n_test: int = 60,
    not_converged: str = "",
    fields: tuple[str, ...] = (),
    config: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
) -> Path:
    """Writes a run; ``optional=False`` leaves scores and the header alone, ``not_converged`` is a stage-3 label."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(17)
    observed = {which: _observed(properties, n, rng) for which, n in (("test", n_test), ("validation", 80))}
    predictions = _predictions(strategies, properties, seeds, tasks, observed, rng)
    units = {name: PROPERTIES.get(name, (name, "%"))[1] for name in properties}
    regions = dict(enumerate(fields or ["all"] * seeds))
    table = result_rows(predictions, units, regions, study="multifidelity", data="synthetic")
    write_scores(folder, table, predictions if optional else predictions.head(0))
    _headers(folder, properties, observed, config or {}, data or {})
    if optional:
        predictions.to_parquet(folder / "predictions.parquet", index=False)
        _spectral(folder, seeds, latents, n_test, rng)
        _training(folder, strategies, properties, seeds, not_converged, rng)
    return folder


def write_scores(folder: Path, table: pd.DataFrame, predictions: pd.DataFrame) -> None:
    """Writes results.csv and what the study computes from it, for scores that a test has changed."""
    results.write_results(folder / "results.csv", table, OWN)
    for name, frame in summaries(table, predictions).items():
        if len(frame):
            frame.to_csv(folder / f"{name}.csv", index=False)


def _observed(properties: tuple[str, ...], n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    texture = 100.0 * rng.dirichlet([3.0, 4.0, 3.0], size=n)
    found = {}
    for name in properties:
        row = summary(name, "NAPT")
        mean, sd = (row.mean, row.sd) if row is not None else (1.0, 1.0)
        found[name] = np.exp(rng.normal(0.0, 0.5, n)) * mean * 0.9 if name != "ph" else rng.normal(mean, sd, n)
        if name in ("clay", "silt", "sand"):
            found[name] = texture[:, ("clay", "silt", "sand").index(name)]
    return found


def _predictions(
    strategies: tuple[str, ...],
    properties: tuple[str, ...],
    seeds: int,
    tasks: tuple[str, ...],
    observed: dict[str, dict[str, np.ndarray]],
    rng: np.random.Generator,
) -> pd.DataFrame:
    frames = []
    for strategy in strategies:
        plsr = strategy.endswith("PLSR")
        for task in ("-",) if plsr else tasks:
            for which, truth in observed.items():
                if which == "validation" and strategy.endswith("samples"):
                    continue
                for seed in range(1 if plsr else seeds):
                    texture = [name for name in ("clay", "silt", "sand") if name in properties]
                    made = {}
                    for name in properties:
                        y = truth[name]
                        noise = SKILL.get(strategy, 0.9) * y.std() * rng.normal(0.3, 1.0, y.size)
                        made[name] = y.mean() + 0.8 * (y - y.mean()) + noise
                    if "ILR" in strategy and len(texture) == 3:
                        total = sum(np.maximum(made[name], 0.1) for name in texture)
                        made |= {name: 100.0 * np.maximum(made[name], 0.1) / total for name in texture}
                    for name in properties:
                        frame = pd.DataFrame({"observed": truth[name], "predicted": made[name]})
                        ids = [f"{which}-{row}" for row in range(len(frame))]
                        key = {"seed": seed, "strategy": strategy, "task": task, "set": which, "property": name}
                        frames.append(frame.assign(id=ids, **key))
    return pd.concat(frames, ignore_index=True)


def _spectral(folder: Path, seeds: int, latents: int, n_test: int, rng: np.random.Generator) -> None:
    axis = np.linspace(4000.0, 600.0, 171)
    mixing = np.exp(-(((axis - rng.uniform(700, 3900, (latents, 1))) / rng.uniform(30, 200, (latents, 1))) ** 2))
    z = {name: rng.normal(0.0, 1.0, (n, latents)) for name, n in (("train", 300), ("pairs", 120), ("test", n_test))}
    z["train"][:, 1::5] = np.where(rng.random((300, 1)) < 0.4, -2.0, 1.0) + 0.4 * z["train"][:, 1::5]
    z["test"] = 0.8 * z["test"] + 0.4
    dead = [latents - 1, latents // 2]
    for table in z.values():
        table[:, dead] *= 0.01
    blurred = {name: table + rng.normal(0.0, 0.6, table.shape) for name, table in z.items()}
    kl = np.where(np.isin(np.arange(latents), dead), 0.001, rng.uniform(0.5, 3.0, latents))
    arrays: dict[str, Any] = {
        "train": z["train"],
        "pairs_mir": z["pairs"],
        "pairs_nir": blurred["pairs"],
        "test_mir": z["test"],
    }
    arrays["test_nir"] = blurred["test"]
    np.savez(folder / "latent.npz", **arrays, kl=kl)
    sets = [reliability.latent_set_rows(arrays, kl > 0.01, seed) for seed in range(seeds)]
    pd.concat(sets).to_csv(folder / "latent_sets.csv", index=False)
    spectra = z["train"] @ mixing + rng.normal(0.0, 0.3, (300, axis.size))
    wavenumber, binned = bin_spectra(spectra, axis)
    np.savez(folder / "xi.npz", wavenumber=wavenumber, xi=xi_matrix(z["train"], binned))
    collapsed = [
        {"seed": seed, "latent": place, "kl": value, "active": int(value > 0.01)}
        for seed in range(seeds)
        for place, value in enumerate(kl)
    ]
    pd.DataFrame(collapsed).to_csv(folder / "latents.csv", index=False)
    base = np.sin(axis / 300.0) + 1.5 * np.exp(-(((axis - 1100.0) / 120.0) ** 2))
    observed = base + z["test"] @ mixing * 0.3
    sd = np.broadcast_to(0.08 + 0.1 * np.exp(-(((axis - 2000.0) / 300.0) ** 2)), observed.shape)
    converted = observed + 0.1 * np.sin(axis / 500.0) + 1.5 * sd * rng.normal(size=observed.shape)
    ids = np.array([f"test-{row}" for row in range(n_test)])
    np.savez(folder / "converted.npz", wavenumber=axis, observed=observed, converted=converted, sd=sd, ids=ids)
    for name, table in conversion_tables(axis, observed, converted, sd).items():
        made = [table.assign(seed=seed, set="test") for seed in range(seeds)]
        pd.concat(made).to_csv(folder / f"{name}.csv", index=False)
    distances, limits = [], []
    for seed in range(seeds):
        for space, tables in (("mir", z), ("nir", blurred)):
            latent_space = LatentSpace.fit(z["train"])
            limit = critical_limit(latent_space.distance(z["train"]))
            key = {"seed": seed, "space": space}
            limits.append({**key, "d0": limit.mean, "dof": limit.dof, "alpha": limit.alpha, "limit": limit.value})
            for which in ("train", "pairs", "test"):
                d = latent_space.distance(tables[which])
                frame = pd.DataFrame({"id": np.arange(d.size), "distance": d, "extreme": limit.exceeded(d).astype(int)})
                distances.append(frame.assign(**key, set=which, limit=limit.value))
    pd.concat(distances).to_csv(folder / "distances.csv", index=False)
    reliability.extreme_rows(pd.concat(distances)).to_csv(folder / "extremes.csv", index=False)
    pd.DataFrame(limits).to_csv(folder / "limits.csv", index=False)


def _training(
    folder: Path,
    strategies: tuple[str, ...],
    properties: tuple[str, ...],
    seeds: int,
    not_converged: str,
    rng: np.random.Generator,
) -> None:
    networks = [name for name in strategies if not STRATEGY[name].linear and STRATEGY[name].model == name]
    stages = [("stage1", "vae"), ("stage2", "nir encoder"), *(("stage3", f"{name}/multi") for name in networks)]
    history, convergence = [], []
    for stage, label in stages:
        for seed in range(seeds):
            epoch = np.arange(40)
            loss = np.exp(-epoch / 8.0) + 0.05 + 0.01 * rng.random(40)
            extra = {"reconstruction": 0.8 * loss, "kl": 0.2 * epoch / 40.0} if stage == "stage1" else {}
            extra |= {"alpha": 1.0 - epoch / 39.0, "nir": 0.5 * loss} if stage == "stage2" else {}
            key = {"stage": stage, "seed": seed, "label": label}
            history.append(
                pd.DataFrame({"epoch": epoch, "loss": loss, "validation_loss": 1.1 * loss, **extra}).assign(**key)
            )
            convergence.append({**key, "epochs": 40, "alive": True, "converged": label.split("/")[0] != not_converged})
    pd.concat(history).to_csv(folder / "history.csv", index=False)
    pd.DataFrame(convergence).to_csv(folder / "convergence.csv", index=False)
    rows = [
        {"set": which, "range": span, "repetition": r, "property": name, "ccc": rng.uniform(0.3, 0.9),
         "rpiq": rng.uniform(0.8, 3.0)}
        for which in ("pairs", "test")
        for span in ("nir", "mir")
        for r in range(10)
        for name in properties
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "internal.csv", index=False)
    rows = [
        {"labels": n, "seed": seed, "draw": 0, "strategy": strategy, "property": name,
         "ccc": 1 - rng.uniform(1.0, 2.0) / n**0.4, "rmse": 1.0, "rpiq": 0.2 * n**0.4}
        for n in (10, 30, 100, 300, 1000)
        for seed in range(seeds)
        for strategy in ("MIR-PLSR", "MIR-MLP", "MIR-SSL-MLP")
        for name in (*properties, "mean")
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "curves.csv", index=False)
    rows = [
        {"seed": 0, "strategy": strategy, "property": name, "components": 7}
        for strategy in ("MIR-PLSR", "NIR-PLSR")
        for name in properties
    ]
    pd.DataFrame(rows).to_csv(folder / "components.csv", index=False)


def _headers(
    folder: Path, properties: tuple[str, ...], observed: dict[str, Any], config: dict[str, Any], data: dict[str, Any]
) -> None:
    contents = {
        "config.json": {
            "experiment": "multifidelity",
            "config": {"data": "synthetic", "seeds": 3},
            "convergence": "A network counts as converged when its validation loss did not fall for 10 epochs.",
            "differs_from_paper": [["scans", 12_000, 334_665]],
            "ours": [["stage1.beta", 0.001, "not published"], ["stage1.widths", [512, 128], "not published"]],
            **config,
        },
        "env.json": {"command": "python experiments/run.py --exp=multifidelity", "python": "3.12.1"},
        "data.json": {
            "name": "synthetic",
            "notes": ["Random numbers for the tests of the report."],
            "counts": {
                "pretrain_scans": 12_000,
                "pretrain_samples": 3_000,
                "labelled": 2_400,
                "pairs": 400,
                "test": 60,
            },
            "sha256": "f" * 64,
            "properties": {
                name: {"unit": PROPERTIES.get(name, (name, "%"))[1], "test": describe(observed["test"][name])}
                for name in properties
            },
            **data,
        },
        "timing.json": {"stage1": 60.0, "stage2": 20.0, "stage3": 40.0},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
