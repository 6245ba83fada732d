"""Experiment 1: one region left out at a time (Table 2 of the paper), with a matrix of transfer as an option."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from jaxsoil.data import splits
from jaxsoil.runs import progress
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.reconstruction import summaries, transfer, uncertainty
from jaxsoil.studies.reconstruction.bundling import STAGE, write_bundle
from jaxsoil.studies.reconstruction.config import RegionOutConfig
from jaxsoil.studies.reconstruction.prepare import StudyInputs, prepare_study
from jaxsoil.studies.reconstruction.run import networks, plan_study, run_study

__all__ = ["networks", "plan", "prepare", "run"]

SEVERAL_PROCESSES = True
"""Whether several processes can share a run (:mod:`jaxsoil.runs.processes`)."""

SUMMARIES = (summaries.region_blocks, summaries.averages, summaries.alarms, summaries.model_differences)


@dataclasses.dataclass(frozen=True, eq=False)
class RegionOutInputs(StudyInputs):
    """The study's inputs, with those of the matrix of transfer where one was asked for."""

    matrix: transfer.Transfer | None = None


def prepare(config: RegionOutConfig) -> RegionOutInputs:
    """The data with one inductive split for each region, and the splits of the matrix of transfer."""
    transfer.check(config)
    inputs = prepare_study(config, splits.region_out, grid=True)
    fields = {field.name: getattr(inputs, field.name) for field in dataclasses.fields(inputs)}
    return RegionOutInputs(**fields, matrix=transfer.prepare(config, inputs.library))


def plan(config: RegionOutConfig, prepared: RegionOutInputs) -> str:
    """Describes the trials and their cost, those of the matrix of transfer too; nothing is run."""
    text, matrix = plan_study(config, prepared), prepared.matrix
    if matrix is None:
        return text
    baselines = tuple(name for name in config.baselines if name in config.transfer_matrix)
    alone = dataclasses.replace(config, train=matrix.train, baselines=baselines)
    inputs = dataclasses.replace(prepared, splits=matrix.splits, trials=matrix.trials)
    skipped = [f"{name} does not train alone: {reason}" for name, reason in matrix.skipped.items()]
    return "\n".join([text, "", "Matrix of transfer", plan_study(alone, inputs), *skipped])


def run(config: RegionOutConfig, folder: RunFolder, prepared: RegionOutInputs) -> None:
    """Trains and writes the run folder, and a bundle of the models refitted on all regions."""
    library, also = prepared.library, None
    how_sure = functools.partial(uncertainty.summary, library=library, splits=prepared.splits, config=config)
    more: list[Any] = [functools.partial(summaries.region_facts, library=library), how_sure]
    if prepared.matrix is not None:
        also = transfer.runner(config, prepared.matrix)
        more.append(transfer.summary)
        progress.expect(transfer.count_trials(config, prepared.matrix), "transfer")
    progress.expect({STAGE: len(config.networks)}, STAGE)
    run_study(config, folder, prepared, summaries=(*SUMMARIES, *more), also=also)
    write_bundle(config, folder, prepared)
