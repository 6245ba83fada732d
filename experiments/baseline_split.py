"""Baseline of the reconstruction study: a random 60:40 split of everything.

    python experiments/run.py --exp=baseline_split                       the twin, no download
    python experiments/run.py --exp=baseline_split --data fields_vnir    measured spectra
    python experiments/run.py --exp=baseline_split --paper               the publication's size (days on a CPU)

The paper draws rows and ignores which of them come from one pedon or sample. Here each split is drawn twice: by
group, so that none lies on both sides, and by row as in the paper; the difference is the size of the leak.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jaxsoil.data.library import Library
from jaxsoil.data.splits import PROTECTED, Split, random_share
from jaxsoil.experiment import Experiment, RunFolder
from jaxsoil.runs.errors import UsageError
from jaxsoil.studies.reconstruction.plan import plan_study
from jaxsoil.studies.reconstruction.report.baseline_split import BY_ROW
from jaxsoil.studies.reconstruction.study import (
    PAPER,
    PAPER_TWIN,
    SMOKE_TWIN,
    Prepared,
    StudyConfig,
    check,
    prepare,
    run_study,
)
from jaxsoil.training import config as limits
from jaxsoil.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class BaselineSplitConfig(StudyConfig):
    """Configuration of the random split; ``seeds`` counts the trainings of each draw."""

    draws: int = 3
    """Random splits (paper: 10)."""
    share: float = 0.6
    """Share of the rows that train (paper: 0.6)."""
    parting: tuple[Literal["group", "row"], ...] = ("group", "row")
    """What is drawn: 'group' keeps the rows of a sample and of a pedon on one side, 'row' does not (paper)."""


PAPER_TABLE_1 = {name: value for name, value in PAPER.items() if name != "seeds"} | {
    "draws": 10,
    "share": 0.6,
    "parting": ("row",),
}
"""Settings of the publication by field of :class:`BaselineSplitConfig`."""


def load(config: BaselineSplitConfig) -> Prepared:
    """The data with the draws of the configuration."""
    check(config)
    limits.require(config, {"draws": limits.at_least(1)})
    if not 0.0 < config.share < 1.0:
        raise UsageError(f"--share {config.share:g}: give a share above 0 and below 1.")
    if not config.parting or len(set(config.parting)) < len(config.parting):
        raise UsageError("--parting takes 'group', 'row' or both, each once.")
    return prepare(config, lambda library: make_draws(library, config))


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


def run(config: BaselineSplitConfig, folder: RunFolder, prepared: Prepared) -> None:
    """Trains and writes the run folder."""
    run_study(config, folder, prepared, PAPER_TABLE_1)


def report(folder: Path) -> Path:
    """Writes report.md, report.html and the figures."""
    from jaxsoil.studies.reconstruction.report.baseline_split import write_report

    return write_report(folder)


DEFAULT = BaselineSplitConfig(
    train=TrainConfig(
        epochs=200, patience=40, batch=32, lr=1e-3, b1=0.9, validation_share=0.1, keep="best", checkpoint_every=50
    ),
)

EXPERIMENT = Experiment(
    summary="SOC after a random 60:40 split of everything, by group and by row: what a leak of pedons is worth",
    table="Coleman et al. 2024, Table 1",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        draws=2,
        twin=SMOKE_TWIN,
        width=32,
        components=12,
        train=dataclasses.replace(DEFAULT.train, epochs=12, patience=0, batch=25, checkpoint_every=4),
    ),
    paper=BaselineSplitConfig(draws=10, twin=PAPER_TWIN),
    load=load,
    run=run,
    report=report,
    plan=plan_study,
)
