"""Few labels, many spectra (Experiment 3 of the reconstruction paper): a study in two stages.

Before: networks are trained on the labels of few pedons of each region but one, and on all spectra of those regions.
After: they are fine-tuned on all spectra of the region held out and on the labels of few of its pedons. Both stages
are judged on the same rows, those of the region's other pedons.
"""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split, check_no_leak, few_label, few_label_adaptation, fewer_unlabelled
from jaxsoil.runs import processes, progress, require
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.reconstruction import config as study
from jaxsoil.studies.reconstruction import prepare as preparing
from jaxsoil.studies.reconstruction import summaries
from jaxsoil.studies.reconstruction.config import PAPER_TABLE_3, FewLabelsConfig
from jaxsoil.studies.reconstruction.run import plan_study, recording, timed
from jaxsoil.studies.reconstruction.tables import Tables
from jaxsoil.studies.reconstruction.train import Networks, add_baseline, add_networks
from jaxsoil.training import config as limits
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.grid import Trial
from jaxsoil.training.shared import in_step

BEFORE, AFTER = "before", "after"
STAGE_TRAIN = {BEFORE: "train", AFTER: "finetune"}
"""The two stages, and the field of the configuration that says how each is trained."""

SEVERAL_PROCESSES = True
"""Whether several processes can share a run (:mod:`jaxsoil.runs.processes`)."""

SUMMARIES = (summaries.averages, summaries.stage_differences, summaries.learned_spectra)


@dataclasses.dataclass(frozen=True, eq=False)
class TwoStages(preparing.StudyInputs):
    """The first stage, with that of each trial's second stage and what was left out.

    ``after`` has the trials of ``trials`` in the same order, on the splits of the adaptation; ``notes`` names what
    the small regions could not give.
    """

    after: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()


def prepare(config: FewLabelsConfig) -> TwoStages:
    """Loads the data, draws the pedons and lays out the trials of both stages.

    Raises:
      DataError: unknown regions to hold out; no region with enough pedons; a stage with fewer rows than a batch.
    """
    check(config)
    # Rows without SOC are the unlabelled spectra that the study is about.
    library = preparing.load_library(config, unlabelled=True)
    preparing.require_inputs(config, library)
    held_out, notes = choose_regions(config, library)
    minerals = preparing.decoder_minerals(config, library)
    stages: dict[str, list[Trial]] = {BEFORE: [], AFTER: []}
    splits: dict[tuple[str, int], Split] = {}
    # Trials are in the order network, seed, region in both stages: chunks then hold the same networks.
    for network in config.networks:
        one = dataclasses.replace(config, networks=(network,))
        for seed in range(config.seeds):
            pairs = [split_pair(config, library, region, seed) for region in held_out]
            splits |= {(before.held_out, seed): before for before, _ in pairs}
            stages[BEFORE] += preparing.make_trials(one, library, [before for before, _ in pairs], seeds=(seed,))
            second = dataclasses.replace(one, train=finetuning(config), start="paper")
            stages[AFTER] += preparing.make_trials(second, library, [after for _, after in pairs], seeds=(seed,))
    for stage, trials in stages.items():
        _require_rows(trials, getattr(config, STAGE_TRAIN[stage]), STAGE_TRAIN[stage])
    return TwoStages(
        library, tuple(splits.values()), tuple(stages[BEFORE]), minerals, tuple(stages[AFTER]), tuple(notes)
    )


def check(config: FewLabelsConfig) -> None:
    """Raises UsageError, in one line, where a setting cannot be."""
    study.check(config)
    limits.require(config, {name: limits.at_least(1) for name in ("pedons_per_region", "adaptation_pedons")})
    share = (
        lambda value: 0.0 < value <= 1.0,
        "a share above 0, at most 1; --train.unlabelled-batch 0 takes no spectra",
    )
    limits.require(config, {"unlabelled_share": share})
    if config.finetune.seed not in (0, config.train.seed):
        raise UsageError("--finetune.seed is not used: both stages draw from --train.seed; leave it out.")


def finetuning(config: FewLabelsConfig) -> TrainConfig:
    """How the second stage is trained: as ``config.finetune`` says, with the random keys of ``config.train``."""
    return dataclasses.replace(config.finetune, seed=config.train.seed)


def choose_regions(config: FewLabelsConfig, library: Library) -> tuple[list[str], list[str]]:
    """Regions that can be held out, and a note for each that cannot or that has fewer pedons than asked for.

    Pedons are counted that have a label.
    """
    regions, pedons = library.group("region"), library.group("pedon")
    labelled = np.isfinite(library.property("soc").values)
    counts = {name: np.unique(pedons[labelled & (regions == name)]).size for name in np.unique(regions).tolist()}
    if len(counts) < 2:
        value, remedy = ", ".join(counts), "Join data sets from several regions."
        problem = "holding a region out needs at least two"
        raise DataError(problem, source=library.name, column="region", value=value, remedy=remedy)
    for name in config.held_out:
        require.known(name, counts, "no such region", source=library.name, column="region")
    wanted = config.held_out or tuple(counts)
    least = config.adaptation_pedons + 1
    chosen = [name for name in wanted if counts[name] >= least]
    notes = [
        f"Region {name} is not held out: {counts[name]} pedons with SOC, where {config.adaptation_pedons} "
        "fine-tune and at least one more tests; it stays among the training regions."
        for name in wanted
        if counts[name] < least
    ]
    notes += [
        f"Region {name} has only {count} pedons with SOC: all of them carry labels where {config.pedons_per_region} "
        "were asked for."
        for name, count in counts.items()
        if count < config.pedons_per_region
    ]
    if not chosen:
        value = f"{least} needed, at most {max(counts[name] for name in wanted)} there"
        remedy = f"Give --adaptation-pedons {max(1, max(counts.values()) - 1)} or fewer."
        problem = "no region has enough pedons to be held out"
        raise DataError(problem, source=library.name, column="pedon", value=value, remedy=remedy)
    return chosen, notes


def split_pair(config: FewLabelsConfig, library: Library, region: str, seed: int) -> tuple[Split, Split]:
    """The splits of both stages, with the same test rows: the region without the pedons that fine-tune."""
    before = few_label(library, config.pedons_per_region, seed, region, fewer="take all")
    before = fewer_unlabelled(before, library.blocks, config.unlabelled_share)
    after = few_label_adaptation(library, config.adaptation_pedons, seed, region)
    return dataclasses.replace(before, test=after.test), after


def both_labels(before: Split, after: Split, library: Library) -> Split:
    """The split of a baseline after adaptation: the labels of both stages, and no spectrum without a label."""
    count = np.unique(library.group("pedon")[after.train]).size
    exposure = f"spectra and labels of {count} pedons of {after.held_out}"
    labels, nothing = before.train | after.train, np.zeros_like(before.train)
    pooled = dataclasses.replace(after, train=labels, unlabelled=nothing, exposure=exposure)
    check_no_leak(pooled, {"pedon": library.group("pedon")})
    return pooled


def _require_rows(trials: Sequence[Trial], train: TrainConfig, field: str) -> None:
    preparing.require_batch(trials, train)
    for trial in trials:
        name, rows = trial.split.name, f"{int(trial.split.train.sum())} labelled rows"
        if train.unlabelled_batch and not trial.split.unlabelled.any():
            remedy = f"Ask for fewer --pedons-per-region, or give --{field}.unlabelled-batch 0."
            raise DataError("no row is left without a label", source=name, value=rows, remedy=remedy)
        if train.validation_share and not trial.validation.any():
            value = f"{rows}, share {train.validation_share:g}"
            remedy = f"Give --{field}.validation-share 0 or more than that."
            raise DataError("too few labelled pedons to set some aside", source=name, value=value, remedy=remedy)


def run(config: FewLabelsConfig, folder: RunFolder, prepared: TwoStages) -> None:
    """Trains both stages and writes the run folder's files; what is already there is not run again."""
    differs = preparing.differences(config, prepared.library, PAPER_TABLE_3, prepared.minerals)
    statement = {
        "differs_from_paper": [*differs, *map(list, study.UNSTATED_TABLE_3)],
        "convergence_by_stage": {
            stage: study.convergence_sentence(getattr(config, name)) for stage, name in STAGE_TRAIN.items()
        },
    }
    pairs = {(trial.seed, trial.split.held_out) for trial in prepared.trials}
    counts = Counter(trial.name for trial in (*prepared.trials, *prepared.after))
    progress.expect(dict.fromkeys(config.baselines, 2 * len(pairs)) | counts)
    regions, data = len({split.held_out for split in prepared.splits}), _describe(prepared)
    size = "\n  ".join([f"{regions} regions held out", *prepared.notes])
    rows = functools.partial(summaries.region_rows, library=prepared.library, splits=prepared.splits)
    summed = (*SUMMARIES, rows)
    with recording(config, folder, prepared, statement, data, size, summed) as (tables, tracker, timing):
        for name in config.baselines:
            with timed(timing, name):
                _add_baseline(tables, name, config, prepared)
        for one in (stage for chain in chains(config, prepared) for stage in in_step(chain)):
            add_networks(tables, one, tracker, timing)
        tables.add_ensembles()
    if not config.keep_states and processes.leads():
        shutil.rmtree(folder.path / "states", ignore_errors=True)


def networks(config: FewLabelsConfig, prepared: TwoStages) -> list[list[Networks]]:
    """What points of a sweep can train together: :func:`chains`, unless the run is to keep the networks."""
    return [] if config.keep_states else chains(config, prepared)


def chains(config: FewLabelsConfig, prepared: TwoStages) -> list[list[Networks]]:
    """The two stages of each network (:mod:`jaxsoil.training.shared`)."""
    found = []
    for network in config.networks:
        before, after = (tuple(t for t in some if t.name == network) for some in (prepared.trials, prepared.after))
        first = Networks(
            *(prepared.library, prepared.minerals, before, config.train, config.devices, config.components),
            stage=BEFORE, keep_states=True,
        )  # fmt: skip
        second = {"trials": after, "train": finetuning(config), "stage": AFTER, "previous": BEFORE}
        found.append([first, dataclasses.replace(first, **second, keep_states=False)])
    return found


def _add_baseline(tables: Tables, name: str, config: FewLabelsConfig, prepared: TwoStages) -> None:
    pairs = {}
    for first, second in zip(prepared.trials, prepared.after, strict=True):
        pairs[first.seed, first.split.held_out] = (first.split, second.split)
    for (seed, _), (before, after) in pairs.items():
        add_baseline(tables, name, config, [before], seed=seed, stage=BEFORE)
        both = both_labels(before, after, prepared.library)
        add_baseline(tables, name, config, [both], seed=seed, stage=AFTER)


def _describe(prepared: TwoStages) -> dict[str, Any]:
    def rows(trials: Sequence[Trial], part: str) -> str:
        counts = [int(getattr(trial.split, part).sum()) for trial in trials]
        return str(counts[0]) if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"

    content, before, after = preparing.describe(prepared.library, prepared.minerals), prepared.trials, prepared.after
    content["notes"].append(
        f"Rows of a trial: {rows(before, 'train')} labelled and {rows(before, 'unlabelled')} unlabelled before, "
        f"{rows(after, 'train')} labelled in fine-tuning, {rows(after, 'test')} tested."
    )
    content["notes"] += prepared.notes
    return content


def plan(config: FewLabelsConfig, prepared: TwoStages) -> str:
    """Describes the trials of both stages and their cost; nothing is run."""
    second = dataclasses.replace(config, train=finetuning(config), baselines=())
    stages = {
        "Before (pre-training)": plan_study(config, prepared),
        "After (fine-tuning)": plan_study(second, dataclasses.replace(prepared, trials=prepared.after)),
    }
    texts = [f"{title}\n{text}" for title, text in stages.items()]
    return "\n\n".join([*texts, *prepared.notes])
