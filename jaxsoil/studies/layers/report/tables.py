"""Tables of the study of layer transfer, from the files of its run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxsoil.evaluation.compare import mean_sd, t_interval
from jaxsoil.report import files
from jaxsoil.report.tables import Table, number, plus_minus

LABELS = {
    "mean": "Mean of the layer",
    "rf": "RF, point covariates",
    "rf_window": "RF, with window means",
    "cnn": "CNN, one layer",
    "multitask": "CNN, multi-task",
    "transfer": "CNN, transfer",
    "profile": "CNN, depth function",
}
"""Models of the study by their name in the results."""

SPLITS = {"blocks": "spatial blocks", "random": "random"}
ALL, POOLED = "all", "pooled"
COMPARISONS = (("transfer", "cnn"), ("transfer", "multitask"), ("transfer", "rf"), ("profile", "multitask"))
"""Pairs that are compared: how much lower the RMSE of the first is than that of the second."""

PUBLISHED = (("CNN, transfer", "0.374", "2.937"), ("RF; CNN; multi-task CNN", "lower", "higher"))
"""Model, R2 and RMSE (%) as the abstract of Han et al. (2025) states them."""

BOOTSTRAPS = 2000

Frame = Any
"""A pandas table. Its type stubs make a union of every expression over columns, which says nothing to a checker."""


@dataclass(frozen=True, eq=False)
class LayersRun:
    """The files of a run folder."""

    path: Path
    data: dict[str, Any]
    config: dict[str, Any]
    environment: dict[str, Any]
    maps: dict[str, Any]
    timing: dict[str, Any]
    predictions: Frame
    scores: Frame
    folds: Frame
    coverage: Frame
    truth: Frame
    trainings: Frame
    sites: Frame

    @property
    def layers(self) -> list[str]:
        """Names of the layers from the surface down."""
        return [entry["name"] for entry in self.data["layers"]]

    @property
    def models(self) -> list[str]:
        """Models in the order of the tables."""
        return [name for name in LABELS if name in set(self.scores["model"])]

    @property
    def splits(self) -> list[str]:
        """Splits in the order of the tables."""
        return [name for name in SPLITS if name in set(self.scores["split"])]

    @property
    def unit(self) -> str:
        """Unit of the property."""
        return str(self.data["unit"])


def read_layers_run(folder: Path) -> LayersRun:
    """Reads a finished run.

    Raises:
      DataError: a file that is missing or damaged, by name.
    """

    def table(name: str) -> Frame:
        return files.read_csv(folder / name, dtype={"seed": str, "epochs": str, "id": str})

    truth = table("truth.csv") if (folder / "truth.csv").exists() else None
    return LayersRun(
        path=folder,
        data=files.read_json(folder / "data.json"),
        config=files.read_json(folder / "config.json"),
        environment=files.read_json(folder / "env.json"),
        maps=files.read_json(folder / "maps.json"),
        timing=files.read_json(folder / "timing.json"),
        predictions=files.read_parquet(folder / "predictions.parquet"),
        scores=table("scores.csv"),
        folds=table("folds.csv"),
        coverage=table("coverage.csv"),
        truth=truth,
        trainings=table("trainings.csv"),
        sites=table("sites.csv"),
    )


def chosen(table: Frame, **values: object) -> Frame:
    """Rows whose columns have these values."""
    return files.where(table, **values)


def overview_table(run: LayersRun) -> Table:
    """All layers together, beside the published numbers."""
    rows = [
        ("Published (Han et al. 2025)", "not stated", name, r2, "n/a", "n/a", rmse, "n/a", "n/a")
        for name, r2, rmse in PUBLISHED
    ]
    for split in run.splits:
        for model in run.models:
            mine = chosen(run.scores, split=split, model=model)
            single, together = mine[mine["seed"] != ALL], mine[mine["seed"] == ALL]
            pooled, joint = chosen(single, layer=POOLED), chosen(together, layer=POOLED)
            by_layer = float(together[together["layer"] != POOLED]["r2"].mean())
            rows.append(
                (
                    "Ours", SPLITS[split], LABELS[model], _mean_and_sd(pooled["r2"]), _mean_and_sd(pooled["r2_within"]),
                    number(by_layer), _mean_and_sd(pooled["rmse"]), number(float(joint["rmse"].iloc[0])),
                    number(float(joint["ccc"].iloc[0])),
                )
            )  # fmt: skip
    header = (
        "Source", "Split", "Model", "R2, pooled", "R2, within layers", "R2, mean of layers", f"RMSE ({run.unit})",
        "RMSE, seeds together", "CCC, seeds together",
    )  # fmt: skip
    notes = (
        "R2 is 1 - SSE/SST. Pooled: around the mean of all values, so that it also counts that the property falls with "
        "depth; within layers: around the mean of each layer; mean of layers: average of the layers' own R2, seeds "
        "together. The abstract does not say which of them its R2 is.",
        "Mean ± standard deviation over seeds (the folds stay, only the networks' and forests' draws change); 'seeds "
        "together' scores the mean prediction of all seeds.",
    )
    return Table("All layers together, on sites that the model did not see.", header, tuple(rows), notes, (0, 1, 2))


def layer_table(run: LayersRun, metric: str, title: str) -> Table:
    """One measure of every model and layer, seeds together."""
    rows = []
    for split in run.splits:
        for model in run.models:
            mine = chosen(run.scores, split=split, model=model, seed=ALL)
            cells = [number(float(chosen(mine, layer=layer)[metric].iloc[0])) for layer in run.layers]
            rows.append((SPLITS[split], LABELS[model], *cells))
    return Table(title, ("Split", "Model", *run.layers), tuple(rows), (), (0, 1))


@dataclass(frozen=True)
class Gain:
    """How much lower the RMSE of one model is than another's, in percent of the latter's; positive is better.

    ``over_folds``: Student's interval over folds, whose seeds are averaged first. ``over_blocks``: percentile interval
    of a bootstrap that redraws spatial blocks, of the predictions of all seeds together.
    """

    mean: float
    over_folds: tuple[float, float]
    over_blocks: tuple[float, float]
    better: str


def gains(run: LayersRun, split: str, first: str, second: str) -> dict[str, Gain]:
    """Gains of ``first`` over ``second`` for every layer and for all pooled."""
    return {layer: _gain(run, split, first, second, layer) for layer in (*run.layers, POOLED)}


def gain_table(run: LayersRun, found: Mapping[tuple[str, str, str], dict[str, Gain]]) -> Table:
    """Gains with their intervals."""
    rows = [
        (
            SPLITS[split], f"{LABELS[first]} over {LABELS[second]}", layer, number(gain.mean, 1),
            _ends(gain.over_folds), gain.better, _ends(gain.over_blocks), verdict(gain),
        )
        for (split, first, second), by_layer in found.items()
        for layer, gain in by_layer.items()
    ]  # fmt: skip
    header = (
        "Split", "Comparison", "Layer", "Gain (% of RMSE)", "95 % over folds", "Folds better", "95 % over blocks",
        "Reads as",
    )  # fmt: skip
    notes = (
        "Gain: how much lower the RMSE is, in percent of that of the model compared with. Over folds: Student's "
        "interval of the folds' gains, seeds averaged first, because seeds of one fold share its sites; the folds' "
        "training sets overlap, so it is somewhat too narrow. Over blocks: bootstrap of spatial blocks on the mean "
        "prediction of all seeds; it holds the trained models fixed and says how much depends on which places were "
        "sampled. The two answer different questions, and their centres differ: one averages folds, one pools sites.",
        "'gain' and 'loss': both intervals lie on one side of zero; 'open': they do not. With this many comparisons a "
        "few would stand out by chance.",
    )
    return Table("Which layers gain, and by how much.", header, tuple(rows), notes, (0, 1, 2, -1))


def coverage_table(run: LayersRun) -> Table:
    """Coverage of the intervals on held-out observations, and against the truth where it is known."""
    nominal = 100.0 * float(run.config["config"]["coverage"])
    rows = []
    for split in run.splits:
        for model in run.models:
            mine = chosen(run.coverage, split=split, model=model)
            pooled = chosen(mine, layer=POOLED).iloc[0]
            single = mine[mine["layer"] != POOLED]["coverage"]
            cells = [
                SPLITS[split], LABELS[model], f"{100 * pooled['coverage']:.1f}",
                f"{100 * pooled['coverage_low']:.1f} to {100 * pooled['coverage_high']:.1f}",
                f"{100 * single.min():.1f} to {100 * single.max():.1f}", number(float(pooled["median_width"]), 2),
            ]  # fmt: skip
            if run.truth is not None:
                cells.append(f"{100 * chosen(run.truth, split=split, model=model)['coverage'].mean():.1f}")
            rows.append(tuple(cells))
    header = (
        "Split", "Model", "Coverage (%)", "Wilson's 95 %", "Layers, lowest to highest", f"Median width ({run.unit})",
    )  # fmt: skip
    header += ("Against the true maps (%)",) if run.truth is not None else ()
    notes = [
        "Held-out sites: the interval of a fold is set by the errors of the other folds alone. Wilson's interval "
        "treats values as independent; the layers of a site are not, so it is too narrow.",
    ]
    if run.truth is not None:
        notes.append(
            "Against the true maps: random pixels, intervals as in the maps (CV+, all fold models). The truth carries "
            "no error of measurement, the observations do. Errors under blocks are those far from any site; most "
            "pixels are nearer, so intervals set by blocks cover more than they state."
        )
    return Table(f"Coverage of intervals of nominally {nominal:g} %.", header, tuple(rows), tuple(notes), (0, 1))


def truth_table(run: LayersRun) -> Table | None:
    """Models against the true maps: R2 of every layer."""
    if run.truth is None:
        return None
    rows = []
    for split in run.splits:
        for model in run.models:
            mine = chosen(run.truth, split=split, model=model)
            r2s = [number(float(chosen(mine, layer=layer)["r2"].iloc[0])) for layer in run.layers]
            rmse = math.sqrt(float((mine["rmse"] ** 2).mean()))
            rows.append((SPLITS[split], LABELS[model], *r2s, number(rmse)))
    header = ("Fold models of", "Model", *run.layers, f"RMSE, all ({run.unit})")
    note = f"{int(run.truth['n'].iloc[0])} random pixels; the prediction is the mean of all fold models and seeds."
    return Table("R2 against the true maps.", header, tuple(rows), (note,), (0, 1))


def training_table(run: LayersRun) -> Table:
    """What became of the networks."""
    rows = []
    for split in run.splits:
        for model in run.models:
            mine = chosen(run.trainings, split=split, model=model)
            if mine.empty:
                continue
            members = int(mine["members"].sum())
            rows.append(
                (
                    SPLITS[split], LABELS[model], str(members), str(int(mine["converged"].sum())),
                    str(int(mine["diverged"].sum())), ", ".join(mine["epochs"]),
                )
            )  # fmt: skip
    header = ("Split", "Network", "Trained", "Converged", "Diverged", "Mean epochs by seed")
    note = (
        "Converged: stopped by patience, or the validation loss had become flat. Transfer: epochs on all layers + on "
        "one. What diverged predicts nothing and is left out of the means over seeds."
    )
    return Table("Trainings.", header, tuple(rows), (note,), (0, 1, -1))


def _gain(run: LayersRun, split: str, first: str, second: str, layer: str) -> Gain:
    by_fold: dict[str, list[float]] = {}
    rmse = [
        chosen(run.folds, split=split, model=model, layer=layer).set_index(["fold", "seed"])["rmse"]
        for model in (first, second)
    ]
    for fold in sorted(set(rmse[0].index.get_level_values("fold"))):
        one, other = (float(values.loc[fold].mean()) for values in rmse)
        by_fold[str(fold)] = [100.0 * (1.0 - one / other)]
    student = t_interval([values[0] for values in by_fold.values()])
    better = f"{sum(values[0] > 0.0 for values in by_fold.values())} of {len(by_fold)}"
    return Gain(student.mean, (student.low, student.high), _block_interval(run, split, first, second, layer), better)


def _block_interval(run: LayersRun, split: str, first: str, second: str, layer: str) -> tuple[float, float]:
    rows = chosen(run.predictions, split=split, seed=ALL)
    if layer != POOLED:
        rows = chosen(rows, layer=layer)
    sums = []
    for model in (first, second):
        mine = chosen(rows, model=model)
        squares = (mine["predicted"] - mine["observed"]) ** 2
        sums.append(squares.groupby(mine["block"]).sum().sort_index().to_numpy())
    if sums[0].size < 2:
        return math.nan, math.nan
    drawn = np.random.default_rng(0).multinomial(sums[0].size, np.full(sums[0].size, 1.0 / sums[0].size), BOOTSTRAPS)
    ratio = 100.0 * (1.0 - np.sqrt((drawn @ sums[0]) / (drawn @ sums[1])))
    low, high = np.percentile(ratio, [2.5, 97.5])
    return float(low), float(high)


def verdict(gain: Gain) -> str:
    """ "gain" or "loss" where both intervals lie on one side of zero, else "open"."""
    ends = (gain.over_folds, gain.over_blocks)
    if all(low > 0.0 for low, _ in ends):
        return "gain"
    return "loss" if all(high < 0.0 for _, high in ends) else "open"


def _ends(ends: tuple[float, float]) -> str:
    return f"{number(ends[0], 1)} to {number(ends[1], 1)}"


def _mean_and_sd(values: Any) -> str:
    mean, sd, _ = mean_sd(values)
    return plus_minus(mean, sd)
