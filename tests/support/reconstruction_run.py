"""A synthetic run folder with the files that reports read, in the shapes that a study leaves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from alarm_samples import make_samples
from made_once import made_once

from jaxsoil.evaluation import results
from jaxsoil.studies.reconstruction import summaries
from jaxsoil.studies.reconstruction.tables import OWN, UNDEFINED

SUMMARIES = (
    summaries.region_blocks, summaries.averages, summaries.alarms, summaries.model_differences,
    summaries.learned_spectra,
)  # fmt: skip
"""To be written again where a test changes the tables behind them."""

NETWORKS = ("none", "ann", "physics", "physics_no_rho")
DECODERS = {"ann", "physics", "physics_no_rho"}
SKILL = {"plsr": 0.25, "random_forest": 0.35, "none": 0.3, "ann": 0.28, "physics": 0.32}


@made_once
def write_run(
    folder: Path,
    *,
    regions: tuple[str, ...],
    models: tuple[str, ...] = ("plsr", "random_forest", "none", "ann"),
    seeds: int = 1,
    n: int = 60,
    diverged: tuple[str, str] | None = None,
    not_converged: tuple[str, str] | None = None,
    constant: str | None = None,
    exposure: str = "inductive",
    config: dict | None = None,
    data: dict | None = None,
    fit: float = 0.1,
) -> Path:
    """Writes a run of ``models`` on ``regions``.

    ``diverged`` and ``not_converged`` are (model, region); ``constant`` is a region whose SOC does not vary;
    ``fit`` is how far networks are off their training rows (SD of ln SOC).
    """
    rng = np.random.default_rng(11)
    folder.mkdir(parents=True, exist_ok=True)
    axis = np.linspace(400.0, 2500.0, 120)
    rows, trials, predictions, history, examples, undefined = [], [], [], [], [], []
    for region in regions:
        level, size = rng.normal(0.2, 0.3), int(n * rng.uniform(0.5, 2.0))
        log_soc = np.full(size, 0.1) if region == constant else rng.normal(level, 0.3, size)
        observed = 10.0**log_soc
        spectrum = 0.15 + 0.35 * (1 - np.exp(-(axis - 350) / 600)) - 0.08 * np.exp(-(((axis - 1915) / 40) ** 2))
        for model in models:
            shift = rng.normal(0.0, 0.2)
            for seed in range(seeds if model in NETWORKS else 1):
                noise = rng.normal(0.0, SKILL.get(model, 0.3), size)
                predicted = 10.0 ** (0.6 * (log_soc - level) + level + shift + noise)
                status = "fitted" if model not in NETWORKS else "converged"
                if (model, region) == diverged:
                    status, predicted = "diverged", np.full(size, np.nan)
                if (model, region) == not_converged:
                    status = "not converged"
                key = {"study": "region_out", "data": "synthetic", "model": model, "region": region, "seed": seed}
                setting = {"input": "snv", "loss": "linear" if model in NETWORKS else "log"}
                key |= setting
                reasons: dict[str, str] = {}
                rows += results.metric_rows(observed, predicted, split="test", reasons=reasons, **key)
                undefined += [
                    key | {"variant": "", "metric": metric, "reason": reason.split(": ")[-1]}
                    for metric, reason in reasons.items()
                ]
                if status != "fitted":
                    fitted = predicted if status == "diverged" else observed * rng.lognormal(0.0, fit, size)
                    rows += results.metric_rows(observed, fitted, split="train", **key)
                trial = f"{model}/region_out/{region}/{seed}"
                trials.append(
                    {
                        "trial": trial,
                        "model": model,
                        "region": region,
                        "seed": seed,
                        "status": status,
                        "epochs": 0 if status == "fitted" else 60,
                        "parameters": 0 if status == "fitted" else 394_010,
                        "kept": 0 if status == "fitted" else 60,
                        "steps": 0 if status == "fitted" else 60 * (size // 10),
                        "exposure": exposure,
                        **setting,
                        "variant": "",
                        "smearing": 1.25,
                    }
                )
                ids = [f"{region}-{index}" for index in range(size)]
                frame = pd.DataFrame({"id": ids, "observed": observed, "predicted": predicted, "mean": predicted})
                predictions.append(frame.assign(model=model, region=region, seed=seed, split="test", variant=""))
                if model in DECODERS:
                    error = np.full(size, np.nan) if status == "diverged" else rng.uniform(0.005, 0.04, size)
                    for part in ("train", "test"):
                        rows.append(results.mrmse_row(error, split=part, **key))
                    made = spectrum + rng.uniform(0.002, 0.02) * np.sin(axis / rng.uniform(80, 300) + rng.uniform(0, 6))
                    made = np.full_like(axis, np.nan) if status == "diverged" else made
                    examples.append((region, seed, model, ids[0], spectrum + rng.normal(0, 0.002, axis.size), made))
                loss = np.exp(-np.arange(60) / 15.0)
                history.append(
                    pd.DataFrame(
                        {"trial": trial, "epoch": np.arange(1, 61), "train_loss": loss, "validation_loss": 1.2 * loss}
                    )
                )
    results.write_results(folder / "results.csv", results.as_frame(rows, OWN), OWN)
    pd.DataFrame(trials).to_csv(folder / "trials.csv", index=False)
    pd.DataFrame(undefined, columns=pd.Index(UNDEFINED)).to_csv(folder / "undefined.csv", index=False)
    pd.concat(history).to_csv(folder / "history.csv", index=False)
    columns = ["model", "region", "seed", "split", "id", "variant", "observed", "predicted", "mean"]
    pd.concat(predictions, ignore_index=True)[columns].to_parquet(folder / "predictions.parquet", index=False)
    if examples:
        names = ("region", "seed", "model", "id", "observed", "reconstructed")
        arrays: dict[str, Any] = {
            name: np.array([example[place] for example in examples]) for place, name in enumerate(names)
        }
        np.savez(folder / "reconstructions.npz", axis=axis, **arrays)
    _write_samples(folder, regions, [model for model in models if model in NETWORKS], seeds, diverged)
    _write_json(folder, config or {}, data or {})
    if len(regions) > 1:  # with one held-out part alone no row trains, and a run of draws has no summaries
        summaries.write(folder, SUMMARIES)
    return folder


def _write_samples(folder: Path, regions: tuple[str, ...], models: list[str], seeds: int, diverged: Any) -> None:
    if not models:
        return
    samples = make_samples(regions, models=models, seeds=seeds, failing=regions[:1], n=12)
    samples.loc[samples["model"] == "none", "spectrum_rmse"] = np.nan
    if diverged is not None:
        lost = (samples["model"] == diverged[0]) & (samples["region"] == diverged[1])
        samples.loc[lost, ["predicted", "spectrum_rmse", "latent_distance"]] = np.nan
    samples.to_parquet(folder / "samples.parquet", index=False)


def _write_json(folder: Path, config: dict, data: dict) -> None:
    contents = {
        "config.json": {
            "experiment": "region_out",
            "config": {"data": "synthetic"},
            "convergence": "A network counts as converged when the last fifth of its 60 epochs lowered the watched "
            "loss by less than 2%.",
            "differs_from_paper": [["train.lr", 1e-3, 5e-5], ["bands", "120 (400-2500 nm)", "2136 (365-2500 nm)"]],
            **config,
        },
        "env.json": {
            "command": "python experiments/run.py --exp=region_out --data synthetic",
            "python": "3.12.0",
            "versions": {"jax": "0.12.0", "numpy": "2.3.0", "absent": None},
            "devices": ["cpu cpu"],
            "processor": "a processor",
            "git": {"commit": "0123abcd", "modified": True},
        },
        "data.json": {
            "name": "synthetic",
            "rows": 480,
            "bands": 120,
            "axis": [400.0, 2500.0],
            "unit": "nm",
            "licence": "CC0",
            "notes": ["12 rows left out: no SOC"],
            "sha256": "f" * 64,
            **data,
        },
        "timing.json": {"plsr_s": 1.2, "compile_s": 9.8, "ann_train_s": 60.0, "total_s": 83.4},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
