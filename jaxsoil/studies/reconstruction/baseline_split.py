"""Baseline: a random 60:40 split of everything (Table 1 of the paper).

The paper draws rows and ignores which of them come from one pedon or sample. Here each split is drawn twice: by
group, so that none lies on both sides, and by row as in the paper; the difference is the size of the leak.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.library import Library
from jaxsoil.data.splits import PROTECTED, Split, random_share
from jaxsoil.evaluation import regions, results
from jaxsoil.runs.errors import UsageError
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.reconstruction.config import BY_ROW, PAPER_TABLE_1, BaselineSplitConfig, check
from jaxsoil.studies.reconstruction.prepare import StudyInputs, prepare_study
from jaxsoil.studies.reconstruction.run import networks, run_study
from jaxsoil.studies.reconstruction.run import plan_study as plan
from jaxsoil.studies.reconstruction.summaries import MEASURES, average_rows
from jaxsoil.studies.reconstruction.tables import OWN, read_main
from jaxsoil.training import config as limits

__all__ = ["draw", "make_draws", "networks", "plan", "prepare", "run"]

SEVERAL_PROCESSES = True
"""Whether several processes can share a run (:mod:`jaxsoil.runs.processes`)."""
GROUP, ROW = "group", "row"
"""What is drawn."""
DIFFERENCE = "row - group"
_OF_DRAWS = ("mean", "se", "median", "regions", "values", "undefined", "part", "overlap")


def prepare(config: BaselineSplitConfig) -> StudyInputs:
    """The data with the draws of the configuration."""
    check(config)
    limits.require(config, {"draws": limits.at_least(1)})
    if not 0.0 < config.share < 1.0:
        raise UsageError(f"--share {config.share:g}: give a share above 0 and below 1.")
    if not config.parting or len(set(config.parting)) < len(config.parting):
        raise UsageError("--parting takes 'group', 'row' or both, each once.")
    return prepare_study(config, lambda library: make_draws(library, config))


def make_draws(library: Library, config: BaselineSplitConfig) -> list[Split]:
    """The splits of a configuration.

    Draws by row are left out where they would part no group, as they would repeat those by group; a configuration
    of draws by row alone keeps them.
    """
    by_group = [draw(library, config.share, seed, PROTECTED) for seed in range(config.draws)]
    by_row = [draw(library, config.share, seed, ()) for seed in range(config.draws)]
    leak = float(np.mean([companions(split, library) for split in by_row]))
    by_row = [by_rows(split, leak, library) for split in by_row]
    if config.parting == ("row",):
        return by_row
    return by_group + (by_row if "row" in config.parting and leak > 0.0 else [])


def draw(library: Library, share: float, seed: int, protect: Sequence[str]) -> Split:
    """One random split, held out under the name of its draw."""
    split = random_share(library, share, seed, protect=protect)
    return dataclasses.replace(split, held_out=f"draw {seed + 1}")


def companions(split: Split, library: Library) -> float:
    """Share of the held-out rows that have a row of their sample or pedon in training."""
    known = np.zeros(int(split.test.sum()), bool)
    for groups in (library.groups[name] for name in PROTECTED if name in library.groups):
        known |= np.isin(groups[split.test], groups[split.train])
    return float(known.mean())


def by_rows(split: Split, leak: float, library: Library) -> Split:
    """Names a split that was drawn by row, and states the leak in its exposure."""
    names = " or ".join(name for name in PROTECTED if name in library.groups)
    exposure = f"{leak:.0%} of the held-out rows (mean over draws) have a row of their {names} in training"
    return dataclasses.replace(
        split,
        name=f"random_rows/{split.seed}",
        held_out=split.held_out + BY_ROW,
        exposure=exposure if leak > 0.0 else split.exposure,
    )


def run(config: BaselineSplitConfig, folder: RunFolder, prepared: StudyInputs) -> None:
    """Trains and writes the run folder."""
    of_draws = functools.partial(summary, splits=prepared.splits, library=prepared.library)
    run_study(config, folder, prepared, PAPER_TABLE_1, summaries=(of_draws,))


def summary(folder: Path, splits: Sequence[Split], library: Library) -> dict[str, pd.DataFrame]:
    """draws.csv, the rows of each draw, averages.csv, the means over draws by what was drawn and what drawing by row
    adds, and draw_intervals.csv, every model against every other, paired by draw.

    The draws of one library share rows: intervals have Nadeau and Bengio's correction
    (:func:`jaxsoil.evaluation.compare.standard_error`). ``shared`` is the share of held-out rows that have a row of
    their sample or pedon in training.
    """
    rows = [
        (split.held_out, parting_of(split.held_out), split.train.sum(), split.test.sum(), companions(split, library))
        for split in splits
    ]
    draws = pd.DataFrame(rows, columns=pd.Index(["region", "parting", "train", "test", "shared"]))
    averages = draw_averages(results.read_results(folder / "results.csv", OWN), draws)
    return {"draws": draws, **averages, "draw_intervals": draw_intervals(read_main(folder), draws)}


def draw_averages(frame: pd.DataFrame, draws: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of :func:`jaxsoil.studies.reconstruction.summaries.average_rows` of results.csv, by what was drawn.

    The part :data:`DIFFERENCE` is by row minus by group, with the standard error of independent means.
    """
    parts = {str(name): mine.tolist() for name, mine in draws.groupby("parting")["region"]}
    found = average_rows(frame, parts, float(np.mean(draws["test"] / draws["train"])))
    means: Any = found["averages"].set_index([name for name in found["averages"] if name not in _OF_DRAWS])
    if len(parts) > 1:
        row, group = (means[means["part"] == name] for name in (ROW, GROUP))
        gap = (row[["mean"]] - group[["mean"]]).assign(se=np.hypot(row["se"], group["se"]), part=DIFFERENCE)
        means = pd.concat([means, gap])
    return found | {"averages": means.reset_index()}


def draw_intervals(results: pd.DataFrame, draws: pd.DataFrame) -> pd.DataFrame:
    """Every model against every other by what was drawn, paired by draw, on the held-out rows: rows of results.csv and
    of draws.csv to those of :func:`jaxsoil.evaluation.regions.paired_intervals` with a column ``parting``."""
    found = []
    partings = np.array([parting_of(name) for name in results["region"]], dtype=object)
    for parting, mine in draws.groupby("parting", sort=False):
        scores = pd.DataFrame(results[partings == parting])
        pairs = itertools.permutations(dict.fromkeys(scores["model"]), 2)
        differences = regions.difference_rows(scores, scores, pairs, MEASURES)
        overlap = float(np.mean(mine["test"] / mine["train"]))
        found.append(regions.paired_intervals(differences, overlap=overlap).assign(parting=parting))
    return pd.concat(found, ignore_index=True)


def parting_of(name: str) -> str:
    """What was drawn, :data:`GROUP` or :data:`ROW`, by the name of a draw."""
    return ROW if name.endswith(BY_ROW) else GROUP
