"""A study: networks and baselines under the same splits, gathered into one results table.

The experiments of the reconstruction paper differ in their splits and reports; what they share is here: the
trials, the baselines, the files of the run folder and the plan.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jaxsoil.collect import Tables, shared_data
from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.data.twin_config import TwinConfig
from jaxsoil.errors import DataError
from jaxsoil.experiment import RunFolder
from jaxsoil.training.config import DeviceConfig, TrainConfig

EncoderKind = Literal["mlp", "cnn", "attention"]
Network = Literal["none", "ann", "physics", "physics_no_rho"]
Baseline = Literal["plsr", "random_forest"]


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """Configuration of a reconstruction study."""

    data: str = "twin"
    """Name of a data set (python -m jaxsoil.data lists them) or the path of a manifest (.toml)."""
    seeds: int = 1
    """Replicates of each network with other random numbers (paper: 4)."""
    networks: tuple[Network, ...] = ("none", "ann", "physics")
    """Networks by their decoder: 'none' (encoder alone), 'ann', 'physics' (mixing with learned SOC spectrum),
    'physics_no_rho' (mixing by mass fractions)."""
    encoder: EncoderKind = "mlp"
    """Encoder of all networks: 'mlp' (paper), 'cnn' or 'attention'."""
    baselines: tuple[Baseline, ...] = ("plsr", "random_forest")
    """Reference models on SNV absorbance, trained on log10 SOC."""
    components: int = 94
    """Endmembers K in the latent space, soil organic carbon included (paper: 94). With a mixing decoder K follows
    from the mineral library."""
    start: Literal["paper", "direct"] = "paper"
    """Where the mixing decoder starts: f_SOC 0.5 and the minerals' mean rho r (paper), or the direct estimate from
    each trial's training rows."""
    width: int = 512
    """Units of each hidden layer (paper: 512)."""
    twin: TwinConfig = dataclasses.field(default_factory=TwinConfig)
    """The synthetic library, used with --data twin."""
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    """How the networks are trained."""
    devices: DeviceConfig = dataclasses.field(default_factory=DeviceConfig)
    """Where they are trained."""


PAPER = {
    "seeds": 4,
    "components": 94,
    "width": 512,
    "train.epochs": 1000,
    "train.batch": 75,
    "train.lr": 5e-5,
    "train.b1": 0.99,
    "train.b2": 0.999,
    "train.decoder_lr": 1.0,
    "train.mineral_kl": 0.0,
    "train.sigma_soc": 0.0041,
    "train.sigma_reflectance": 0.01,
    "train.validation_share": 0.0,
    "train.keep": "last",
    "train.patience": 0,
}
"""Settings of the publication (Coleman et al. 2024; PROTOCOLS section 1) by field of :class:`StudyConfig`."""


def load_library(config: StudyConfig) -> Library:
    """Loads the study's data: the twin, a packaged data set or a user's manifest; rows with SOC > 0 only."""
    if config.data == "twin":
        from jaxsoil.data.twin import make_twin

        library = make_twin(config.twin)
    else:
        from jaxsoil.data import registry

        library = registry.load(config.data)
    if library.spectra.quantity == "absorbance":
        library = library.with_spectra(library.spectra.to_reflectance())
    if library.spectra.quantity != "reflectance":
        raise DataError(
            "the networks reconstruct reflectance",
            source=library.name,
            value=library.spectra.quantity,
            remedy="Give reflectance or absorbance as measured; studies do their own preprocessing.",
        )
    labelled = library.property("soc").values > 0
    return library if labelled.all() else library.select(labelled)


def differences(config: StudyConfig, library: Library, paper: Mapping[str, Any] = PAPER) -> list[list[Any]]:
    """Settings that differ from the publication: rows of [field, ours, paper]."""
    rows: list[list[Any]] = []
    for name, published in paper.items():
        ours: Any = config
        for part in name.split("."):
            ours = getattr(ours, part)
        if ours != published:
            rows.append([name, ours, published])
    axis = library.spectra.axis
    rows.append(["data", library.name, "RaCA (USDA), 23,291 spectra"])
    rows.append(["spectra", len(library), 23291])
    rows.append(["bands", f"{axis.size} ({axis[0]:g}-{axis[-1]:g} {library.spectra.unit})", "2136 (365-2500 nm)"])
    regions = int(np.unique(library.groups["region"]).size) if "region" in library.groups else "not stated"
    rows.append(["regions", regions, 17])
    return rows


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A study that was checked and can run: its data, splits and trials."""

    library: Library
    splits: tuple[Split, ...]
    trials: tuple[Any, ...]
    minerals: EndmemberLibrary | None = None


def prepare(config: StudyConfig, split: Callable[[Library], Sequence[Split]]) -> Prepared:
    """Loads the data, splits them and lays out the trials; whatever is wrong with them is raised here."""
    library = load_library(config)
    splits = tuple(split(library))
    minerals = None
    if any(network.startswith("physics") for network in config.networks):
        minerals = decoder_minerals(library)
    trials = make_trials(config, library, splits)
    require_batch(trials, config.train)
    return Prepared(library, splits, tuple(trials), minerals)


def decoder_minerals(library: Library) -> EndmemberLibrary:
    """Minerals of the mixing decoder on the library's axis.

    The twin hands out its own (perhaps wrong) library; measured data take the USGS minerals where JAXSOIL_DATA has
    them and the twin's fitted ones otherwise.
    """
    from jaxsoil.data import endmembers

    axis = library.spectra.to_unit("nm").axis
    if library.truth is not None:
        minerals = library.truth.decoder_minerals
    else:
        try:
            minerals = endmembers.load_usgs()
        except DataError:
            minerals = endmembers.twin_minerals(axis)
    same = minerals.spectra.axis.shape == axis.shape and np.allclose(minerals.spectra.axis, axis)
    return minerals if same else minerals.resample(axis)


def make_trials(
    config: StudyConfig, library: Library, splits: Sequence[Split], *, seeds: Sequence[int] | None = None
) -> list[Any]:
    """The grid of networks x splits x seeds as trials.

    Args:
      config: the study.
      library: the data.
      splits: what is trained and tested.
      seeds: replicates, where the splits belong to some of them only; None: all of the study.
    """
    from jaxsoil.models.networks import ModelConfig
    from jaxsoil.training.trials import Trial, validation_rows

    groups = next((library.groups[g] for g in ("pedon", "profile", "sample") if g in library.groups), library.ids)
    soc = library.property("soc").values
    trials = []
    for network in config.networks:
        model = ModelConfig(encoder=config.encoder, width=config.width, decoder=network)
        for split in splits:
            for seed in range(config.seeds) if seeds is None else seeds:
                watch = validation_rows(split, groups, config.train.validation_share, seed)
                start = None
                if config.start == "direct" and model.physical:
                    start = direct_start(library, split)
                trials.append(Trial(network, model, split, seed, watch, _median_row(soc, split.test), start))
    return trials


def direct_start(library: Library, split: Split) -> tuple[np.ndarray, float]:
    """The direct estimate of (f_SOC, (rho r)_SOC) from the training rows of ``split``, for a warm start."""
    from jaxsoil.evaluation.soc_spectrum import direct_estimate

    estimate = direct_estimate(library.select(split.train))
    return np.clip(estimate.f_soc, 0.0, 1.0), float(estimate.soc_rho_r)


def _median_row(soc: np.ndarray, test: np.ndarray) -> int:
    rows = np.nonzero(test)[0]
    return int(rows[np.argsort(soc[rows], kind="stable")[rows.size // 2]])


def require_batch(trials: Sequence[Any], train: TrainConfig) -> None:
    """Raises DataError where a trial has too few rows for one step."""
    from jaxsoil.training.trials import steps_per_epoch

    for trial in trials:
        if steps_per_epoch(trial, train) < 1:
            rows = int((trial.split.train & ~trial.validation).sum())
            raise DataError(
                "fewer training rows than one batch",
                source=trial.split.name,
                value=f"{rows} rows, batch {train.batch}",
                remedy=f"Give --train.batch {max(1, rows // 4)} or more rows.",
            )


def run_study(config: StudyConfig, run: RunFolder, prepared: Prepared, paper: Mapping[str, Any] = PAPER) -> None:
    """Trains all trials and baselines and writes the run folder's files; what is already there is not run again.

    Args:
      config: the study's configuration.
      run: its run folder.
      prepared: data, splits and trials.
      paper: the publication's settings by field, to state what differs.
    """
    from jaxsoil import tracking

    started = time.perf_counter()
    library, splits = prepared.library, prepared.splits
    content = run.read_json("config.json")
    content["differs_from_paper"] = differences(config, library, paper)
    content["convergence"] = convergence_sentence(config.train)
    run.write_json("config.json", content)
    run.write_json("data.json", describe(library, prepared.minerals))
    print(f"{library.name}: {len(library)} spectra x {library.spectra.n_bands} bands, {len(splits)} splits")
    for field, ours, paper in content["differs_from_paper"]:
        print(f"  differs from the paper: {field} = {ours} (paper: {paper})")
    timing = {"compile_s": 0.0}
    with tracking.start(run.path, run.wandb, content["config"]) as tracker:
        tables = Tables(run, library, splits, config.train.seed, prepared.minerals)
        for name in config.baselines:
            began = time.perf_counter()
            tables.add_baseline(name)
            timing[f"{name}_s"] = time.perf_counter() - began
        tables.add_networks(prepared.trials, config.train, config.devices, config.components, tracker, timing)
        tables.write()
        timing["total_s"] = time.perf_counter() - started
        run.write_json("timing.json", {name: round(value, 3) for name, value in timing.items()})
        tracker.summary(tables.headline())
    print("  " + ", ".join(f"{name[:-2]} {value:.1f} s" for name, value in timing.items()))


def plan_study(config: StudyConfig, prepared: Prepared) -> str:
    """Describes the trials and their cost.

    Operations and bytes are counted from shapes; the time is that of a few steps, timed here, times their number.
    """
    from jaxsoil.training.calibrate import duration, estimate
    from jaxsoil.training.trials import make_groups, steps_per_epoch

    library, train = prepared.library, config.train
    data, minerals = shared_data(library, prepared.minerals)
    bands = library.spectra.n_bands
    lines = [
        f"{library.name}: {len(library)} spectra x {bands} bands, {len(prepared.splits)} splits, {config.seeds} seeds",
        "",
        "model           trials  parameters  epochs steps/epoch     TFLOP  MB/step   chunks GB/chunk  ms/step     time",
    ]
    lines += [f"{name:14} {len(prepared.splits):7d}" for name in config.baselines]
    operations = seconds = 0.0
    for group in make_groups(prepared.trials, train, config.devices, config.components, bands, minerals):
        steps = [steps_per_epoch(trial, train) for trial in group.trials]
        cost = estimate(group, data, train, config.devices)
        operations, seconds = operations + cost.operations, seconds + cost.seconds
        lines.append(
            f"{group.label:14} {len(group.trials):7d} {group.parameters:11,d} {train.epochs:7d} "
            f"{f'{min(steps)}-{max(steps)}':>11} {cost.operations / 1e12:9.4g} {cost.step_bytes / 1e6:8.1f} "
            f"{f'{group.chunks} x {group.size}':>8} {cost.chunk_bytes / 1e9:8.2f} {1e3 * cost.step_seconds:8.2f} "
            f"{duration(cost.seconds):>8}"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"Networks: {operations / 1e12:.4g} TFLOP (float32), {duration(seconds)} here if all epochs are run",
            "(timed on a few steps; early stops shorten it; baselines, evaluation and checkpoints come on top).",
            "Nothing was run.",
        ]
    )


def convergence_sentence(train: TrainConfig) -> str:
    """The criterion of convergence in words, for the reports."""
    watched = (
        f"loss of Eq. 1 on {train.validation_share:.0%} of the training groups, set aside"
        if train.validation_share
        else "training loss of Eq. 1"
    )
    if train.patience:
        return (
            f"A network counts as converged when the watched loss ({watched}) has not fallen below its lowest for "
            f"{train.patience} epochs, within at most {train.epochs}; training then stops."
        )
    return (
        f"A network counts as converged when the mean of the watched loss ({watched}) over the last fifth of its "
        f"{train.epochs} epochs is less than {train.tolerance:.0%} under that over the fifth before."
    )


def describe(library: Library, minerals: EndmemberLibrary | None = None) -> dict[str, Any]:
    """What the reports say of the data."""
    notes = list(library.notes)
    if minerals is not None:
        notes.append(f"Mixing decoder: {len(minerals)} minerals, mean rho r {minerals.rho_r.mean():.3f} g cm-3 nm.")
        notes += [f"Mineral left out: {name}: {reason}." for name, reason in minerals.exclusions.items()]
    return {
        "name": library.name,
        "rows": len(library),
        "bands": library.spectra.n_bands,
        "axis": [float(library.spectra.axis[0]), float(library.spectra.axis[-1])],
        "unit": library.spectra.unit,
        "steps": list(library.spectra.steps),
        "licence": library.licence,
        "notes": notes,
        "sha256": library.fingerprint(),
    }
