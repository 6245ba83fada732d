"""A study: networks and baselines under the same splits, gathered into one results table.

The experiments of the reconstruction paper differ in their splits and reports; what they share is here: the
trials, the baselines, the files of the run folder and the plan.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.experiment import RunFolder
from jaxsoil.runs.errors import DataError, UsageError, did_you_mean
from jaxsoil.studies.reconstruction.tables import Tables
from jaxsoil.training import config as limits
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
    "encoder": "mlp",
    "start": "paper",
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
"""Settings of the publication (Coleman et al. 2024 and its published code) by field of :class:`StudyConfig`."""

PAPER_ENDMEMBERS = 94
"""K of the publication's mixing decoder: 93 minerals and SOC."""

SMOKE_TWIN = TwinConfig(n_samples=240, n_regions=4, n_outlying=1, n_bands=40)
PAPER_TWIN = TwinConfig(n_samples=23291, n_bands=2136)
"""The twin at the smallest size, and at the publication's."""


def check(config: StudyConfig) -> None:
    """Raises UsageError, in one line, where a setting of a study cannot be."""
    counts = {"seeds": limits.at_least(1), "components": limits.at_least(2), "width": limits.at_least(1)}
    limits.require(config, counts)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, TrainConfig):
            limits.require(value, limits.TRAIN_LIMITS, f"{field.name}.")
    limits.require(config.devices, limits.DEVICE_LIMITS, "devices.")
    for option, names, kind in (("networks", config.networks, Network), ("baselines", config.baselines, Baseline)):
        for name in names:
            if name not in get_args(kind):
                raise UsageError(f"--{option}: nothing is called '{name}'. {did_you_mean(name, get_args(kind))}")
        if len(set(names)) < len(names):
            raise UsageError(f"--{option} {' '.join(names)}: name each once.")
    if not config.networks:
        raise UsageError(f"--networks: name one or more of {', '.join(get_args(Network))}.")


def load_library(config: StudyConfig, *, unlabelled: bool = False) -> Library:
    """Loads the study's data as reflectance in nm: the twin, a packaged data set or a user's manifest.

    Args:
      config: the study.
      unlabelled: keep the rows without SOC, for a study that learns from their spectra; otherwise, and wherever SOC
        is zero, rows are left out with a note on their number and on the regions that lost all of theirs.
    """
    if config.data == "twin":
        from jaxsoil.data.twin.soil.make import make_twin

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
    # Minerals are on an ascending axis in nm, and bands must be those of the data one by one.
    library = library.with_spectra(library.spectra.to_unit("nm"))
    soc = library.property("soc").values
    return _without_rows(library, soc > 0 if not unlabelled else ~(soc <= 0))


def _without_rows(library: Library, kept: np.ndarray) -> Library:
    """The rows ``kept``, with notes on the others."""
    if kept.all():
        return library
    if not kept.any():
        raise DataError(
            "no row has SOC above zero",
            source=library.name,
            column="soc",
            value=f"{len(library)} rows",
            remedy="Check the column of [labels.soc] and its conditions.",
        )
    soc = library.property("soc").values
    missing, zero = int((~kept & np.isnan(soc)).sum()), int((~kept & (soc <= 0)).sum())
    reasons = {"without SOC": missing, "whose SOC is not above zero": zero}
    notes = [f"Left out {count} rows {reason}." for reason, count in reasons.items() if count]
    if "region" in library.groups:
        lost = np.setdiff1d(library.groups["region"], library.groups["region"][kept])
        notes += [f"Region {region} is left out: none of its rows has SOC above zero." for region in lost.tolist()]
    return dataclasses.replace(library.select(kept), notes=(*library.notes, *notes))


def differences(
    config: StudyConfig,
    library: Library,
    paper: Mapping[str, Any] = PAPER,
    minerals: EndmemberLibrary | None = None,
) -> list[list[Any]]:
    """Settings that differ from the publication: rows of [field, ours, paper].

    Args:
      config: the study.
      library: its data.
      paper: the publication's settings by field of ``config``.
      minerals: those of the mixing decoder, None where none is trained.
    """
    rows: list[list[Any]] = []
    for name, published in paper.items():
        ours: Any = config
        for part in name.split("."):
            ours = getattr(ours, part)
        if ours != published:
            rows.append([name, ours, published])
    if minerals is not None and len(minerals) + 1 != PAPER_ENDMEMBERS:
        rows.append(["endmembers of the mixing decoder", len(minerals) + 1, PAPER_ENDMEMBERS])
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
    check(config)
    library = load_library(config)
    splits = tuple(split(library))
    minerals = decoder_minerals(config, library)
    trials = make_trials(config, library, splits)
    require_batch(trials, config.train)
    return Prepared(library, splits, tuple(trials), minerals)


def decoder_minerals(config: StudyConfig, library: Library) -> EndmemberLibrary | None:
    """Minerals of the mixing decoder on the library's axis; None where the study trains no such decoder.

    The twin hands out its own (perhaps wrong) library; measured data take the USGS minerals where JAXSOIL_DATA has
    them and the twin's fitted ones otherwise.
    """
    from jaxsoil.data import endmembers

    if not any(network.startswith("physics") for network in config.networks):
        return None
    axis = library.spectra.to_unit("nm").axis
    minerals = endmembers.best_minerals(axis) if library.truth is None else library.truth.decoder_minerals
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
    from jaxsoil.models.autoencoder import ModelConfig
    from jaxsoil.training.grid import Trial, validation_rows

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
    from jaxsoil.studies.reconstruction.soc_spectrum.direct import direct_estimate

    estimate = direct_estimate(library.select(split.train))
    return np.clip(estimate.f_soc, 0.0, 1.0), float(estimate.soc_rho_r)


def _median_row(soc: np.ndarray, test: np.ndarray) -> int:
    rows = np.nonzero(test)[0]
    return int(rows[np.argsort(soc[rows], kind="stable")[rows.size // 2]])


def require_batch(trials: Sequence[Any], train: TrainConfig) -> None:
    """Raises DataError where a trial has too few rows for one step."""
    from jaxsoil.training.grid import steps_per_epoch

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
    statement = {
        "differs_from_paper": differences(config, prepared.library, paper, prepared.minerals),
        "convergence": convergence_sentence(config.train),
    }
    size = f"{len(prepared.splits)} splits"
    with recording(config, run, prepared, statement, describe(prepared.library, prepared.minerals), size) as record:
        for name in config.baselines:
            with record.clock(name):
                record.tables.add_baseline(name)
        record.tables.add_networks(
            prepared.trials, config.train, config.devices, config.components, record.tracker, record.timing
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """What an open run fills: its tables, its tracker and the seconds of its parts."""

    tables: Tables
    tracker: Any
    timing: dict[str, float]

    @contextlib.contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Adds the seconds of a block to the timing."""
        began = time.perf_counter()
        yield
        self.timing[f"{name}_s"] = self.timing.get(f"{name}_s", 0.0) + time.perf_counter() - began


@contextlib.contextmanager
def recording(
    config: StudyConfig,
    run: RunFolder,
    prepared: Prepared,
    statement: Mapping[str, Any],
    data: Mapping[str, Any],
    size: str,
) -> Iterator[Recording]:
    """Opens a run: states what it is, yields what it fills, and writes tables and times at the end.

    Args:
      config, run, prepared: the study, its folder, its data and splits.
      statement: added to config.json, "differs_from_paper" among it.
      data: content of data.json.
      size: how much is trained, in words.
    """
    from jaxsoil.runs import tracking

    started = time.perf_counter()
    content = run.read_json("config.json") | statement
    run.write_json("config.json", content)
    run.write_json("data.json", data)
    library = prepared.library
    print(f"{library.name}: {len(library)} spectra x {library.spectra.n_bands} bands, {size}")
    for field, ours, published in statement["differs_from_paper"]:
        print(f"  differs from the paper: {field} = {ours} (paper: {published})")
    timing = {"compile_s": 0.0}
    with tracking.start(run.path, run.wandb, content["config"]) as tracker:
        tables = Tables(run, library, prepared.splits, config.train.seed, prepared.minerals)
        yield Recording(tables, tracker, timing)
        tables.write()
        timing["total_s"] = time.perf_counter() - started
        run.write_json("timing.json", {name: round(value, 3) for name, value in timing.items()})
        tracker.summary(tables.headline())
    print("  " + ", ".join(f"{name[:-2]} {value:.1f} s" for name, value in timing.items()))


def convergence_sentence(train: TrainConfig) -> str:
    """The criterion of convergence in words, for the reports."""
    watched = (
        f"loss of Eq. 1 on {train.validation_share:.0%} of the training groups, set aside"
        if train.validation_share
        else "training loss of Eq. 1"
    )
    if train.patience:
        return (
            f"A network counts as converged when the validation loss ({watched}) has not fallen below its lowest for "
            f"{train.patience} epochs, within at most {train.epochs}; training then stops."
        )
    return (
        f"A network counts as converged when the mean of the validation loss ({watched}) over the last fifth of its "
        f"{train.epochs} epochs is less than {train.tolerance:.0%} under that over the fifth before."
    )


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
        "notes": notes,
        "sha256": library.fingerprint(),
    }
