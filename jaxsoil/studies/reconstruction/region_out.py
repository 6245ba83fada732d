"""Experiment 1: one region left out at a time (Table 2 of the paper)."""

from __future__ import annotations

from jaxsoil.data import splits
from jaxsoil.studies.reconstruction.config import StudyConfig
from jaxsoil.studies.reconstruction.plan import plan_study as plan
from jaxsoil.studies.reconstruction.prepare import StudyInputs, prepare_study
from jaxsoil.studies.reconstruction.run import run_study as run

__all__ = ["plan", "prepare", "run"]


def prepare(config: StudyConfig) -> StudyInputs:
    """The data with one inductive split for each region."""
    return prepare_study(config, splits.region_out)
