"""The matrix of transfer: models trained on one region alone, tested on each other region.

Its diagonal is cross-validated within the region, by group: a region's score on rows that the model has not seen, so
that the whole matrix is out of sample. Trials run through the engine and the store of the study, and resume as they do.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from jaxsoil.data.draws import group_folds
from jaxsoil.data.library import Library
from jaxsoil.data.splits import INDUCTIVE, PROTECTED, Split, check_no_leak, kfold, validation_rows
from jaxsoil.evaluation import results
from jaxsoil.evaluation.results import FITTED
from jaxsoil.models import plsr
from jaxsoil.runs import processes
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.files import write_csv
from jaxsoil.runs.tables import Columns, read_csv
from jaxsoil.runs.tracking import Silent, Tracker
from jaxsoil.studies.reconstruction import baselines
from jaxsoil.studies.reconstruction.config import Network, RegionOutConfig
from jaxsoil.studies.reconstruction.prepare import make_trials
from jaxsoil.studies.reconstruction.tables import PERCENT, Of, Tables, read_main
from jaxsoil.studies.reconstruction.train import Networks, add_baseline, add_networks
from jaxsoil.training import config as limits
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.grid import Trial
from jaxsoil.training.group_run import Outcome

STAGE = "transfer"
WITHIN, BETWEEN = "within, cross-validated", "between"
"""What a cell of the matrix is: its diagonal, and the others."""

MEASURES = (("log10", "ccc"), ("log10", "rmse"), ("log10", "bias"), ("percent", "r2"))
"""Scale and metric of the cells."""
MEANS = (("log10", "ccc"), ("log10", "rmse"))
"""Those of the means over cells; a mean of R2, which has no lower bound, would be that of one region."""

LEAST = 16
"""Fewest rows of a training, folds included; a choice."""

WATCHED = 0.25
"""Least share of the rows of one region that is set aside to watch the loss, if any is: a tenth may hold no pedon."""

INNER_FOLDS = 5
"""Folds by group within the training rows that choose the components of PLSR, whose usual 15 suit many regions."""


@dataclasses.dataclass(frozen=True, eq=False)
class Transfer:
    """What the matrix takes: its splits and the networks' trials, how these train, and which regions cannot and why.

    ``skipped``: region -> why no model trains on it alone; ``undivided``: region -> why its diagonal is empty.
    """

    splits: tuple[Split, ...]
    trials: tuple[Trial, ...]
    train: TrainConfig
    skipped: dict[str, str]
    undivided: dict[str, str]


def check(config: RegionOutConfig) -> None:
    """Raises UsageError, in one line, where an option of the matrix cannot be."""
    known = {"transfer_folds": limits.at_least(2), "transfer_rows": limits.at_least(LEAST)}
    limits.require(config, known | {"transfer_batch": limits.at_least(1)})
    models = config.transfer_matrix
    for name in models:
        if name not in (*config.baselines, *config.networks):
            option = "--networks" if name in get_args(Network) else "--baselines"
            raise UsageError(f"--transfer-matrix {name}: the run has no such model. Add it to {option}.")
    if len(set(models)) < len(models):
        raise UsageError(f"--transfer-matrix {' '.join(models)}: name each once.")


def prepare(config: RegionOutConfig, library: Library) -> Transfer | None:
    """The splits and trials of the matrix; None where no model was asked for.

    Raises:
      UsageError: an option that cannot be.
      DataError: no region has enough rows to train on alone.
    """
    check(config)
    if not config.transfer_matrix:
        return None
    # A region has few rows: a batch of a study of many would leave one step in an epoch, or none.
    share = config.train.validation_share
    train = dataclasses.replace(
        config.train, batch=config.transfer_batch, validation_share=max(share, WATCHED) if share else share
    )
    networks = tuple(name for name in config.transfer_matrix if name in get_args(Network))
    seeds = range(config.seeds) if networks and share else ()
    splits: list[Split] = []
    skipped, undivided = {}, {}
    for name in np.unique(library.group("region")).tolist():
        whole, reason = _alone(library, name, config.transfer_rows, train, seeds)
        if whole is None:
            skipped[name] = reason
            continue
        splits.append(whole)
        folds, reason = _folds(library, name, config.transfer_folds, train, seeds)
        splits += folds
        if not folds:
            undivided[name] = reason
    if not splits:
        value, remedy = (
            f"{config.transfer_rows} rows asked for",
            "Give a lower --transfer-rows, or leave the matrix out.",
        )
        raise DataError("no region has enough rows to train on alone", source=library.name, value=value, remedy=remedy)
    # The direct start compares regions, and there is one alone. Of several inputs and losses the first ones count.
    alone = {"start": "paper", "input": config.input[:1], "loss": config.loss[:1]}
    study = dataclasses.replace(config, networks=networks, train=train, **alone)
    return Transfer(tuple(splits), tuple(make_trials(study, library, splits)), train, skipped, undivided)


def _alone(
    library: Library, name: str, fewest: int, train: TrainConfig, seeds: Sequence[int]
) -> tuple[Split | None, str]:
    """The split that trains on a region and tests on all others; None and the reason where it has too few rows."""
    mine, count = library.group("region") == name, int((library.group("region") == name).sum())
    least = max(fewest, _least(train))
    if count < least:
        return None, f"{count} rows, where training alone takes {least}"
    split = Split(f"{STAGE}/{name}", name, mine, np.zeros_like(mine), ~mine, INDUCTIVE, 0)
    check_no_leak(split, {group: library.groups[group] for group in PROTECTED if group in library.groups})
    reason = _unwatched([split], library, train, seeds)
    return None if reason else split, reason


def _unwatched(splits: Sequence[Split], library: Library, train: TrainConfig, seeds: Sequence[int]) -> str:
    """The reason where a network of one of the seeds would have no rows to watch its loss on, else nothing."""
    share = train.validation_share
    if all(validation_rows(split, library.blocks, share, seed).any() for split in splits for seed in seeds):
        return ""
    return f"no pedon or sample has so few of the rows ({share:.0%}) that it could be set aside to watch the loss"


def _folds(
    library: Library, name: str, folds: int, train: TrainConfig, seeds: Sequence[int]
) -> tuple[list[Split], str]:
    """The folds within a region; none and the reason where they would be too small."""
    rows = np.nonzero(library.group("region") == name)[0]
    try:
        within = kfold(library.select(rows), folds, 0)
    except DataError as refused:
        return [], f"{refused.problem} ({refused.value})"
    fewest = min(int(split.train.sum()) for split in within)
    if fewest < _least(train):
        return [], f"a fold leaves {fewest} rows to train on, where {_least(train)} are the fewest"
    found = []
    for number, split in enumerate(within, start=1):
        masks = {part: np.zeros(len(library), bool) for part in ("train", "test", "unlabelled")}
        for part, mask in masks.items():
            mask[rows[getattr(split, part)]] = True
        found.append(Split(f"{STAGE}/{name}/{number}", name, exposure=INDUCTIVE, seed=0, **masks))
    reason = _unwatched(found, library, train, seeds)
    return [] if reason else found, reason


def _least(train: TrainConfig) -> int:
    """Fewest rows that a training takes: those of a network's step beside the rows set aside."""
    return max(LEAST, int(np.ceil(train.batch / (1.0 - train.validation_share))))


class TransferTables(Tables):
    """Gathers the predictions of the matrix's fits instead of the tables of a study."""

    def __init__(self, tables: Tables, splits: Sequence[Split]) -> None:
        super().__init__(tables.run, tables.library, splits, tables.seed, tables.minerals)
        self.predicted: dict[tuple[str, int], dict[str, np.ndarray]] = defaultdict(dict)
        self.outcomes: list[dict[str, Any]] = []

    def add_baseline(
        self, label: str, name: str, split: Split, seed: int, predicted: np.ndarray, stage: str = "", *,
        factor: float = 1.0, of: Of | None = None,
    ) -> None:  # fmt: skip
        """Takes what a baseline predicts, as :meth:`Tables.add_baseline`."""
        soc = np.full(len(self.library), np.nan)
        soc[split.test] = predicted
        self._take(label, name, split, seed, soc, FITTED, 0)

    def add_network(self, trial: Trial, outcome: Outcome, parameters: int, train: TrainConfig, stage: str = "") -> None:
        """Takes what a network predicts, as :meth:`Tables.add_network`."""
        status, epochs = self.status_of(outcome, train)
        soc = PERCENT * np.asarray(outcome.soc, np.float64) if outcome.alive else np.full(self.soc.size, np.nan)
        self._take(f"{stage}/{trial.id}", trial.name, trial.split, trial.seed, soc, status, epochs)

    def _take(self, label: str, model: str, split: Split, seed: int, soc: np.ndarray, status: str, epochs: int) -> None:
        kept = self.predicted[model, seed].setdefault(split.held_out, np.full(self.soc.size, np.nan))
        # Folds test within the region and the whole region on the others: no row is predicted twice.
        kept[split.test] = soc[split.test]
        counts = {"trained": int(split.train.sum()), "tested": int(split.test.sum())}
        named = {"trial": label, "model": model, "region": split.held_out, "seed": seed}
        self.outcomes.append({**named, **counts, "status": status, "epochs": epochs})

    def cells(self, transfer: Transfer) -> pd.DataFrame:
        """The matrix in long form, seeds averaged.

        Returns:
          Rows ``model, trained_on, tested_on, kind, trained, tested, scale, metric, value, seeds, reason``: rows that
          trained (of all folds on the diagonal those of the region) and tested; ``value`` is the mean over the
          ``seeds`` whose value is defined, NaN without one, and ``reason`` says why there is none.
        """
        regions = self.library.group("region")
        names, models = np.unique(regions).tolist(), dict.fromkeys(model for model, _ in self.predicted)
        sizes, rows = {name: int((regions == name).sum()) for name in names}, []
        for model in models:
            by_seed = [found for (one, _), found in self.predicted.items() if one == model]
            for trained in names:
                for tested in names:
                    kind = WITHIN if trained == tested else BETWEEN
                    reason = transfer.skipped.get(trained, "")
                    if trained == tested:
                        reason = reason or transfer.undivided.get(trained, "")
                    scores = [] if reason else [self._score(found[trained], regions == tested) for found in by_seed]
                    for scale, metric in MEASURES:
                        values = np.array([one[scale, metric] for one in scores], np.float64)
                        values = values[np.isfinite(values)]
                        value = float(values.mean()) if values.size else np.nan
                        why = reason or ("" if values.size else "undefined, or every training diverged")
                        key = (model, trained, tested, kind, sizes[trained], sizes[tested])
                        rows.append((*key, scale, metric, value, values.size, why))
        columns = ["model", "trained_on", "tested_on", "kind", "trained", "tested", "scale", "metric", "value", "seeds"]
        return pd.DataFrame(rows, columns=pd.Index([*columns, "reason"]))

    def _score(self, predicted: np.ndarray, rows: np.ndarray) -> dict[tuple[str, str], float]:
        keys = {"study": STAGE, "data": "", "model": "", "region": "", "seed": 0, "split": "test"}
        found = results.metric_rows(self.soc[rows], predicted[rows], **keys)
        return {(str(row["scale"]), str(row["metric"])): float(str(row["value"])) for row in found}


def summary(folder: Path) -> dict[str, pd.DataFrame]:
    """transfer_means.csv (:func:`means`) of a finished run."""
    cells = read_csv(folder / "transfer.csv", Columns("model tested_on kind scale metric", "value"))
    return {"transfer_means": means(cells, read_main(folder))}


def means(cells: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Means of the matrix (:meth:`TransferTables.cells`) over regions, beside training on all other regions at once
    (``scores``: results.csv of the same run).

    Returns:
      Rows ``model, scale, metric, within, between, others, regions``: means over the ``regions`` that have all three,
      each as tested region, of the cross-validated score within it, of the mean over the regions that train alone, and
      of the score of the model that all others trained.
    """
    tested = scores[scores["split"] == "test"]
    rows = []
    parted: Any = cells.groupby(["model", "scale", "metric"], sort=False)
    for (model, scale, metric), mine in parted:
        if (scale, metric) not in MEANS:
            continue
        finite = mine[np.isfinite(mine["value"])]
        by_kind = {kind: part.groupby("tested_on")["value"].mean() for kind, part in finite.groupby("kind")}
        named = (tested["model"] == model) & (tested["scale"] == scale) & (tested["metric"] == metric)
        others = pd.DataFrame(tested[named]).assign(region=lambda frame: frame["region"].astype(str))
        parts = [by_kind.get(WITHIN), by_kind.get(BETWEEN), others.groupby("region")["value"].mean()]
        if any(part is None for part in parts):
            continue
        table = pd.concat(parts, axis=1, keys=["within", "between", "others"]).dropna()
        centres: Any = table.mean()
        rows.append((model, scale, metric, *centres.tolist(), len(table)))
    columns = ["model", "scale", "metric", "within", "between", "others", "regions"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def fit_plsr(name: str, spectra: np.ndarray, soc: np.ndarray, groups: np.ndarray, **_: Any) -> baselines.Fitted:
    """PLSR of log10 SOC whose components are chosen within the training rows; as :func:`baselines.fit`."""
    count = min(INNER_FOLDS, np.unique(groups).size)
    folds = group_folds(groups, count, np.random.default_rng(0)) if count > 1 else np.arange(groups.size) % 2
    return baselines.Fitted(plsr.fit_chosen(spectra, np.log10(soc), folds), "log", 1.0)


BASELINES = {"plsr": fit_plsr, "random_forest": None}
"""Baselines of the matrix with their fit, None for the study's own; they see the first input of the baselines."""


def count_trials(config: RegionOutConfig, transfer: Transfer) -> dict[str, int]:
    """Fits of each baseline of the matrix, and trials of each network."""
    found = {name: len(transfer.splits) for name in BASELINES if name in config.transfer_matrix}
    return found | Counter(trial.name for trial in transfer.trials)


def runner(config: RegionOutConfig, transfer: Transfer) -> Callable[[Tables, Tracker | Silent, dict[str, float]], None]:
    """Makes the trainings of the matrix and writes transfer.csv and transfer_trials.csv, within a run of the study."""

    def run(tables: Tables, tracker: Tracker | Silent, timing: dict[str, float]) -> None:
        found = TransferTables(tables, transfer.splits)
        first = {"baseline_input": config.baseline_input[:1], "baseline_loss": config.baseline_loss[:1]}
        first |= {"input": config.input[:1], "loss": config.loss[:1]}  # of the networks, where baselines have none
        for name in [one for one in BASELINES if one in config.transfer_matrix]:
            add_baseline(found, name, dataclasses.replace(config, **first), stage=STAGE, fit=BASELINES[name])
        if transfer.trials:
            how = transfer.trials, transfer.train, config.devices, config.components
            add_networks(found, Networks(tables.library, tables.minerals, *how, stage=STAGE), tracker, timing)
        if not processes.leads():
            return
        write_csv(tables.run.path / "transfer.csv", found.cells(transfer), float_format="%.9g")
        write_csv(tables.run.path / "transfer_trials.csv", pd.DataFrame(found.outcomes))

    return run
