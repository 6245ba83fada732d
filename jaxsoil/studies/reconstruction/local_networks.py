"""The paper's networks beside the curve of local labels: trained on the other regions, fine-tuned on the same labels.

First stage: a network on all labels of the regions that train, as region_out trains it. Second stage: it goes on, as
:attr:`~jaxsoil.studies.reconstruction.config.CarryOverConfig.finetune` says, on the labels of the chosen rows of the
region held out and, where it has a decoder, on all spectra of that region (Experiment 3 of Coleman et al. 2024). Each
choice of rows is a training of its own, so that few of them are averaged.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.runs import progress
from jaxsoil.runs.files import write_parquet
from jaxsoil.runs.pieces import Pieces
from jaxsoil.runs.tables import Columns, read_parquet
from jaxsoil.runs.tracking import Silent
from jaxsoil.studies.reconstruction import additions
from jaxsoil.studies.reconstruction.config import CarryOverConfig
from jaxsoil.studies.reconstruction.prepare import StudyInputs, decoder_minerals, make_trials, require_batch
from jaxsoil.studies.reconstruction.tables import PERCENT, Tables
from jaxsoil.studies.reconstruction.train import Networks, record_floors, trained
from jaxsoil.training import floors
from jaxsoil.training.grid import Trial

STAGE = "local"
FILE = "local_networks.parquet"
FINETUNED = "_finetuned"
"""How the names of these models end."""
FEW = "random_few"
"""The choice at random that is averaged over as many draws as the networks have."""
COLUMNS = ("model", "region", "choice", "draw", "labels", "id", "predicted")

Choices = Mapping[str, tuple[Sequence[np.ndarray], np.ndarray]]
"""Region -> random orders of its rows, and that of Kennard and Stone: numbers among the rows of the region."""


def pretraining(config: CarryOverConfig, library: Library, splits: Sequence[Split]) -> list[Trial]:
    """The trials of the first stage."""
    return make_trials(dataclasses.replace(config, networks=config.finetuned), library, splits, seeds=(0,))


def prepared(config: CarryOverConfig, inputs: StudyInputs) -> StudyInputs:
    """The inputs with the minerals of a mixing decoder; DataError where a region has fewer rows than a batch."""
    if not config.finetuned:
        return inputs
    require_batch(pretraining(config, inputs.library, inputs.splits), config.train)
    minerals = decoder_minerals(dataclasses.replace(config, networks=config.finetuned), inputs.library)
    return dataclasses.replace(inputs, minerals=inputs.minerals or minerals)


def add(tables: Tables, config: CarryOverConfig, choices: Choices, counts: Sequence[int]) -> None:
    """Trains and fine-tunes the networks and writes :data:`FILE`, SOC in % of all rows of the regions held out.

    Every training leaves a file, which a resumed run reads; one that diverged has no rows. The mass fractions that the
    first stage finds are kept for :func:`jaxsoil.studies.reconstruction.additions.add_latents`. Regions that are not in
    ``choices`` or have fewer rows than twice the largest of ``counts`` are not fine-tuned.
    """
    library, most, since = tables.library, max(counts), floors.marked()
    if not config.finetuned:
        return
    enough = [s.held_out for s in tables.splits if s.held_out in choices and s.test.sum() >= 2 * most]
    progress.expect({STAGE: trainings(config, len(tables.splits), counts)}, STAGE)
    # The regions that go on come first: a chunk of the second stage loads the parameters of that chunk of the first.
    first = pretraining(config, library, sorted(tables.splits, key=lambda split: split.held_out not in enough))
    trials = [trial for trial in first if trial.split.held_out in enough]
    found = _trained(tables, config, first, STAGE)
    frames = [_frame(library, trial, soc, "none", 0, 0) for trial, soc in found]
    finetune = dataclasses.replace(config, train=dataclasses.replace(config.finetune, seed=config.train.seed))
    draws = [(FEW, draw) for draw in range(config.finetuned_draws)] + [("kennard_stone", 0)]
    for labels in [count for count in counts if count and trials]:
        for choice, draw in draws:
            second = [_second(trial, choices, choice, draw, labels) for trial in trials]
            found = _trained(tables, finetune, second, f"{STAGE}-{choice}-{draw}-{labels}", STAGE)
            frames += [_frame(library, trial, soc, choice, draw, labels) for trial, soc in found]
    write_parquet(tables.run.path / FILE, pd.concat(frames, ignore_index=True))
    record_floors(tables.run, STAGE, floors.reached(since, config.train.precision))
    shutil.rmtree(tables.run.path / "states", ignore_errors=True)


def trainings(config: CarryOverConfig, regions: int, counts: Sequence[int]) -> int:
    """Trainings of both stages for so many regions."""
    labels = sum(count > 0 for count in counts)
    return len(config.finetuned) * regions * (1 + labels * (config.finetuned_draws + 1))


def read(folder: Path) -> dict[Any, np.ndarray]:
    """SOC in % of the rows of a region by (model, region, choice, draw, labels); empty without :data:`FILE`."""
    if not (folder / FILE).exists():
        return {}
    stored = read_parquet(folder / FILE, Columns("model region choice", "predicted", "draw labels"))
    by = stored.groupby(list(COLUMNS[:5]), sort=False)["predicted"]
    return {key: np.asarray(values, np.float64) for key, values in by}


def _second(trial: Trial, choices: Choices, choice: str, draw: int, labels: int) -> Trial:
    """A trial that goes on with labelled rows of its region; all other rows of the region lend their spectra."""
    split, (random, ordered) = trial.split, choices[trial.split.held_out]
    order = ordered if choice == "kennard_stone" else random[draw]
    train = np.zeros_like(split.test)
    train[np.flatnonzero(split.test)[order[:labels]]] = True
    rest = split.test & ~train
    seen = f"all spectra of {split.held_out} and the labels of {labels} of its rows"
    own = Split(f"{STAGE}/{split.held_out}/{choice}-{draw}-{labels}", split.held_out, train, rest, rest, seen, 0)
    return dataclasses.replace(trial, split=own, validation=np.zeros_like(train), start=None)


def _trained(
    tables: Tables,
    config: CarryOverConfig,
    trials: Sequence[Trial],
    stage: str,
    previous: str | None = None,
) -> Iterator[tuple[Trial, np.ndarray]]:
    """Each trial that stayed finite, with SOC in % of all rows."""
    keep = functools.partial(additions.keep_masses, Pieces(tables.run.path / "trials"))
    # A chunk of the second stage loads the parameters of the same chunk of the first: both have one trial a device.
    devices = dataclasses.replace(config.devices, chunk=1)
    networks = Networks(
        tables.library, tables.minerals, trials, config.train, devices, config.components,
        stage, previous, keep_states=previous is None, measure=keep if previous is None else None,
    )  # fmt: skip
    # Not tracked: their losses are of labels of the held-out region, and ids those of the study's own networks.
    for _, trial, outcome in trained(networks, tables.run, Silent(), [], STAGE):
        if outcome.alive:
            yield trial, PERCENT * np.asarray(outcome.soc, np.float64)


def _frame(library: Library, trial: Trial, soc: np.ndarray, choice: str, draw: int, labels: int) -> pd.DataFrame:
    own = np.flatnonzero(library.group("region") == trial.split.held_out)
    keys = (trial.name + FINETUNED, trial.split.held_out, choice, draw, labels)
    frame = pd.DataFrame({"id": library.ids[own], "predicted": soc[own]})
    return frame.assign(**dict(zip(COLUMNS[:5], keys, strict=True))).loc[:, list(COLUMNS)]
