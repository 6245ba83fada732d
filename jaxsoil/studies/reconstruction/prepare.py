"""Data, splits, minerals and trials of a reconstruction study, checked before anything is written."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxsoil.data import endmembers, registry
from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split, validation_rows, without_watched
from jaxsoil.data.twin.soil.make import make_twin
from jaxsoil.models.autoencoder import ModelConfig
from jaxsoil.models.config import Input
from jaxsoil.runs import processes
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.resample import Trim
from jaxsoil.studies.reconstruction import baselines
from jaxsoil.studies.reconstruction.config import (
    PAPER,
    PAPER_ENDMEMBERS,
    StudyConfig,
    check,
    settings_of,
    variant_of,
)
from jaxsoil.studies.reconstruction.soc_spectrum.methods import estimate
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.devices import make_mesh
from jaxsoil.training.grid import Trial, make_groups, steps_per_epoch


def load_library(config: StudyConfig, *, unlabelled: bool = False) -> Library:
    """Loads the study's data as reflectance in nm: the twin, a packaged data set or a user's manifest.

    Rows without SOC are left out unless ``unlabelled``, for a study that learns from their spectra, and those whose SOC
    is zero always, with a note on their number and on the regions that lost all of theirs.
    """
    library = make_twin(config.twin) if config.data == "twin" else registry.load(config.data)
    if library.spectra.quantity == "absorbance":
        library = library.with_spectra(library.spectra.to_reflectance())
    if library.spectra.quantity != "reflectance":
        remedy = "Give reflectance or absorbance as measured; studies do their own preprocessing."
        quantity = library.spectra.quantity
        raise DataError("the networks reconstruct reflectance", source=library.name, value=quantity, remedy=remedy)
    # Minerals are on an ascending axis in nm, and bands must be those of the data one by one.
    library = library.with_spectra(library.spectra.to_unit("nm"))
    if config.axis is not None:
        library = library.with_spectra(Trim(*config.axis)(library.spectra))
    soc = library.property("soc").values
    library = _without_rows(library, soc > 0 if not unlabelled else ~(soc <= 0))
    made, values = library.spectra, processes.one_copy(library.spectra.values)
    if values is made.values:
        return library
    return library.with_spectra(Spectra.of_checked(values, made.axis, made.unit, made.quantity, made.steps))


def _without_rows(library: Library, kept: np.ndarray) -> Library:
    """The rows ``kept``, with notes on the others."""
    if kept.all():
        return library
    if not kept.any():
        value, remedy = f"{len(library)} rows", "Check the column of [labels.soc] and its conditions."
        raise DataError("no row has SOC above zero", source=library.name, column="soc", value=value, remedy=remedy)
    soc = library.property("soc").values
    missing, zero = int((~kept & np.isnan(soc)).sum()), int((~kept & (soc <= 0)).sum())
    reasons = {"without SOC": missing, "whose SOC is not above zero": zero}
    notes = [f"Left out {count} rows {reason}." for reason, count in reasons.items() if count]
    if "region" in library.groups:
        lost = np.setdiff1d(library.groups["region"], library.groups["region"][kept])
        notes += [f"Region {region} is left out: none of its rows has SOC above zero." for region in lost.tolist()]
    return dataclasses.replace(library.select(kept), notes=(*library.notes, *notes))


def differences(
    config: StudyConfig, library: Library, paper: Mapping[str, Any] = PAPER, minerals: EndmemberLibrary | None = None
) -> list[list[Any]]:
    """Settings that differ from the publication, ``paper`` by field of ``config``: rows of [field, ours, paper].
    ``minerals`` are those of the mixing decoder, None where none is trained."""
    rows: list[list[Any]] = []
    for name, published in paper.items():
        ours: Any = config
        for part in name.split("."):
            ours = getattr(ours, part)
        if ours != published:
            rows.append([name, ours, published])
    if minerals is not None and len(minerals) + 1 != PAPER_ENDMEMBERS:
        rows.append(["endmembers of the mixing decoder", len(minerals) + 1, PAPER_ENDMEMBERS])
        rows.append(["minerals of the mixing decoder", f"{len(minerals)} ({minerals.source})", "93 (USGS)"])
    if len(config.networks) > 1:
        shared = "shared by the networks at equal seed and split, as far as their shapes are the same"
        rows.append(["encoder's first weights, order of the rows", shared, "not stated"])
    axis = library.spectra.axis
    rows.append(["data", library.name, "RaCA (USDA), 23,291 spectra"])
    rows.append(["spectra", len(library), 23291])
    rows.append(["bands", f"{axis.size} ({axis[0]:g}-{axis[-1]:g} {library.spectra.unit})", "2136 (365-2500 nm)"])
    regions = int(np.unique(library.groups["region"]).size) if "region" in library.groups else "not stated"
    rows.append(["regions", regions, 17])
    return rows


@dataclasses.dataclass(frozen=True, eq=False)
class StudyInputs:
    """A study that was checked and can run: its data, splits and trials."""

    library: Library
    splits: tuple[Split, ...]
    trials: tuple[Trial, ...]
    minerals: EndmemberLibrary | None = None


def prepare_study(
    config: StudyConfig, split: Callable[[Library], Sequence[Split]], *, grid: bool = False
) -> StudyInputs:
    """Loads the data, splits them by ``split`` and lays out the trials; whatever is wrong with them is raised here.
    ``grid``: the study takes several inputs and losses."""
    check(config, grid=grid)
    library = load_library(config)
    require_inputs(config, library)
    splits = tuple(split(library))
    minerals = decoder_minerals(config, library)
    trials = make_trials(config, library, splits)
    require_batch(trials, config.train)
    require_devices(config, library, trials, minerals)
    return StudyInputs(library, splits, tuple(trials), minerals)


def require_devices(
    config: StudyConfig, library: Library, trials: Sequence[Trial], minerals: EndmemberLibrary | None
) -> None:
    """Raises UsageError for more devices than there are, and for a trial that is larger than one of them."""
    devices, count = config.devices, 0 if minerals is None else len(minerals)
    platform = make_mesh(devices).devices.flat[0].platform
    if trials and (devices.memory_gb or platform != "cpu"):
        make_groups(trials, config.train, devices, config.components, library.spectra.n_bands, count)


def decoder_minerals(config: StudyConfig, library: Library) -> EndmemberLibrary | None:
    """Minerals of the mixing decoder on the library's axis; None where the study trains no such decoder.

    The twin hands out its own (perhaps wrong) library; measured data take the USGS minerals where JAXSOIL_DATA has
    them and the twin's fitted ones otherwise.
    """
    if not any(network.startswith("physics") for network in config.networks):
        return None
    axis = library.spectra.to_unit("nm").axis
    if axis[0] >= 2500.0:
        problem = "the mixing decoder has no minerals in the mid-infrared"
        remedy = "Choose other networks: --networks none ann."
        raise DataError(problem, source=library.name, value=f"from {axis[0]:.4g} nm", remedy=remedy)
    minerals = endmembers.best_minerals(axis) if library.truth is None else library.truth.decoder_minerals
    same = minerals.spectra.axis.shape == axis.shape and np.allclose(minerals.spectra.axis, axis)
    return minerals if same else minerals.resample(axis)


def make_trials(
    config: StudyConfig, library: Library, splits: Sequence[Split], *, seeds: Sequence[int] | None = None
) -> list[Trial]:
    """The grid of networks x settings x splits x seeds as trials. ``seeds``: replicates, where the splits belong to
    some of them only; None: all of the study."""
    soc = library.property("soc").values
    trials = []
    for network in config.networks:
        first, *others = settings_of(config, network)
        for setting, split in itertools.product((first, *others), splits):
            model = ModelConfig(
                config.encoder, network, config.width, initialisation=config.initialisation, input=setting[0]
            )
            # The row of median SOC is the example that reports show.
            rows = np.nonzero(split.test)[0]
            example = int(rows[np.argsort(soc[rows], kind="stable")[rows.size // 2]])
            for seed in range(config.seeds) if seeds is None else seeds:
                watch = validation_rows(split, library.blocks, config.train.validation_share, seed)
                kept = without_watched(split, library.blocks, watch)
                start = None
                if config.start == "direct" and model.physical:
                    start = direct_start(library, split)
                variant = variant_of(setting, first)
                trials.append(Trial(network, model, kept, seed, watch, example, start, setting[1], variant))
    return trials


def direct_start(library: Library, split: Split) -> tuple[np.ndarray, float]:
    """The direct estimate of (f_SOC, (rho r)_SOC) from the training rows of ``split``, for a warm start."""
    found = estimate(library.select(split.train))
    return np.clip(found.f_soc, 0.0, 1.0), float(found.soc_rho_r)


def require_inputs(config: StudyConfig, library: Library) -> None:
    """Raises DataError where the spectra cannot be what a model is to see: no absorbance, or no SNV."""
    for model in (*config.networks, *config.baselines):
        inputs: list[Input] = [setting[0] for setting in settings_of(config, model)]
        for what in dict.fromkeys(inputs):
            try:
                baselines.seen(library, what)
            except DataError as error:
                told = {"column": error.column, "value": error.value, "source": library.name}
                remedy = f"{error.remedy} Or choose another --input and --baseline-input than {what}."
                raise DataError(error.problem, **told, remedy=remedy) from error


def require_batch(trials: Sequence[Trial], train: TrainConfig) -> None:
    """Raises DataError where a trial has too few rows for one step."""
    for trial in trials:
        if steps_per_epoch(trial, train) < 1:
            rows = int((trial.split.train & ~trial.validation).sum())
            value, remedy = f"{rows} rows, batch {train.batch}", f"Give --train.batch {max(1, rows // 4)} or more rows."
            raise DataError("fewer training rows than one batch", source=trial.split.name, value=value, remedy=remedy)


def describe(library: Library, minerals: EndmemberLibrary | None = None) -> dict[str, Any]:
    """What the reports say of the data."""
    notes = list(library.notes)
    if minerals is not None:
        notes.append(
            f"Mixing decoder: {len(minerals)} minerals ({minerals.source}), mean rho r {minerals.rho_r.mean():.3f} "
            "g cm-3 nm; endmembers.csv has each."
        )
        notes += [f"Minerals: {note.removesuffix('.')}." for note in minerals.notes]
        notes += [f"Mineral left out: {name}: {reason}." for name, reason in minerals.exclusions.items()]
    return {
        "name": library.name,
        "rows": len(library),
        "bands": library.spectra.n_bands,
        "axis": [float(library.spectra.axis[0]), float(library.spectra.axis[-1])],
        "unit": library.spectra.unit,
        "steps": list(library.spectra.steps),
        "licence": library.licence,
        "minerals": None if minerals is None else {"number": len(minerals), "source": minerals.source},
        "soc_is": library.kinds_of_soc,
        "notes": notes,
        "sha256": library.fingerprint(),
    }
