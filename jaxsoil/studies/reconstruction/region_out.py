"""Experiment 1: one region left out at a time (Table 2 of the paper)."""

from __future__ import annotations

import functools

from jaxsoil.data import splits
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.reconstruction import summaries, uncertainty
from jaxsoil.studies.reconstruction.config import StudyConfig
from jaxsoil.studies.reconstruction.prepare import StudyInputs, prepare_study
from jaxsoil.studies.reconstruction.refit import write_bundle
from jaxsoil.studies.reconstruction.run import plan_study as plan
from jaxsoil.studies.reconstruction.run import run_study

__all__ = ["plan", "prepare", "run"]

SUMMARIES = (summaries.region_blocks, summaries.alarms, summaries.model_differences)


def prepare(config: StudyConfig) -> StudyInputs:
    """The data with one inductive split for each region."""
    return prepare_study(config, splits.region_out, grid=True)


def run(config: StudyConfig, folder: RunFolder, prepared: StudyInputs) -> None:
    """Trains and writes the run folder, and a bundle of the models refitted on all regions."""
    of = {"library": prepared.library, "splits": prepared.splits, "config": config}
    how_sure = functools.partial(uncertainty.summary, **of)
    run_study(config, folder, prepared, summaries=(*SUMMARIES, how_sure))
    write_bundle(config, folder, prepared)
