"""The study of f_SOC: trainings of the mixing decoder from two starts, direct estimates, and their tables.

Every training is a reconstruction study in a sub-folder of its own; what it leaves is read once, and the tables of the
whole are written from it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split, region_out
from jaxsoil.data.twin.soil.make import make_twin
from jaxsoil.evaluation.results import read_results
from jaxsoil.runs.errors import DataError, UsageError, did_you_mean
from jaxsoil.runs.files import read_arrays, write_arrays, write_csv
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.reconstruction.config import StudyConfig, convergence_sentence
from jaxsoil.studies.reconstruction.plan import plan_study
from jaxsoil.studies.reconstruction.prepare import StudyInputs, describe, differences, prepare_study
from jaxsoil.studies.reconstruction.run import run_study
from jaxsoil.studies.reconstruction.soc_spectrum import sweep as sweeps
from jaxsoil.studies.reconstruction.soc_spectrum import tables
from jaxsoil.studies.reconstruction.soc_spectrum.config import SocSpectrumConfig
from jaxsoil.studies.reconstruction.soc_spectrum.degeneracy import degenerate_solutions
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS, estimate

Start = Literal["paper", "direct"]
STARTS: tuple[Start, ...] = ("paper", "direct")

TWINS = {"troughs": True, "null": False}
"""The twins by source: whether the true f_SOC has absorptions."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """One training study: where it goes, its data, the start of its decoder."""

    name: str
    source: str
    start: Start
    config: StudyConfig
    prepared: StudyInputs


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """What was checked before anything is written: the studies, and those left out with their reasons.

    ``libraries`` are the studies with a wrong mineral library, one held-out region each.
    """

    parts: tuple[Part, ...]
    left_out: dict[str, str]
    libraries: tuple[Part, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A study that ended: the arrays of its soc_spectra.npz and, by (region, seed), what is known of each trial."""

    part: Part
    arrays: dict[str, np.ndarray]
    trials: dict[tuple[str, int], dict[str, Any]]

    @property
    def mean(self) -> tuple[np.ndarray, float] | None:
        """(f_SOC (m,), c) as means over the trials that did not diverge; None where all did."""
        spectra = np.asarray(self.arrays["f_soc"], dtype=np.float64)
        alive = np.isfinite(spectra).all(axis=1)
        if not alive.any():
            return None
        return spectra[alive].mean(axis=0), float(self.arrays["soc_rho_r"][alive].mean())


def prepare(config: SocSpectrumConfig) -> Loaded:
    """Lays out the studies; one whose direct start cannot be estimated is left out with the reason."""
    if config.networks != ("physics",):
        raise UsageError("--networks must be physics: f_SOC is learned by the mixing decoder alone.")
    if not config.direct_sizes or min(config.direct_sizes) < 1 or config.direct_seeds < 1:
        raise UsageError("--direct-sizes and --direct-seeds take numbers of 1 and above.")
    if config.library_epochs < 1:
        raise UsageError("--library-epochs takes 1 and above; --libraries without a name leaves those decoders out.")
    levels = sweeps.FACTORS["library"].levels
    for option, given, known in (
        ("--sweep-factors", config.sweep_factors, tuple(sweeps.FACTORS)),
        ("--libraries", config.libraries, levels),
    ):
        for name in given:
            if name not in known:
                raise UsageError(f"{option}: nothing is called '{name}'. {did_you_mean(name, known)}")
    parts, left_out = [], {}
    for source in TWINS if config.data == "twin" else (config.data,):
        stem = Path(source).stem
        for start in STARTS:
            study = study_config(config, source, start)
            try:
                parts.append(_part(f"{start}-{stem}", stem, start, study, config.held_out))
            except DataError as problem:
                if start == "paper":
                    raise
                left_out[f"{stem}-{start}"] = str(problem)
    return Loaded(tuple(parts), left_out, _libraries(config) if config.data == "twin" else ())


def study_config(config: SocSpectrumConfig, source: str, start: Start) -> StudyConfig:
    """The study of one source from one start.

    From the paper's start it trains as published: all epochs, the last parameters, no rows set aside.
    """
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(StudyConfig)}
    study = dataclasses.replace(StudyConfig(**fields), start=start)
    if source in TWINS:
        study = dataclasses.replace(study, twin=dataclasses.replace(config.twin, soc_troughs=TWINS[source]))
    changes: dict[str, Any] = {"patience": 0, "keep": "last", "validation_share": 0.0}
    if start == "direct":
        changes = {"decoder_lr": config.warm_decoder_lr}
    return dataclasses.replace(study, train=dataclasses.replace(study.train, **changes))


def _libraries(config: SocSpectrumConfig) -> tuple[Part, ...]:
    """Both starts on the twin with each mineral library: one held-out region, one seed."""
    factor, parts = sweeps.FACTORS["library"], []
    for level in config.libraries:
        settings = factor.settings[factor.levels.index(level)]
        samples = min(config.twin.n_samples, config.sweep_samples)
        for start in STARTS:
            study = study_config(config, "troughs", start)
            train = dataclasses.replace(study.train, epochs=min(config.library_epochs, study.train.epochs))
            twin = dataclasses.replace(study.twin, n_samples=samples, **settings)
            study = dataclasses.replace(study, train=train, twin=twin, seeds=1)
            name = f"library-{level.replace(' %', '').replace(' ', '-')}-{start}"
            parts.append(_part(name, level, start, study, 1))
    return tuple(parts)


def _part(name: str, source: str, start: Start, study: StudyConfig, held_out: int) -> Part:
    return Part(name, source, start, study, prepare_study(study, lambda library: spaced_regions(library, held_out)))


def spaced_regions(library: Library, count: int) -> list[Split]:
    """Splits that hold out ``count`` regions in turn, evenly spaced in their order; 0: all."""
    splits = region_out(library)
    chosen = np.unique(np.linspace(0, len(splits) - 1, min(count or len(splits), len(splits))).astype(int))
    return [splits[place] for place in chosen]


def plan(config: SocSpectrumConfig, loaded: Loaded) -> str:
    """Describes the trainings of each study; the direct estimates take a minute or two besides."""
    texts = [f"{part.name}:\n{plan_study(part.config, part.prepared)}" for part in loaded.parts]
    texts += [f"{name}: left out. {reason}" for name, reason in loaded.left_out.items()]
    if loaded.libraries:
        trials = sum(len(part.prepared.trials) for part in loaded.libraries)
        texts.append(
            f"mineral libraries ({', '.join(config.libraries)}): {trials} trainings more of at most "
            f"{loaded.libraries[0].config.train.epochs} epochs, with steps as above."
        )
    return "\n\n".join(texts)


def run(config: SocSpectrumConfig, folder: RunFolder, loaded: Loaded) -> None:
    """Trains the studies in folders of their own, then writes the tables of the whole."""
    started = time.perf_counter()
    timing: dict[str, float] = {}
    folder.write_json("data.json", describe(loaded.parts[0].prepared.library, loaded.parts[0].prepared.minerals))
    folder.write_json("config.json", folder.read_json("config.json") | _header(loaded))
    trained = [_train(part, folder, timing) for part in loaded.parts]
    began = time.perf_counter()
    _write_estimates(config, folder, trained)
    timing["direct_s"] = time.perf_counter() - began
    if config.data == "twin":
        began = time.perf_counter()
        wrong = [_train(part, folder, timing) for part in loaded.libraries]
        _write_rows(folder, "libraries", [row for one in wrong for row in _network_rows(one)], tables.NETWORKS)
        timing["libraries_s"] = time.perf_counter() - began
        began = time.perf_counter()
        _write_sweeps(config, folder)
        _write_abundances(folder, trained)
        other = degenerate_solutions(loaded.parts[0].prepared.library.truth)
        write_arrays(folder.path / "degeneracy.npz", **dataclasses.asdict(other))
        timing["sweeps_s"] = time.perf_counter() - began
    timing["total_s"] = time.perf_counter() - started
    folder.write_json("timing.json", {name: round(value, 3) for name, value in timing.items()})


def _header(loaded: Loaded) -> dict[str, Any]:
    """What config.json says of the whole: what was left out, minerals, differences from the paper, convergence."""
    first = loaded.parts[0]
    # Sources differ in nothing but their data, so the first part of each start speaks for it.
    by_start = {part.start: part for part in reversed(loaded.parts)}
    rows = differences(first.config, first.prepared.library, minerals=first.prepared.minerals)
    if "direct" in by_start:
        own = differences(by_start["direct"].config, first.prepared.library, minerals=first.prepared.minerals)
        rows += [[f"{row[0]} (direct start)", *row[1:]] for row in own if row not in rows]
    rows.append(["regions held out", len(first.prepared.splits), 17])
    titles = {"paper": "From the paper's start", "direct": "From the direct estimate"}
    sentences = [f"{titles[s]}: {convergence_sentence(by_start[s].config.train)}" for s in STARTS if s in by_start]
    minerals = first.prepared.minerals
    return {
        "left_out": loaded.left_out,
        "endmembers": 0 if minerals is None else len(minerals) + 1,
        "minerals": "" if minerals is None else minerals_sentence(minerals),
        "differs_from_paper": rows,
        "convergence": " ".join(sentences),
    }


def minerals_sentence(minerals: EndmemberLibrary) -> str:
    """Says where the minerals' spectra come from: measured, or fitted to measurements."""
    spectra = [minerals.provenance.get(name, {}).get("spectrum", "") for name in minerals.names]
    fitted = sum(source.startswith("fit to") for source in spectra)
    # The collection and the library; what follows differs by instrument and repair of each spectrum.
    named = {", ".join(source.removeprefix("fit to ").split(", ")[:2]) for source in spectra if source}
    sources = sorted(named) or ["a source not stated"]
    if not fitted:
        return f"The {len(minerals)} minerals are measured spectra ({'; '.join(sources)})."
    some = "" if fitted == len(minerals) else f"{fitted} of "
    return (
        f"{some or 'The '}{len(minerals)} minerals are parametric curves fitted to measured spectra "
        f"({'; '.join(sources)}), not the measurements."
    )


def _train(part: Part, folder: RunFolder, timing: dict[str, float]) -> Trained:
    """Runs one study (what is there is not run again) and reads what it left."""
    began = time.perf_counter()
    sub = RunFolder(folder.path / part.name, folder.experiment, folder.wandb)
    sub.path.mkdir(exist_ok=True)
    sub.write_json("config.json", {"experiment": folder.experiment, "config": dataclasses.asdict(part.config)})
    run_study(part.config, sub, part.prepared)
    timing[f"{part.name}_s"] = time.perf_counter() - began
    return _read(part, sub.path)


def _read(part: Part, folder: Path) -> Trained:
    from jaxsoil.training.grid import steps_per_epoch

    arrays = read_arrays(folder / "soc_spectra.npz")
    train = part.config.train
    history = pd.read_csv(folder / "history.csv")
    found = pd.read_csv(folder / "trials.csv", dtype={"region": str, "status": str, "exposure": str})
    trials: dict[tuple[str, int], dict[str, Any]] = {}
    for row, trial in zip(found.to_dict("records"), part.prepared.trials, strict=True):
        kept = int(row["epochs"])
        watched = history.loc[history["trial"] == row["trial"], "validation_loss"].to_numpy(dtype=float)
        if train.keep == "best" and np.isfinite(watched).any():
            kept = int(np.nanargmin(watched)) + 1
        f_soc, c = trial.start or (np.full(arrays["axis"].size, 0.5), float(arrays["start_rho_r"]))
        trials[str(row["region"]), int(row["seed"])] = {
            **{name: row[name] for name in ("status", "exposure", "epochs")},
            "kept": kept,
            "reach": train.lr * train.decoder_lr * kept * steps_per_epoch(trial, train),
            "start_f": np.asarray(f_soc, dtype=np.float64),
            "start_c": float(c),
        }
    for row in read_results(folder / "results.csv").to_dict("records"):
        if row["split"] == "test" and (row["scale"], row["metric"]) in (("percent", "r2"), ("reflectance", "mrmse")):
            trials[row["region"], int(row["seed"])][row["metric"]] = float(row["value"])
    return Trained(part, arrays, trials)


def _network_rows(one: Trained) -> list[dict[str, Any]]:
    return tables.network_rows(one.part.prepared.library, one.part.source, one.part.start, one.arrays, one.trials)


def _write_estimates(config: SocSpectrumConfig, folder: RunFolder, trained: Sequence[Trained]) -> None:
    """Writes estimates, lines, troughs, networks and curves."""
    estimates, lines, networks, curves = [], [], [], []
    axis = trained[0].part.prepared.library.spectra.to_unit("nm").axis
    for source in dict.fromkeys(one.part.source for one in trained):
        mine = [one for one in trained if one.part.source == source]
        library, minerals = mine[0].part.prepared.library, mine[0].part.prepared.minerals
        if library.truth is not None:
            twin = dataclasses.replace(library.truth.config, n_samples=max(config.direct_sizes))
            library = make_twin(twin, name=library.name)
            row, rows, curve = tables.truth_tables(library, source)
            estimates, lines, curves = [*estimates, row], lines + rows, [*curves, curve]
        found = tables.direct_tables(library, source, tuple(METHODS), minerals=minerals, resamples=config.resamples)
        estimates, lines, curves = estimates + found[0], lines + found[1], curves + found[2]
        for one in mine:
            networks += _network_rows(one)
            learned = tables.learned_curve(source, one.part.start, axis, one.arrays["f_soc"])
            lines, curves = lines + learned[0], curves + learned[1]
    troughs = [row for curve in curves for row in tables.trough_rows(curve.source, curve.estimator, axis, curve.f_soc)]
    _write_rows(folder, "estimates", estimates, tables.ESTIMATES)
    _write_rows(folder, "lines", lines, tables.LINES)
    _write_rows(folder, "troughs", troughs, tables.TROUGHS)
    _write_rows(folder, "networks", networks, tables.NETWORKS)
    _write_curves(folder, axis, curves, trained)


def _write_curves(
    folder: RunFolder, axis: np.ndarray, curves: Sequence[tables.Curve], trained: Sequence[Trained]
) -> None:
    """Writes curves.npz (estimates and means over folds) and learned.npz (each fold)."""
    write_arrays(
        folder.path / "curves.npz",
        axis=axis,
        source=np.array([curve.source for curve in curves]),
        estimator=np.array([curve.estimator for curve in curves]),
        **{name: np.stack([getattr(curve, name) for curve in curves]) for name in ("f_soc", "low", "high")},
    )
    parts: list[dict[str, Any]] = []
    for one in trained:
        count = len(one.arrays["f_soc"])
        parts.append(
            {name: one.arrays[name] for name in ("region", "seed", "f_soc", "soc_rho_r")}
            | {"source": np.full(count, one.part.source), "start": np.full(count, one.part.start)}
            | {"start_rho_r": np.full(count, float(one.arrays["start_rho_r"]))}
        )
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    write_arrays(folder.path / "learned.npz", axis=axis, **together)


def _write_sweeps(config: SocSpectrumConfig, folder: RunFolder) -> None:
    """Writes what the direct estimate does on twins: accuracy, null control, sweeps, clay that follows SOC."""
    seeds = range(config.direct_seeds)
    scored = [
        sweeps.accuracy(config.direct_sizes, seeds, ("regions", "minerals"), soc_troughs=troughs).assign(factor=source)
        for source, troughs in TWINS.items()
    ]
    write_csv(folder.path / "accuracy.csv", pd.concat(scored, ignore_index=True), float_format="%.9g")
    swept = sweeps.sweep(factors=config.sweep_factors, n_samples=config.sweep_samples, seeds=seeds)
    write_csv(folder.path / "sweep.csv", swept, float_format="%.9g")
    write_csv(folder.path / "robust.csv", sweeps.robustness(config.sweep_samples, seeds), float_format="%.9g")


def _write_abundances(folder: RunFolder, trained: Sequence[Trained]) -> None:
    """Writes errors of mass fractions: unmixed with each estimate of (f_SOC, c), and the encoders' own."""
    rows = []
    for source in TWINS:
        mine = [one for one in trained if one.part.source == source]
        library = mine[0].part.prepared.library
        found: dict[str, tuple[np.ndarray, float]] = {}
        try:
            direct = estimate(library)
            found["regions"] = (direct.f_soc, direct.soc_rho_r)
        except DataError:
            pass  # estimates.csv has the reason
        found |= {one.part.start: one.mean for one in mine if one.mean is not None}
        rows += tables.abundance_rows(library, source, found)
        for one in mine:
            rows += tables.latent_rows(library, source, f"{one.part.start}-latents", one.arrays["abundance_error"])
    _write_rows(folder, "abundances", rows, tables.ABUNDANCES)


def _write_rows(folder: RunFolder, name: str, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    write_csv(folder.path / f"{name}.csv", pd.DataFrame(rows, columns=pd.Index(columns)), float_format="%.9g")
