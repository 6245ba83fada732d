"""Files and tables of the study of layer transfer."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation.results import ALL_SEEDS
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import RunContents, RunFiles, where
from jaxsoil.report.tables import Table, mean_sd, number, percent, pivot_table, rows_table
from jaxsoil.runs.tables import Columns, read_csv

LABELS = {
    "mean": "Mean of the layer",
    "rf": "RF, point covariates",
    "rf_window": "RF, with window means",
    "cnn": "CNN, one layer",
    "cnn_long": "CNN, one layer, longer",
    "multitask": "CNN, multi-task",
    "multitask_tuned": "CNN, multi-task, tuned",
    "transfer": "CNN, transfer",
    "profile": "CNN, depth function",
    "chosen": "Chosen inside the training folds",
}
"""Models of the study by their name in the results."""

UNDRAWN = ("cnn_long", "multitask_tuned", "chosen")
"""Models that stand in tables alone: controls, and what is one of the others in each fold."""

SPLITS = {"blocks": "spatial blocks", "random": "random"}
POOLED = "pooled"

PUBLISHED = (("CNN, transfer", "0.374", "2.937"), ("RF; CNN; multi-task CNN", "lower", "higher"))
"""Model, R2 and RMSE (%) as the abstract of Han et al. (2025) states them."""

PROSE = Prose("jaxsoil.studies.layers.report", "tables")

FILES = RunFiles(
    csv={
        "coverage": Columns("split model layer", "nominal coverage coverage_low coverage_high median_width", "n sites"),
        "inner": Columns("split model", "rmse", "fold n seed chosen"),
        "gains": Columns(
            "split first second layer verdict",
            "gain folds_low folds_high blocks_low blocks_high",
            "folds folds_better bootstraps seed",
        ),
        "truth": Columns("split model layer", "r2 rmse coverage", "n"),
        "trainings": Columns("split model epochs", whole="seed members diverged converged"),
    },
    parquet={"predictions": Columns("split model id layer", "seed fold block observed predicted low high")},
    arrays={"curves": ("ids",)},
    json=("maps",),
    optional=("truth", "curves", "inner"),
    results=("layer",),
)


@dataclasses.dataclass(frozen=True, eq=False)
class LayersRun(RunContents):
    """The files of a run, and the sites with their values in each layer."""

    @property
    def layers(self) -> list[str]:
        """Names of the layers from the surface down."""
        return [entry["name"] for entry in self.data["layers"]]

    @property
    def models(self) -> list[str]:
        """Models in the order of the tables."""
        return [name for name in LABELS if name in set(self.results["model"])]

    @property
    def drawn(self) -> list[str]:
        """Models of the figures."""
        return [name for name in self.models if name not in UNDRAWN]

    @property
    def splits(self) -> list[str]:
        """Splits in the order of the tables."""
        return [name for name in SPLITS if name in set(self.results["split"])]

    @property
    def unit(self) -> str:
        """Unit of the property."""
        return str(self.data["unit"])

    def scores(self, metric: str, **keys: object) -> pd.DataFrame:
        """Rows of a metric; of all seeds together unless ``keys`` say otherwise."""
        return where(self.results, **{"metric": metric, "seed": ALL_SEEDS, **keys})

    @property
    def by_model(self) -> dict[str, Any]:
        """Arguments of a pivot table with a row for each split and model."""
        return {
            "index": {"split": "Split", "model": "Model"},
            "order": {"split": self.splits, "model": self.models, "layer": self.layers},
            "labels": {"split": SPLITS, "model": LABELS},
        }


def read_layers_run(folder: str | os.PathLike[str]) -> LayersRun:
    """Reads a finished run; DataError names a file that is missing or damaged, or a run of an earlier version."""
    run = LayersRun.of(FILES.read(folder))
    numbers = ("east", "north", *run.layers)
    folds = [f"fold_{split}" for split in run.splits]
    run.tables["sites"] = read_csv(run.path / "sites.csv", Columns("id", numbers, ("block", *folds)))
    return run


def overview_table(run: LayersRun) -> Table:
    """All layers together, beside the published numbers."""
    pooled = where(run.results, layer=POOLED)
    cells = pooled.assign(column=pooled["metric"] + np.where(pooled["seed"] == ALL_SEEDS, ", together", ""))
    heads = {
        "r2": "R2, pooled", "r2_within": "R2, within layers", "r2_layers, together": "R2, mean of layers",
        "rmse": f"RMSE ({run.unit})", "rmse, together": "RMSE, seeds together", "ccc, together": "CCC, seeds together",
    }  # fmt: skip
    same = run.by_model
    same["order"], same["labels"] = same["order"] | {"column": heads}, same["labels"] | {"column": heads}
    title = "All layers together, on sites that the model did not see."
    shown: pd.DataFrame = cells.loc[cells["column"].isin(list(heads))]
    same |= {"combine": mean_sd, "notes": PROSE.notes("overview")}
    ours = pivot_table(shown, columns="column", value="value", title=title, **same)
    published = [
        ("not stated", f"{name} (published, Han et al. 2025)", r2, "n/a", "n/a", rmse, "n/a", "n/a")
        for name, r2, rmse in PUBLISHED
    ]
    return dataclasses.replace(ours, rows=(*published, *ours.rows))


def short_table(run: LayersRun) -> Table:
    """Scores of all layers and seeds together under the first split, the lowest RMSE first."""
    split, whole = run.splits[0], overview_table(run)
    best = run.scores("rmse", split=split, layer=POOLED).sort_values("value")["model"]
    place = {row[:2]: at for at, row in enumerate(whole.rows)}
    table = whole.part((1, 4, -2, -1), [place[SPLITS[split], LABELS[model]] for model in best])
    return dataclasses.replace(table, caption=f"All layers and seeds together, {SPLITS[split]}, on sites not seen.")


def layer_table(run: LayersRun, metric: str, title: str) -> Table:
    """One measure of every model and layer, seeds together."""
    rows = run.scores(metric)
    single: pd.DataFrame = rows.loc[rows["layer"] != POOLED]
    return pivot_table(single, columns="layer", value="value", title=title, **run.by_model)


def gain_table(run: LayersRun) -> Table:
    """Gains with their intervals."""
    rows = run.tables["gains"]
    notes = PROSE.notes("gains", draws=rows["bootstraps"].max(), seed=rows["seed"].max())
    between = lambda low, high: f"{number(low, 1)} to {number(high, 1)}"  # noqa: E731
    columns: Any = {
        "split": "Split", "first": "Model", "second": "Compared with", "layer": "Layer",
        "gain": ("Gain (% of RMSE)", 1), ("folds_low", "folds_high"): ("95 % over folds", between),
        ("folds_better", "folds"): ("Folds better", "{} of {}"),
        ("blocks_low", "blocks_high"): ("95 % over blocks", between), "verdict": "Reads as",
    }  # fmt: skip
    labels = {"split": SPLITS, "first": LABELS, "second": LABELS}
    return rows_table(rows, columns, title="Which layers gain, and by how much.", labels=labels, notes=notes)


def coverage_table(run: LayersRun) -> Table:
    """Coverage of the intervals on held-out observations, and against the truth where it is known."""
    keys, every = ["split", "model"], run.tables["coverage"]
    single = every[every["layer"] != POOLED].groupby(keys, sort=False)["coverage"].agg(["min", "max"]).reset_index()
    rows = where(every, layer=POOLED).merge(single, on=keys)
    between = lambda low, high: f"{percent(low)} to {percent(high)}"  # noqa: E731
    columns: Any = {
        "split": "Split", "model": "Model", "coverage": ("Coverage (%)", percent),
        ("coverage_low", "coverage_high"): ("Wilson's 95 %", between),
        ("min", "max"): ("Layers, lowest to highest", between), "median_width": (f"Median width ({run.unit})", 2),
    }  # fmt: skip
    if "truth" in run.tables:
        truth = where(run.tables["truth"], layer=POOLED).rename(columns={"coverage": "true"})
        rows, columns = rows.merge(truth[[*keys, "true"]], on=keys), {**columns, "true": ("True maps (%)", percent)}
    notes = PROSE.notes("coverage", truth="truth" in run.tables)
    title = f"Coverage of intervals of nominally {100.0 * rows['nominal'].max():g} %."
    return rows_table(rows, columns, title=title, labels={"split": SPLITS, "model": LABELS}, notes=notes)


def inner_table(run: LayersRun) -> Table | None:
    """RMSE of the inner cross-validation of each fold, and what it chose."""
    if "inner" not in run.tables:
        return None
    rows = run.tables["inner"]
    names = {fold: f"Fold {fold + 1}" for fold in sorted(set(rows["fold"]))}
    chosen = where(rows, chosen=1).sort_values("fold")["model"]
    listed = ", ".join(f"{names[fold]}: {LABELS[model]}" for fold, model in zip(names, chosen, strict=True))
    notes = PROSE.notes("inner", listed=listed, seed=rows["seed"].max())
    title = f"RMSE inside the training sites of each fold ({run.unit}), split: {SPLITS[rows['split'].iloc[0]]}."
    order = {"model": [name for name in LABELS if name in set(rows["model"])], "fold": [*names]}
    labels = {"model": LABELS, "fold": names}
    return pivot_table(rows, {"model": "Model"}, "fold", "rmse", title=title, notes=notes, order=order, labels=labels)


def truth_table(run: LayersRun) -> Table | None:
    """Models against the true maps: R2 of every layer, RMSE of all."""
    if "truth" not in run.tables:
        return None
    rows, same = run.tables["truth"], run.by_model
    rows = rows.assign(value=rows["r2"].where(rows["layer"] != POOLED, rows["rmse"]))
    same["order"] = same["order"] | {"layer": (*run.layers, POOLED)}
    same["labels"] = same["labels"] | {"layer": {POOLED: f"RMSE, all ({run.unit})"}}
    notes = PROSE.notes("truth", pixels=rows["n"].min())
    return pivot_table(rows, columns="layer", value="value", title="R2 against the true maps.", notes=notes, **same)


def training_table(run: LayersRun) -> Table:
    """How many networks were trained, and how many converged or diverged."""
    counts = dict.fromkeys(("members", "converged", "diverged"), "sum")
    rows = run.tables["trainings"].groupby(["split", "model"], sort=False, as_index=False)
    columns: Any = {
        "split": "Split", "model": "Network", "members": ("Trained", "{}"), "converged": ("Converged", "{}"),
        "diverged": ("Diverged", "{}"), "epochs": "Mean epochs by seed",
    }  # fmt: skip
    found: Any = rows.agg(counts | {"epochs": ", ".join})
    labels = {"split": SPLITS, "model": LABELS}
    return rows_table(found, columns, title="Trainings.", labels=labels, notes=PROSE.notes("trainings"))
