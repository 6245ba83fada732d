"""Experiment 2 of the reconstruction study: the spectrum of soil organic carbon, and what of it is known.

    python experiments/run.py --exp=soc_spectrum                      reference twins, with and without troughs
    python experiments/run.py --exp=soc_spectrum --data soils_vnir    measured soils, with bootstraps
    python experiments/run.py --exp=soc_spectrum --paper              the paper's optimiser and folds (hours)

The mixing decoder is trained as in the paper and, besides, started from the direct estimate of its training rows;
both stand beside the direct estimate of all rows, the truth and the null control (docs/soc_spectrum.md).
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.data.twin import make_twin, reference_config
from jaxsoil.errors import DataError, UsageError, did_you_mean
from jaxsoil.evaluation import soc_spectrum_sweep as sweeps
from jaxsoil.evaluation import soc_spectrum_tables as tables
from jaxsoil.evaluation.soc_spectrum_degeneracy import degenerate_solutions
from jaxsoil.evaluation.soc_spectrum_methods import METHODS, estimate
from jaxsoil.experiment import Experiment, RunFolder
from jaxsoil.files import atomic_path, write_text_atomic
from jaxsoil.study import Prepared, StudyConfig, describe, plan_study, prepare, run_study
from jaxsoil.training.config import TrainConfig

STARTS: tuple[Literal["paper", "direct"], ...] = ("paper", "direct")
TWINS = {"troughs": True, "null": False}
"""The twins by source: whether the true f_SOC has absorptions."""


@dataclasses.dataclass(frozen=True)
class SocSpectrumConfig(StudyConfig):
    """Configuration of the study of f_SOC; --twin is the reference twin, with and without troughs."""

    held_out: int = 4
    """Regions that are held out in turn, evenly spaced; 0: all (paper: all)."""
    warm_decoder_lr: float = 0.1
    """Learning rate of the decoder over the encoder's where it starts from the direct estimate."""
    resamples: int = 100
    """Bootstrap resamples of the direct estimate."""
    direct_sizes: tuple[int, ...] = (2000, 8000)
    """Samples of the reference twins on which the direct estimate is scored; the largest is also drawn."""
    direct_seeds: int = 3
    """Seeds of those twins, and of the sweeps."""
    sweep_samples: int = 2000
    """Samples of the twins that are swept."""
    sweep_factors: tuple[str, ...] = tuple(sweeps.FACTORS)
    """What the sweeps vary, one at a time."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """One training study: where it goes, its data, the start of its decoder."""

    name: str
    source: str
    start: str
    config: StudyConfig
    prepared: Prepared


@dataclasses.dataclass(frozen=True, eq=False)
class Loaded:
    """What was checked before anything is written: the studies, and those left out with their reasons."""

    parts: tuple[Part, ...]
    left_out: dict[str, str]


def load(config: SocSpectrumConfig) -> Loaded:
    """Lays out the studies; one whose direct start cannot be estimated is left out with the reason."""
    if config.networks != ("physics",):
        raise UsageError("--networks must be physics: f_SOC is learned by the mixing decoder alone.")
    if not config.direct_sizes or min(config.direct_sizes) < 1 or config.direct_seeds < 1:
        raise UsageError("--direct-sizes and --direct-seeds take numbers of 1 and above.")
    unknown = [name for name in config.sweep_factors if name not in sweeps.FACTORS]
    if unknown:
        raise UsageError(
            f"--sweep-factors: nothing is called '{unknown[0]}'. {did_you_mean(unknown[0], sweeps.FACTORS)}"
        )
    parts, left_out = [], {}
    for source in TWINS if config.data == "twin" else (config.data,):
        for start in STARTS:
            study = _study(config, source, start)
            try:
                prepared = prepare(study, lambda library: _splits(library, config.held_out))
            except DataError as problem:
                if start == "paper":
                    raise
                left_out[f"{Path(source).stem}-{start}"] = str(problem)
                continue
            name = f"{start}-{Path(source).stem}"
            parts.append(Part(name, Path(source).stem, start, study, prepared))
    return Loaded(tuple(parts), left_out)


def _study(config: SocSpectrumConfig, source: str, start: Literal["paper", "direct"]) -> StudyConfig:
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(StudyConfig)}
    study = dataclasses.replace(StudyConfig(**fields), start=start)
    if source in TWINS:
        study = dataclasses.replace(study, twin=dataclasses.replace(config.twin, soc_troughs=TWINS[source]))
    if start == "paper":
        return study
    return dataclasses.replace(study, train=dataclasses.replace(study.train, decoder_lr=config.warm_decoder_lr))


def _splits(library: Library, count: int) -> list[Split]:
    from jaxsoil.data.splits import region_out

    splits = region_out(library)
    chosen = np.unique(np.linspace(0, len(splits) - 1, min(count or len(splits), len(splits))).astype(int))
    return [splits[place] for place in chosen]


def run(config: SocSpectrumConfig, folder: RunFolder, loaded: Loaded) -> None:
    """Trains the studies in folders of their own, then writes the tables of the whole."""
    started = time.perf_counter()
    timing: dict[str, float] = {}
    first = loaded.parts[0].prepared
    content = folder.read_json("config.json")
    content |= {"left_out": loaded.left_out, "endmembers": 0 if first.minerals is None else len(first.minerals) + 1}
    folder.write_json("data.json", describe(first.library, first.minerals))
    for part in loaded.parts:
        began = time.perf_counter()
        sub = RunFolder(folder.path / part.name, folder.experiment, folder.wandb)
        sub.path.mkdir(exist_ok=True)
        sub.write_json("config.json", {"experiment": folder.experiment, "config": dataclasses.asdict(part.config)})
        run_study(part.config, sub, part.prepared)
        if part is loaded.parts[0]:  # the paper's own start; what else differs for the others is their name
            content |= {key: sub.read_json("config.json")[key] for key in ("differs_from_paper", "convergence")}
        timing[f"{part.name}_s"] = time.perf_counter() - began
    content["differs_from_paper"].append(["regions held out", len(first.splits), 17])
    folder.write_json("config.json", content)
    began = time.perf_counter()
    _write_direct(config, folder, loaded)
    timing["direct_s"] = time.perf_counter() - began
    if config.data == "twin":
        began = time.perf_counter()
        _write_twin_tables(config, folder, loaded)
        timing["sweeps_s"] = time.perf_counter() - began
    timing["total_s"] = time.perf_counter() - started
    folder.write_json("timing.json", {name: round(value, 3) for name, value in timing.items()})


def _write_direct(config: SocSpectrumConfig, folder: RunFolder, loaded: Loaded) -> None:
    """Writes estimates, lines, troughs, networks and curves."""
    estimates, lines, troughs, networks, curves = [], [], [], [], []
    axis = loaded.parts[0].prepared.library.spectra.to_unit("nm").axis
    for source in dict.fromkeys(part.source for part in loaded.parts):
        mine = [part for part in loaded.parts if part.source == source]
        library, minerals = mine[0].prepared.library, mine[0].prepared.minerals
        if library.truth is not None:
            twin = dataclasses.replace(library.truth.config, n_samples=max(config.direct_sizes))
            library = make_twin(twin, name=library.name)
            row, rows, curve = tables.truth_tables(library, source)
            estimates, lines, curves = [*estimates, row], lines + rows, [*curves, curve]
        found = tables.direct_tables(library, source, tuple(METHODS), minerals=minerals, resamples=config.resamples)
        estimates, lines, curves = estimates + found[0], lines + found[1], curves + found[2]
        for part in mine:
            learned, scores = _learned(folder.path / part.name)
            networks += tables.network_rows(part.prepared.library, source, part.start, learned, scores)
            spectra = np.asarray(learned["f_soc"], dtype=np.float64)
            spectra = spectra[np.isfinite(spectra).all(axis=1)]
            if len(spectra):
                mean = spectra.mean(axis=0)
                curves.append(tables.Curve(source, part.start, mean, spectra.min(axis=0), spectra.max(axis=0)))
                lines += tables.line_rows(source, part.start, axis, mean, tables.presence(axis, spectra))
    for curve in curves:
        troughs += tables.trough_rows(curve.source, curve.estimator, axis, curve.f_soc)
    for name, rows, columns in (
        ("estimates", estimates, tables.ESTIMATES),
        ("lines", lines, tables.LINES),
        ("troughs", troughs, tables.TROUGHS),
        ("networks", networks, tables.NETWORKS),
    ):
        _write(folder.path / f"{name}.csv", pd.DataFrame(rows, columns=pd.Index(columns)))
    _write_curves(folder, axis, curves, loaded)


def _learned(folder: Path) -> tuple[dict[str, Any], dict[str, dict]]:
    """The arrays of soc_spectra.npz, and R2, MRMSE, status and exposure of each trial by (region, seed)."""
    from jaxsoil.evaluation.results import read_results

    with np.load(folder / "soc_spectra.npz", allow_pickle=False) as stored:
        learned = {name: stored[name] for name in stored.files}
    scores: dict[str, dict] = {"r2": {}, "mrmse": {}, "status": {}, "exposure": {}}
    for row in read_results(folder / "results.csv").to_dict("records"):
        if row["split"] == "test" and (row["scale"], row["metric"]) in (("percent", "r2"), ("reflectance", "mrmse")):
            scores[row["metric"]][row["region"], int(row["seed"])] = float(row["value"])
    trials = pd.read_csv(folder / "trials.csv", dtype=str, keep_default_na=False)
    for row in trials.to_dict("records"):
        for name in ("status", "exposure"):
            scores[name][row["region"], int(row["seed"])] = row[name]
    return learned, scores


def _write_curves(folder: RunFolder, axis: np.ndarray, curves: Sequence[tables.Curve], loaded: Loaded) -> None:
    """Writes curves.npz (estimates and means over folds) and learned.npz (each fold)."""
    _write_arrays(
        folder.path / "curves.npz",
        axis=axis,
        source=np.array([curve.source for curve in curves]),
        estimator=np.array([curve.estimator for curve in curves]),
        **{name: np.stack([getattr(curve, name) for curve in curves]) for name in ("f_soc", "low", "high")},
    )
    parts: list[dict[str, Any]] = []
    for part in loaded.parts:
        learned, _ = _learned(folder.path / part.name)
        count = len(learned["f_soc"])
        parts.append(
            {name: learned[name] for name in ("region", "seed", "f_soc", "soc_rho_r")}
            | {"source": np.full(count, part.source), "start": np.full(count, part.start)}
            | {"start_rho_r": np.full(count, float(learned["start_rho_r"]))}
        )
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    _write_arrays(folder.path / "learned.npz", axis=axis, **together)


def _write_twin_tables(config: SocSpectrumConfig, folder: RunFolder, loaded: Loaded) -> None:
    """Writes what only a known truth allows: accuracy, sweeps, clay that follows SOC, abundances, degeneracy."""
    seeds = range(config.direct_seeds)
    scored = [
        sweeps.accuracy(config.direct_sizes, seeds, ("regions", "minerals"), soc_troughs=troughs).assign(factor=source)
        for source, troughs in TWINS.items()
    ]
    _write(folder.path / "accuracy.csv", pd.concat(scored, ignore_index=True))
    swept = sweeps.sweep(factors=config.sweep_factors, n_samples=config.sweep_samples, seeds=seeds)
    _write(folder.path / "sweep.csv", swept)
    _write(folder.path / "robust.csv", sweeps.robustness(config.sweep_samples, seeds))
    abundances = []
    for source in TWINS:
        mine = [part for part in loaded.parts if part.source == source]
        library = mine[0].prepared.library
        abundances += tables.abundance_rows(library, source, _for_unmixing(folder, mine))
        for part in mine:
            errors = _learned(folder.path / part.name)[0]["abundance_error"]
            abundances += tables.latent_rows(library, source, f"{part.start}-latents", errors)
    _write(folder.path / "abundances.csv", pd.DataFrame(abundances, columns=pd.Index(tables.ABUNDANCES)))
    other = degenerate_solutions(loaded.parts[0].prepared.library.truth)
    _write_arrays(folder.path / "degeneracy.npz", **dataclasses.asdict(other))


def _for_unmixing(folder: RunFolder, parts: Sequence[Part]) -> dict[str, tuple[np.ndarray, float]]:
    """(f_SOC, c) of the direct estimate and of each start of the decoder, means over folds."""
    found: dict[str, tuple[np.ndarray, float]] = {}
    try:
        direct = estimate(parts[0].prepared.library)
        found["regions"] = (direct.f_soc, direct.soc_rho_r)
    except DataError:
        pass  # estimates.csv has the reason
    for part in parts:
        learned, _ = _learned(folder.path / part.name)
        alive = np.isfinite(learned["f_soc"]).all(axis=1)
        if alive.any():
            f_soc = np.asarray(learned["f_soc"][alive], dtype=np.float64).mean(axis=0)
            found[part.start] = (f_soc, float(learned["soc_rho_r"][alive].mean()))
    return found


def _write(path: Path, frame: pd.DataFrame) -> None:
    write_text_atomic(path, frame.to_csv(index=False, float_format="%.9g"))


def _write_arrays(path: Path, **arrays: Any) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def plan(config: SocSpectrumConfig, loaded: Loaded) -> str:
    """Describes the trainings of each study; the direct estimates take a minute or two besides."""
    texts = [f"{part.name}:\n{plan_study(part.config, part.prepared)}" for part in loaded.parts]
    texts += [f"{name}: left out. {reason}" for name, reason in loaded.left_out.items()]
    return "\n\n".join(texts)


def report(folder: Path) -> Path:
    """Writes report.md, report.html and the figures."""
    from jaxsoil.report.soc_spectrum import write_report

    return write_report(folder)


DEFAULT = SocSpectrumConfig(
    networks=("physics",),
    baselines=(),
    twin=reference_config(),
    train=TrainConfig(epochs=300, patience=40, lr=3e-4, b1=0.99, validation_share=0.1, keep="best"),
)

EXPERIMENT = Experiment(
    summary="The spectrum of SOC: learned, estimated directly, and what of it the data determine",
    table="Coleman et al. 2024, Figure 3",
    config=DEFAULT,
    smoke=dataclasses.replace(
        DEFAULT,
        twin=reference_config(240, n_regions=4, n_bands=80),
        held_out=2,
        width=32,
        resamples=20,
        direct_sizes=(300,),
        direct_seeds=1,
        sweep_samples=300,
        sweep_factors=("clay",),
        train=dataclasses.replace(DEFAULT.train, epochs=10, patience=0, batch=25, checkpoint_every=5),
    ),
    paper=SocSpectrumConfig(
        seeds=4,
        networks=("physics",),
        baselines=(),
        twin=reference_config(23291, n_regions=17, n_bands=2136, wavelength_high=2500.0),
        held_out=0,
        train=TrainConfig(),
    ),
    load=load,
    run=run,
    report=report,
    plan=plan,
)
