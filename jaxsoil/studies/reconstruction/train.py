"""Fits the baselines and trains the networks of a study; what each fit leaves goes into the run's tables."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import jax
import numpy as np

from jaxsoil.data.endmembers import EndmemberLibrary
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.evaluation.applicability import latent_distance
from jaxsoil.models import invariance
from jaxsoil.models.autoencoder import Minerals, ModelConfig
from jaxsoil.runs import processes, progress
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.runs.threads import one_thread_each
from jaxsoil.runs.tracking import Silent, Tracker
from jaxsoil.studies.reconstruction import baselines
from jaxsoil.studies.reconstruction.config import StudyConfig, settings_of, variant_of
from jaxsoil.studies.reconstruction.family import PARTS
from jaxsoil.studies.reconstruction.objectives import make_losses
from jaxsoil.studies.reconstruction.soc_spectrum.direct import mean_soil_shares
from jaxsoil.studies.reconstruction.soc_spectrum.unmixing import abundance_error
from jaxsoil.studies.reconstruction.tables import PERCENT, Of, Tables
from jaxsoil.training.calibrate import settle
from jaxsoil.training.config import DeviceConfig, TrainConfig
from jaxsoil.training.cost import achieved
from jaxsoil.training.devices import matmul_precision
from jaxsoil.training.grid import Group, Trial, make_groups
from jaxsoil.training.group_run import GroupRun, Measure, Outcome, run_groups
from jaxsoil.training.step import Data
from jaxsoil.training.workers import MOST_THREADS, in_order

Made = TypeVar("Made")


def add_baseline(
    tables: Tables,
    name: str,
    config: StudyConfig,
    splits: Sequence[Split] | None = None,
    *,
    seed: int | None = None,
    stage: str = "",
    fit: Callable[..., baselines.Fitted] | None = None,
) -> None:
    """Fits a baseline, with each of its settings, on every split; each fit leaves a file, so a resumed run does not
    repeat it.

    Args:
      splits, seed: what is fitted and tested, and the replicate that it belongs to; None: those of the tables.
      stage: results of a named stage have "experiment/stage" as their study.
      fit: in place of :func:`jaxsoil.studies.reconstruction.baselines.fit`.
    """
    pieces, library = Pieces(tables.run.path / "trials"), tables.library
    seed = tables.seed if seed is None else seed
    first, *others = settings_of(config, name)
    regions = baselines.regions_of(library)

    def label_of(split: Split, variant: str) -> str:
        return "/".join(filter(None, (stage, name, split.name, str(seed), variant)))

    for setting in (first, *others):
        spectra, variant = baselines.seen(library, setting[0]), variant_of(setting, first)
        own: dict[str, Any] = {"seed": seed, "loss": setting[1], "train": config.train, "axis": library.spectra.axis}

        def get(split: Split, spectra: np.ndarray, variant: str, own: Any) -> tuple[str, bool, Piece]:
            label = label_of(split, variant)

            def made() -> Piece:
                rows = split.train
                of_rows = spectra[rows], tables.soc[rows], library.blocks[rows]
                found = (fit or baselines.fit)(name, *of_rows, regions=regions[rows], **own)
                return Piece({"soc": found.predict(spectra[split.test]), "factor": np.float64(found.factor)})

            there = pieces.exists(label.replace("/", "-"))
            return label, there, pieces.get(label.replace("/", "-"), made, identity=label)

        chosen = tables.splits if splits is None else splits
        calls = [functools.partial(get, split, spectra, variant, own) for split in chosen]
        paths = [pieces.path(label_of(split, variant).replace("/", "-")) for split in chosen]

        def make(numbers: Sequence[int], calls: Any = calls) -> Iterator[tuple[str, bool, Piece]]:
            return side_by_side([calls[i] for i in numbers], many=name in PARTS)

        found = processes.dealt(paths, make)
        for split, (label, there, piece) in zip(chosen, found, strict=processes.leads()):
            progress.reach(name, f"{tables.run.path.name}/{label}", kept=there)
            predicted, factor = piece.arrays["soc"], float(piece.arrays.get("factor", 1.0))
            tables.add_baseline(label, name, split, seed, predicted, stage, factor=factor, of=Of(*setting, variant))


def side_by_side(calls: Sequence[Callable[[], Made]], *, many: bool = True) -> Iterator[Made]:
    """The results of the calls, in order; with ``many`` on a thread for each core, for calls too small to fill them."""
    if not many:
        yield from (call() for call in calls)
        return
    # The call may be asked to stop between its steps; a fit has none.
    guarded = [lambda going_on, call=call: call() for call in calls]
    with one_thread_each():
        yield from in_order(guarded, min(os.cpu_count() or 1, MOST_THREADS))


def _latent_distance(trial: Trial, mass: np.ndarray) -> np.ndarray:
    return latent_distance(mass[trial.split.train | trial.split.unlabelled], mass)


@dataclasses.dataclass(frozen=True, eq=False)
class Networks:
    """What is trained as one stage of a study (:class:`jaxsoil.training.shared.Stage`).

    Args:
      library, minerals: the data, and those of the mixing decoder on its axis, or None.
      trials: those that share a program become one group.
      train, devices: settings.
      components: endmembers K of the networks without mixing decoder.
      stage, previous, keep_states: as in :class:`jaxsoil.training.group_run.GroupRun`; results of a named stage have
        "experiment/stage" as their study.
      measure: of the mass fractions, as there; with None the error of known abundances is not measured either.
    """

    library: Library
    minerals: EndmemberLibrary | None
    trials: Sequence[Trial]
    train: TrainConfig
    devices: DeviceConfig
    components: int
    stage: str = ""
    previous: str | None = None
    keep_states: bool = False
    measure: Measure | None = _latent_distance

    def groups(self) -> list[Group]:
        """The groups, in chunks by counted memory."""
        count = 0 if self.minerals is None else len(self.minerals)
        bands = self.library.spectra.n_bands
        return make_groups(self.trials, self.train, self.devices, self.components, bands, count)

    def runs(self, folder: Path) -> list[GroupRun]:
        """The groups, ready to be run in a folder."""
        data, _ = shared_data(self.library, self.minerals, self.train.perturbed > 0.0)
        files: dict[str, Any] = {"stage": self.stage, "previous": self.previous, "keep_states": self.keep_states}
        found = []
        for group in self.groups():
            score = None if self.measure is None else _abundance_score(self.library, self.minerals, group.model)
            loss = make_losses(group.trials)
            group, settled = settle(group, data, self.train, self.devices, folder, loss, self.stage, self.previous)
            measured: dict[str, Any] = {"measure": self.measure, "score": score}
            found.append(GroupRun(group, data, self.train, settled, folder, loss, **files, **measured))
        return found

    def on_data_of(self, other: Self) -> Self | None:
        """The same on the data of another stage; None where they are not equal."""
        ours, others = self.library, other.library
        same = ours is others or ours.fingerprint() == others.fingerprint()
        if not same or not _equal(self.minerals, other.minerals):
            return None
        return dataclasses.replace(self, library=other.library, minerals=other.minerals)


def _equal(ours: EndmemberLibrary | None, others: EndmemberLibrary | None) -> bool:
    """Whether two libraries of minerals are the same to the training."""
    if ours is None or others is None:
        return ours is others
    same = [np.array_equal(get(ours), get(others)) for get in (lambda m: m.spectra.values, lambda m: m.rho_r)]
    return all(same) and ours.names == others.names


def trained(
    networks: Networks, run: RunFolder, tracker: Tracker | Silent, runs: list[GroupRun], kind: str = ""
) -> Iterator[tuple[GroupRun, Trial, Outcome]]:
    """Trains networks; yields each trial with its group and what it leaves, in process 0 alone.

    Args:
      networks: what is trained, in the folder of ``run``.
      tracker: takes one record for each trial and progress step.
      runs: receives the groups.
      kind: of these trials where progress is told; "" has their names.
    """
    logging.getLogger("jax").setLevel(logging.ERROR)
    part = "/".join(filter(None, (run.path.name, networks.stage)))
    with matmul_precision(networks.train.precision):
        own = networks.runs(run.path)
        runs += own
        chunks = sum(one.group.chunks for one in own)
        cut = any(len(one.group.trials) > 1 for one in own)
        if chunks < processes.count() and networks.previous is None and cut:
            progress.say(f"  {chunks} programs for {processes.count()} processes: --devices.chunk cuts smaller ones.")
        for group, trial, outcome in run_groups(own, functools.partial(_report, part, kind, tracker, networks.train)):
            progress.reach(kind or trial.name, f"{part}/{trial.id}")
            yield group, trial, outcome


def record_floors(run: RunFolder, name: str, found: Mapping[str, Any]) -> None:
    """Puts into env.json, if it is there, what trainings did beside what the device could do, unless it is empty."""
    # With several processes the seconds would be those of all, the steps those of one.
    if found and not processes.several() and (run.path / "env.json").exists():
        known = run.read_json("env.json")
        run.write_json("env.json", known | {"floors": known.get("floors", {}) | {name: found}})


def add_networks(tables: Tables, networks: Networks, tracker: Tracker | Silent, timing: dict[str, float]) -> None:
    """Trains networks.

    Args:
      tables: receives what each network leaves.
      networks, tracker: as of :func:`trained`.
      timing: seconds of compilation and of each group are added here, summed over what runs at a time; of a group that
        was trained together with those of other runs there are none.
    """
    stage, began, runs = networks.stage, time.perf_counter(), list[GroupRun]()
    for group, trial, outcome in trained(networks, tables.run, tracker, runs):
        tables.add_network(trial, outcome, group.group.parameters, networks.train, stage)
    if not processes.leads():
        return
    record_floors(tables.run, stage or "networks", achieved(runs, networks.train, time.perf_counter() - began))
    path = tables.run.path / "env.json"
    known = tables.run.read_json("env.json") if path.exists() else {}
    for run in runs:
        compiled, seconds = (sum(each) for each in zip(*run.seconds, strict=True))
        timing["compile_s"] = timing.get("compile_s", 0.0) + compiled
        if run.trained or "shared" not in known:
            timing[f"{stage} {run.group.label}".strip().replace(" ", "_") + "_train_s"] = seconds


def _report(
    part: str, kind: str, tracker: Tracker | Silent, settings: TrainConfig,
    trial: Trial, start: int, stop: int, history: np.ndarray,
) -> None:  # fmt: skip
    """Says how far a trial is and tracks its losses."""
    epochs = settings.epochs
    # A trial of an earlier call is told as a whole.
    progress.reach(kind or trial.name, f"{part}/{trial.id}", stop / epochs, kept=start == 0 and stop == epochs > 1)
    train, validation = (float(loss) for loss in history[stop - 1][:2])
    # Without rows set aside it is the loss on training rows, of fine-tuning those of the held-out region: no sweep is
    # to compare points by it (jaxsoil.sweep.asha).
    watched = {"validation_loss": validation} if trial.validation.any() else {}
    tracker.log({"trial": trial.id, "epoch": stop, "train_loss": train} | watched)


def shared_data(
    library: Library, minerals: EndmemberLibrary | None = None, perturbed: bool = False
) -> tuple[Data, int]:
    """What all trials share, and the number of minerals.

    The spectra are on the device, once for all networks; a CPU takes those of a mapped file as they lie there.

    ``perturbed``: with what each kind of perturbation does to each row (:func:`moves`), kinds times the spectra's size.
    """
    constants, count = None, 0
    if minerals is not None:
        count = len(minerals)
        shares = mean_soil_shares(minerals.names).astype(np.float32)
        constants = Minerals(minerals.spectra.values, minerals.rho_r.astype(np.float32), shares)
    # A NaN would make every loss NaN; rows without a label are never among the labelled rows of a split.
    soc = (np.nan_to_num(library.property("soc").values, nan=0.0) / PERCENT).astype(np.float32)
    made = _MADE.setdefault(library, {})
    if "spectra" not in made:
        made["spectra"] = {"spectra": jax.device_put(library.spectra.values)}
    if perturbed and "moves" not in made:
        made["moves"] = moves(library)
    moved = made["moves"] if perturbed else {}
    return Data({**made["spectra"], "soc": soc, **moved}, constants), count


_MADE: weakref.WeakKeyDictionary[Library, dict[str, dict[str, Any]]] = weakref.WeakKeyDictionary()
"""What is made of a library once for all that trains on it; it goes with the library."""


def moves(library: Library) -> dict[str, np.ndarray]:
    """What perturbations do to spectra: "moved" (n, kinds, m), absorbance at one standard deviation, and "one_sided"
    (n, kinds), which kinds have strengths of one sign."""
    seen, axis = baselines.seen(library, "absorbance"), library.spectra.axis
    own = invariance.strengths_for(axis)
    sided = np.broadcast_to(invariance.one_sided(own), (len(seen), len(own.kinds())))
    return {"moved": invariance.unit_differences(seen, axis, own).astype(np.float32), "one_sided": sided}


def _abundance_score(library: Library, minerals: EndmemberLibrary | None, model: ModelConfig) -> Measure | None:
    """Error of the abundances; None unless they are known and the network's endmembers are the true ones, in order."""
    truth = library.truth
    if truth is None or minerals is None or not model.physical or (*minerals.names, truth.names[-1]) != truth.names:
        return None
    mass = truth.mass

    def score(trial: Trial, found: np.ndarray) -> np.ndarray:
        rows = trial.split.test
        return abundance_error(mass[rows], found[rows].astype(np.float64))

    return score
