"""The study of f_SOC: trainings of the mixing decoder from two starts, direct estimates, and their tables.

Every training is a reconstruction study in a sub-folder of its own; what it leaves is read once, and the tables of the
whole are written from it. The direct estimates are finished pieces of the run.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split, region_out
from jaxsoil.data.twin.soil.make import make_twin
from jaxsoil.report.run_files import where
from jaxsoil.runs import progress
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.files import read_arrays, write_arrays, write_csv
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.runs.tables import Columns, read_csv
from jaxsoil.studies.reconstruction.config import StudyConfig, convergence_sentence, require_known
from jaxsoil.studies.reconstruction.prepare import StudyInputs, describe, differences, prepare_study
from jaxsoil.studies.reconstruction.run import count_trials, plan_study, run_study, timed
from jaxsoil.studies.reconstruction.soc_spectrum import sweep as sweeps
from jaxsoil.studies.reconstruction.soc_spectrum import tables
from jaxsoil.studies.reconstruction.soc_spectrum.appearance import find_troughs
from jaxsoil.studies.reconstruction.soc_spectrum.config import FACTORS, LIBRARIES, SocSpectrumConfig
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS, estimate
from jaxsoil.studies.reconstruction.soc_spectrum.unmixing import degenerate_solutions
from jaxsoil.studies.reconstruction.tables import read_main

Start = Literal["paper", "direct"]
STARTS: tuple[Start, ...] = ("paper", "direct")

TWINS = {"troughs": True, "null": False}
"""The twins by source: whether the true f_SOC has absorptions."""


@dataclasses.dataclass(frozen=True, eq=False)
class DecoderStudy:
    """A reconstruction study of the mixing decoder in the sub-folder ``name``, from one start; ``source`` names its
    data or its mineral library."""

    name: str
    source: str
    start: Start
    config: StudyConfig
    inputs: StudyInputs

    @property
    def library(self) -> Library:
        """Its data."""
        return self.inputs.library


@dataclasses.dataclass(frozen=True, eq=False)
class SpectrumInputs:
    """What was checked before anything is written: the studies of the decoder, those that cannot be started
    ("source-start" -> reason), and those with right and wrong mineral libraries, one held-out region each."""

    decoders: tuple[DecoderStudy, ...]
    left_out: dict[str, str]
    libraries: tuple[DecoderStudy, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedDecoder:
    """A study that ended: the arrays of its soc_spectra.npz and, by (region, seed), what is known of each trial."""

    study: DecoderStudy
    arrays: dict[str, np.ndarray]
    trials: dict[tuple[str, int], dict[str, Any]]

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of networks.csv."""
        return tables.network_rows(self.study.library, self.study.source, self.study.start, self.arrays, self.trials)

    @property
    def mean(self) -> tuple[np.ndarray, float] | None:
        """(f_SOC (m,), c) as means over the trials that did not diverge; None where all did."""
        spectra = np.asarray(self.arrays["f_soc"], dtype=np.float64)
        alive = np.isfinite(spectra).all(axis=1)
        if not alive.any():
            return None
        return spectra[alive].mean(axis=0), float(self.arrays["soc_rho_r"][alive].mean())


def prepare(config: SocSpectrumConfig) -> SpectrumInputs:
    """Lays out the studies; one whose direct start cannot be estimated is left out with the reason."""
    if config.networks != ("physics",):
        raise UsageError("--networks must be physics: f_SOC is learned by the mixing decoder alone.")
    if not config.direct_sizes or min(config.direct_sizes) < 1 or config.direct_seeds < 1:
        raise UsageError("--direct-sizes and --direct-seeds take numbers of 1 and above.")
    if config.library_epochs < 1:
        raise UsageError("--library-epochs takes 1 and above; --libraries without a name leaves those decoders out.")
    require_known("--sweep-factors", config.sweep_factors, FACTORS)
    require_known("--libraries", config.libraries, LIBRARIES)
    decoders, left_out = [], {}
    for source in TWINS if config.data == "twin" else (config.data,):
        stem = Path(source).stem
        for start in STARTS:
            study = study_config(config, source, start)
            try:
                decoders.append(_study(f"{start}-{stem}", stem, start, study, config.held_out))
            except DataError as problem:
                if start == "paper":
                    raise
                left_out[f"{stem}-{start}"] = str(problem)
    return SpectrumInputs(tuple(decoders), left_out, _libraries(config) if config.data == "twin" else ())


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


def _libraries(config: SocSpectrumConfig) -> tuple[DecoderStudy, ...]:
    """Both starts on the twin with each mineral library: one held-out region, one seed."""
    studies = []
    for level in config.libraries:
        samples = min(config.twin.n_samples, config.sweep_samples)
        for start in STARTS:
            study = study_config(config, "troughs", start)
            train = dataclasses.replace(study.train, epochs=min(config.library_epochs, study.train.epochs))
            twin = dataclasses.replace(study.twin, n_samples=samples, **LIBRARIES[level])
            study = dataclasses.replace(study, train=train, twin=twin, seeds=1)
            name = f"library-{level.replace(' %', '').replace(' ', '-')}-{start}"
            studies.append(_study(name, level, start, study, 1))
    return tuple(studies)


def _study(name: str, source: str, start: Start, config: StudyConfig, held_out: int) -> DecoderStudy:
    inputs = prepare_study(config, lambda library: spaced_regions(library, held_out))
    return DecoderStudy(name, source, start, config, inputs)


def spaced_regions(library: Library, count: int) -> list[Split]:
    """Splits that hold out ``count`` regions in turn, evenly spaced in their order; 0: all."""
    splits = region_out(library)
    chosen = np.unique(np.linspace(0, len(splits) - 1, min(count or len(splits), len(splits))).astype(int))
    return [splits[place] for place in chosen]


def plan(config: SocSpectrumConfig, inputs: SpectrumInputs) -> str:
    """Describes the trainings of each study; the direct estimates take a minute or two besides."""
    texts = [f"{study.name}:\n{plan_study(study.config, study.inputs)}" for study in inputs.decoders]
    texts += [f"{name}: left out. {reason}" for name, reason in inputs.left_out.items()]
    if inputs.libraries:
        trials = sum(len(study.inputs.trials) for study in inputs.libraries)
        texts.append(
            f"mineral libraries ({', '.join(config.libraries)}): {trials} trainings more of at most "
            f"{inputs.libraries[0].config.train.epochs} epochs, with steps as above."
        )
    return "\n\n".join(texts)


def run(config: SocSpectrumConfig, folder: RunFolder, inputs: SpectrumInputs) -> None:
    """Trains the studies in folders of their own, then writes the tables of the whole."""
    timing: dict[str, float] = {}
    with timed(timing, "total"):
        first = inputs.decoders[0]
        # Runs of sources without a twin leave the libraries out.
        for study in (*inputs.decoders, *(inputs.libraries if config.data == "twin" else ())):
            progress.expect(count_trials(study.config, study.inputs), study.name)
        folder.write_json("data.json", describe(first.library, first.inputs.minerals))
        folder.write_json("config.json", folder.read_json("config.json") | _header(inputs))
        trained = [_train(study, folder, timing) for study in inputs.decoders]
        with timed(timing, "direct"):
            progress.note("direct estimates")
            _write_estimates(config, folder, trained)
        if config.data == "twin":
            with timed(timing, "libraries"):
                others = [_train(study, folder, timing) for study in inputs.libraries]
                _write_table(folder, "libraries", [row for one in others for row in one.rows])
            with timed(timing, "sweeps"):
                progress.note("sweeps")
                _write_sweeps(config, folder)
                _write_abundances(folder, trained)
                write_arrays(folder.path / "degeneracy.npz", degenerate_solutions(first.library.truth).arrays())
    folder.write_json("timing.json", {name: round(value, 3) for name, value in timing.items()})


def _header(inputs: SpectrumInputs) -> dict[str, Any]:
    """What config.json says of the whole: what was left out, minerals, differences from the paper, convergence."""
    first = inputs.decoders[0]
    minerals = first.inputs.minerals
    # Sources differ in nothing but their data, so the first study of each start speaks for it.
    by_start = {study.start: study for study in reversed(inputs.decoders)}
    rows = differences(first.config, first.library, minerals=minerals)
    if "direct" in by_start:
        own = differences(by_start["direct"].config, first.library, minerals=minerals)
        rows += [[f"{row[0]} (direct start)", *row[1:]] for row in own if row not in rows]
    rows.append(["regions held out", len(first.inputs.splits), 17])
    titles = {"paper": "From the paper's start", "direct": "From the direct estimate"}
    sentences = [f"{titles[s]}: {convergence_sentence(by_start[s].config.train)}" for s in STARTS if s in by_start]
    return {
        "left_out": inputs.left_out,
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


def _train(study: DecoderStudy, folder: RunFolder, timing: dict[str, float]) -> TrainedDecoder:
    """Runs one study (what is there is not run again) and reads what it left."""
    group = folder.group or folder.path.name
    sub = dataclasses.replace(folder, path=folder.path / study.name, group=group)
    with timed(timing, study.name):
        sub.path.mkdir(exist_ok=True)
        sub.write_json("config.json", {"experiment": folder.experiment, "config": dataclasses.asdict(study.config)})
        run_study(study.config, sub, study.inputs)
    return _read(study, sub.path)


def _read(study: DecoderStudy, folder: Path) -> TrainedDecoder:
    arrays, train = read_arrays(folder / "soc_spectra.npz"), study.config.train
    found = read_csv(folder / "trials.csv", Columns("trial region status exposure", whole="seed epochs kept steps"))
    scores = where(read_main(folder), split="test")
    trials: dict[tuple[str, int], dict[str, Any]] = {}
    for row, trial in zip(found.to_dict("records"), study.inputs.trials, strict=True):
        f_soc, c = trial.start or (np.full(arrays["axis"].size, 0.5), float(arrays["start_rho_r"]))
        known = {name: row[name] for name in ("status", "exposure", "epochs", "kept")}
        known["reach"] = train.lr * train.decoder_lr * row["steps"]
        start = {"start_f": np.asarray(f_soc, dtype=np.float64), "start_c": float(c)}
        mine = where(scores, region=str(row["region"]), seed=int(row["seed"]))
        for scale, metric in (("percent", "r2"), ("reflectance", "mrmse")):
            known[metric] = float(where(mine, scale=scale, metric=metric)["value"].iloc[0])
        trials[str(row["region"]), int(row["seed"])] = known | start
    return TrainedDecoder(study, arrays, trials)


def _write_estimates(config: SocSpectrumConfig, folder: RunFolder, trained: Sequence[TrainedDecoder]) -> None:
    """Writes estimates, lines, troughs, networks with what is derived from them, curves and the spectra learned."""
    shown: list[tables.SpectrumTables] = []
    axis = trained[0].study.library.spectra.to_unit("nm").axis
    for source in dict.fromkeys(one.study.source for one in trained):
        mine = [one for one in trained if one.study.source == source]
        shown.append(_direct_tables(config, folder, source, mine[0]))
        shown += [tables.decoder_tables(axis, one.arrays["f_soc"], one.rows, len(one.study.library)) for one in mine]
    estimates, lines, curves = tables.joined(shown)
    networks = _write_table(folder, "networks", [row for one in trained for row in one.rows])
    _write_table(folder, "estimates", estimates)
    _write_table(folder, "lines", lines)
    _write_table(
        folder,
        "troughs",
        [
            {"source": curve["source"], "estimator": curve["estimator"], **dataclasses.asdict(trough)}
            for curve in curves
            for trough in find_troughs(axis, curve["f_soc"])
        ],
    )
    _write_table(folder, "reach", tables.reach_rows(networks))
    _write_table(folder, "differences", tables.start_differences(networks))
    write_arrays(folder.path / "curves.npz", axis=axis, **tables.curve_arrays(curves, axis.size))
    names, counts = ("region", "seed", "f_soc", "soc_rho_r"), [len(one.arrays["f_soc"]) for one in trained]
    write_arrays(
        folder.path / "learned.npz",
        {name: np.concatenate([one.arrays[name] for one in trained]) for name in names},
        axis=axis,
        source=np.repeat([one.study.source for one in trained], counts),
        start=np.repeat([one.study.start for one in trained], counts),
        start_rho_r=np.repeat([float(one.arrays["start_rho_r"]) for one in trained], counts),
    )


def _direct_tables(
    config: SocSpectrumConfig, folder: RunFolder, source: str, first: TrainedDecoder
) -> tables.SpectrumTables:
    """The truth of a source, if it has one, and its direct estimates: a finished piece of the run."""
    library, bands = first.study.library, first.study.library.spectra.n_bands

    def make() -> Piece:
        data, parts = library, []
        if library.truth is not None:
            twin = dataclasses.replace(library.truth.config, n_samples=max(config.direct_sizes))
            data = make_twin(twin, name=library.name)
            parts.append(tables.truth_tables(data, source))
        begin = {"minerals": first.study.inputs.minerals, "start_c": float(first.arrays["start_rho_r"])}
        parts.append(tables.direct_tables(data, source, tuple(METHODS), resamples=config.resamples, **begin))
        estimates, lines, curves = tables.joined(parts)
        frames = {"estimates": _frame("estimates", estimates), "lines": _frame("lines", lines)}
        return Piece(tables=frames, arrays=tables.curve_arrays(curves, bands))

    identity = [*METHODS, config.resamples, *config.direct_sizes]
    piece = Pieces(folder.path / "direct").get(source, make, identity=identity)
    estimates, lines = (piece.tables[name].to_dict("records") for name in ("estimates", "lines"))
    curves = zip(*(piece.arrays[name] for name in tables.CURVE), strict=True)
    return tables.SpectrumTables(estimates, lines, [dict(zip(tables.CURVE, curve, strict=True)) for curve in curves])


def _write_sweeps(config: SocSpectrumConfig, folder: RunFolder) -> None:
    """Writes what the direct estimate does on twins: accuracy, null control, sweeps, clay that follows SOC."""
    seeds, frames, pieces = range(config.direct_seeds), {}, Pieces(folder.path / "direct")
    makers: Mapping[str, Callable[[], pd.DataFrame]] = {
        "accuracy": lambda: pd.concat(
            sweeps.accuracy(config.direct_sizes, seeds, ("regions", "minerals"), soc_troughs=flag).assign(factor=source)
            for source, flag in TWINS.items()
        ),
        "sweep": lambda: sweeps.sweep(factors=config.sweep_factors, n_samples=config.sweep_samples, seeds=seeds),
        "robust": lambda: sweeps.robustness(config.sweep_samples, seeds),
    }
    settings = [*config.direct_sizes, config.direct_seeds, config.sweep_samples, *config.sweep_factors]
    for name, make in makers.items():
        piece = pieces.get(name, lambda make=make: Piece(tables={"scores": make()}), identity=settings)
        frames[name] = piece.tables["scores"]
        _write_table(folder, name, frames[name])
    _write_table(folder, "over_seeds", sweeps.over_seeds(pd.concat(frames.values())))


def _write_abundances(folder: RunFolder, trained: Sequence[TrainedDecoder]) -> None:
    """Writes errors of mass fractions: unmixed with each estimate of (f_SOC, c), and the encoders' own."""
    rows = []
    for source in TWINS:
        mine = [one for one in trained if one.study.source == source]
        library = mine[0].study.library
        found: dict[str, tuple[np.ndarray, float]] = {}
        try:
            direct = estimate(library)
            found["regions"] = (direct.f_soc, direct.soc_rho_r)
        except DataError:
            pass  # estimates.csv has the reason
        found |= {one.study.start: one.mean for one in mine if one.mean is not None}
        rows += tables.abundance_rows(library, source, found)
        for one in mine:
            rows += tables.latent_rows(library, source, f"{one.study.start}-latents", one.arrays["abundance_error"])
    _write_table(folder, "abundances", rows)


def _frame(name: str, rows: pd.DataFrame | Sequence[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=pd.Index((tables.TABLES | tables.TWIN_TABLES)[name].required))


def _write_table(folder: RunFolder, name: str, rows: pd.DataFrame | Sequence[dict[str, Any]]) -> pd.DataFrame:
    frame = _frame(name, rows)
    write_csv(folder.path / f"{name}.csv", frame, float_format="%.9g")
    return frame
