"""Appendix B: the mixing decoder with and without the conversion of mass to area by rho r."""

from __future__ import annotations

from jaxsoil.data import splits
from jaxsoil.runs.errors import UsageError
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.reconstruction import summaries
from jaxsoil.studies.reconstruction.config import RHO_R_DECODERS, StudyConfig
from jaxsoil.studies.reconstruction.prepare import StudyInputs, prepare_study
from jaxsoil.studies.reconstruction.run import networks, run_study
from jaxsoil.studies.reconstruction.run import plan_study as plan

__all__ = ["networks", "plan", "prepare", "run"]

SEVERAL_PROCESSES = True
"""Whether several processes can share a run (:mod:`jaxsoil.runs.processes`)."""

SUMMARIES = (summaries.averages, summaries.model_differences, summaries.learned_spectra, summaries.rescaling)


def prepare(config: StudyConfig) -> StudyInputs:
    """The data with one inductive split for each region.

    Raises:
      UsageError: a configuration that lacks one of the two decoders.
    """
    missing = [name for name in RHO_R_DECODERS if name not in config.networks]
    if missing:
        raise UsageError(f"rho_r compares {' and '.join(RHO_R_DECODERS)}: add {missing[0]} to --networks.")
    return prepare_study(config, splits.region_out)


def run(config: StudyConfig, folder: RunFolder, prepared: StudyInputs) -> None:
    """Trains and writes the run folder."""
    run_study(config, folder, prepared, summaries=SUMMARIES)
