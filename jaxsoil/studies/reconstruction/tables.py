"""Runs networks and baselines of a study and gathers what they leave into the run folder's tables."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from jaxsoil.data.endmembers import as_table
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.evaluation import results
from jaxsoil.evaluation.results import CONVERGED, DIVERGED, FITTED, NOT_CONVERGED
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.files import write_arrays, write_csv, write_parquet
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.pieces import Piece, Pieces

PERCENT = 100.0
"""SOC: mass fraction inside models, % by mass in tables."""


class Tables:
    """The tables of a run, filled model by model.

    Args:
      run: the run folder.
      library: the data; reflectance and SOC in %.
      splits: what is trained and tested.
      seed: seed of the baselines.
      minerals: :class:`jaxsoil.data.endmembers.EndmemberLibrary` of the mixing decoder on the data's axis, or None.
    """

    def __init__(
        self, run: RunFolder, library: Library, splits: Sequence[Split], seed: int = 0, minerals: Any = None
    ) -> None:
        self.run, self.library, self.splits, self.seed, self.minerals = run, library, splits, seed, minerals
        self.soc = library.property("soc").values
        self._results: list[dict[str, Any]] = []
        self._trials: list[dict[str, Any]] = []
        self._predictions: list[pd.DataFrame] = []
        self._samples: list[pd.DataFrame] = []
        self._history: list[pd.DataFrame] = []
        self._examples: list[dict[str, Any]] = []
        self._learned: list[dict[str, Any]] = []

    def add_baseline(
        self, name: str, splits: Sequence[Split] | None = None, *, seed: int | None = None, stage: str = ""
    ) -> None:
        """Fits a baseline on every split; each fit leaves a file, so a resumed run does not repeat it.

        Args:
          name: "plsr" or "random_forest".
          splits: what is fitted and tested; None: the splits of these tables.
          seed: replicate that the fits belong to; None: the seed of these tables.
          stage: results of a named stage have "experiment/stage" as their study.
        """
        spectra, pieces = _snv_absorbance(self.library), Pieces(self.run.path / "trials")
        seed = self.seed if seed is None else seed
        for split in tqdm(self.splits if splits is None else splits, desc=f"{name:14}", unit="fit", leave=False):
            label = f"{stage}/{name}/{split.name}/{seed}".lstrip("/")
            fit = functools.partial(_fit_baseline, name, spectra, self.soc, split, seed)
            piece = pieces.get(label.replace("/", "-"), lambda fit=fit: Piece({"soc": fit()}), identity=label)
            full = np.full(len(self.library), np.nan)
            full[split.test] = piece.arrays["soc"]
            self._add_predictions(name, split, seed, full, ("test",), stage)
            self._add_trial(label, name, split, seed, FITTED, 0, 0)

    def add_networks(
        self,
        trials: Sequence[Any],
        train: Any,
        devices: Any,
        components: int,
        tracker: Any,
        timing: dict[str, float],
        *,
        stage: str = "",
        previous: str | None = None,
        keep_states: bool = False,
    ) -> None:
        """Trains the trials, group by group.

        Args:
          trials: :class:`jaxsoil.training.grid.Trial` objects.
          train, devices: :class:`jaxsoil.training.config.TrainConfig` and ``DeviceConfig``.
          components: endmembers K of the networks without mixing decoder.
          tracker: takes one record for each trial and progress step.
          timing: seconds of compilation and of each group are added here.
          stage, previous, keep_states: as in :class:`jaxsoil.training.grid.GroupRun`; results of a named stage have
            "experiment/stage" as their study.
        """
        from jaxsoil.studies.reconstruction.objectives import make_loss
        from jaxsoil.training.devices import matmul_precision
        from jaxsoil.training.grid import GroupRun, make_groups

        logging.getLogger("jax").setLevel(logging.ERROR)
        data, count = shared_data(self.library, self.minerals)
        bands = self.library.spectra.n_bands
        with matmul_precision(train.precision):
            for group in make_groups(trials, train, devices, components, bands, count):
                runner = GroupRun(
                    group,
                    data,
                    train,
                    devices,
                    self.run.path,
                    make_loss,
                    stage=stage,
                    previous=previous,
                    keep_states=keep_states,
                    measure=_latent_distance,
                    score=self._abundance_error if self._knows_abundances(group.model) else None,
                )
                label = f"{stage} {group.label}".strip()
                with _Progress(label, train.epochs * len(group.trials), tracker) as progress:
                    for trial, outcome in runner.outcomes(progress):
                        self._add_network(trial, outcome, group.parameters, train, stage)
                timing["compile_s"] = timing.get("compile_s", 0.0) + runner.compile_seconds
                timing[f"{label.replace(' ', '_')}_train_s"] = progress.seconds - runner.compile_seconds

    def _add_network(self, trial: Any, outcome: Any, parameters: int, train: Any, stage: str) -> None:
        from jaxsoil.training.loop import converged

        split, epochs = trial.split, int(np.isfinite(outcome.history[:, 0]).sum())
        status = DIVERGED
        if outcome.alive:
            status = CONVERGED if converged(outcome.history[:, 1], train.tolerance, train.patience) else NOT_CONVERGED
        lost = np.full(self.soc.size, np.nan)
        soc = PERCENT * np.asarray(outcome.soc, dtype=np.float64) if outcome.alive else lost
        rmse = outcome.rmse if outcome.alive else lost
        self._add_predictions(trial.name, split, trial.seed, soc, ("train", "test"), stage)
        self._add_samples(trial, soc, rmse, outcome.latent, stage)
        name = f"{stage}/{trial.id}".lstrip("/")
        self._add_trial(name, trial.name, split, trial.seed, status, epochs, parameters)
        if trial.model.decoder != "none":
            # The spectrum term trains on labelled and unlabelled rows alike.
            for part, rows in (("train", split.train | split.unlabelled), ("test", split.test)):
                key = self._key(trial.name, split, trial.seed, part, stage)
                self._results.append(results.mrmse_row(rmse[rows], **key))
            example = {"row": trial.example, "reconstructed": outcome.example}
            self._examples.append(self._key(trial.name, split, trial.seed, "test", stage) | example)
        if trial.model.physical:
            learned = {"f_soc": outcome.f_soc, "soc_rho_r": float(outcome.soc_rho_r), "abundance": outcome.abundance}
            self._learned.append(self._key(trial.name, split, trial.seed, "train", stage) | learned)
        self._history.append(
            pd.DataFrame(outcome.history, columns=["train_loss", "validation_loss"]).assign(
                trial=name, epoch=np.arange(1, len(outcome.history) + 1)
            )
        )

    def _knows_abundances(self, model: Any) -> bool:
        """Whether the true abundances are known and the network's endmembers are the true ones, in order."""
        truth = self.library.truth
        return truth is not None and model.physical and (*self.minerals.names, truth.names[-1]) == truth.names

    def _abundance_error(self, trial: Any, mass: np.ndarray) -> np.ndarray:
        from jaxsoil.studies.reconstruction.soc_spectrum.unmixing import abundance_error

        rows = trial.split.test
        return abundance_error(self.library.truth.mass[rows], mass[rows].astype(np.float64))

    def _add_samples(self, trial: Any, soc: np.ndarray, rmse: np.ndarray, latent: np.ndarray, stage: str) -> None:
        region = self.library.group("region") if "region" in self.library.groups else self.library.ids
        for part, mask in (("train", trial.split.train), ("test", trial.split.test)):
            rows = np.nonzero(mask)[0]
            frame = pd.DataFrame(
                {
                    "id": self.library.ids[rows],
                    "row_region": region[rows],
                    "observed": self.soc[rows].astype(np.float32),
                    "predicted": soc[rows].astype(np.float32),
                    "spectrum_rmse": rmse[rows].astype(np.float32),
                    "latent_distance": latent[rows].astype(np.float32),
                }
            )
            self._samples.append(frame.assign(**self._key(trial.name, trial.split, trial.seed, part, stage)))

    def _key(self, model: str, split: Split, seed: int, part: str, stage: str = "") -> dict[str, Any]:
        return {
            "study": f"{self.run.experiment}/{stage}".rstrip("/"),
            "data": self.library.name,
            "model": model,
            "region": split.held_out,
            "seed": seed,
            "split": part,
        }

    def _add_predictions(
        self, model: str, split: Split, seed: int, soc: np.ndarray, parts: Sequence[str], stage: str = ""
    ) -> None:
        for part in parts:
            rows = np.nonzero(split.train if part == "train" else split.test)[0]
            key = self._key(model, split, seed, part, stage)
            self._results += results.metric_rows(self.soc[rows], soc[rows], **key)
            if part == "test":
                frame = pd.DataFrame({"id": self.library.ids[rows], "observed": self.soc[rows], "predicted": soc[rows]})
                self._predictions.append(frame.assign(**key))

    def _add_trial(self, name: str, model: str, split: Split, seed: int, status: str, epochs: int, count: int) -> None:
        self._trials.append(
            {
                "trial": name,
                "model": model,
                "region": split.held_out,
                "seed": seed,
                "status": status,
                "epochs": epochs,
                "parameters": count,
                "exposure": split.exposure,
            }
        )

    def write(self) -> None:
        """Writes trials.csv, predictions.parquet, results.csv and, where there are networks, what they learned.

        Where there is a mixing decoder, endmembers.csv has its minerals (``jaxsoil.data.endmembers.as_table``).
        """
        folder = self.run.path
        write_csv(folder / "trials.csv", pd.DataFrame(self._trials))
        keys = ["study", "model", "region", "seed", "split", "id"]
        self._write_parquet("predictions.parquet", self._predictions, [*keys, "observed", "predicted"])
        if self._samples:
            measured = ["row_region", "observed", "predicted", "spectrum_rmse", "latent_distance"]
            self._write_parquet("samples.parquet", self._samples, [*keys, *measured])
        if self._history:
            history = pd.concat(self._history, ignore_index=True)
            columns = ["trial", "epoch", "train_loss", "validation_loss"]
            write_csv(folder / "history.csv", history.loc[:, columns], float_format="%.9g")
        if self._examples:
            rows = [example["row"] for example in self._examples]
            self._write_arrays(
                "reconstructions.npz",
                self._examples,
                id=self.library.ids[rows],
                observed=self.library.spectra.values[rows],
                reconstructed=np.stack([e["reconstructed"] for e in self._examples]),
            )
        if self._learned:
            self._write_learned()
        if self.minerals is not None:
            write_csv(folder / "endmembers.csv", as_table(self.minerals), float_format="%.9g")
        results.write_results(folder / "results.csv", results.as_frame(self._results))

    def _write_parquet(self, name: str, frames: list[pd.DataFrame], columns: list[str]) -> None:
        write_parquet(self.run.path / name, pd.concat(frames, ignore_index=True).loc[:, columns])

    def _write_learned(self) -> None:
        """Writes soc_spectra.npz: what each mixing decoder learned, beside the truth where it is known.

        ``abundance_error`` (trials, K) is the mean absolute error of each endmember's mass fraction in the held-out
        rows, NaN where the truth is not known.
        """
        truth, extra = self.library.truth, {}
        if truth is not None:
            extra = {"truth_f_soc": truth.f_soc, "truth_soc_rho_r": np.float64(truth.soc_rho_r)}
        self._write_arrays(
            "soc_spectra.npz",
            self._learned,
            f_soc=np.stack([e["f_soc"] for e in self._learned]),
            soc_rho_r=np.array([e["soc_rho_r"] for e in self._learned]),
            abundance_error=np.stack([e["abundance"] for e in self._learned]),
            start_rho_r=np.float64(self.minerals.rho_r.mean()),
            **extra,
        )

    def _write_arrays(self, name: str, records: list[dict[str, Any]], **arrays: Any) -> None:
        keys = {field: np.array([r[field] for r in records]) for field in ("study", "model", "region", "seed")}
        spectra = self.library.spectra
        write_arrays(self.run.path / name, axis=spectra.axis, unit=np.array(spectra.unit), **keys, **arrays)

    def headline(self) -> dict[str, float]:
        """Mean CCC of log10 SOC over regions for each model, for the tracker."""
        frame = results.as_frame(self._results)
        chosen = frame[(frame.split == "test") & (frame.scale == "log10") & (frame.metric == "ccc")]
        return {f"{model}/ccc_log10": float(part.value.mean()) for model, part in chosen.groupby("model")}


def shared_data(library: Library, minerals: Any = None) -> tuple[Any, int]:
    """What all trials share (:class:`jaxsoil.training.step.Data`, host arrays), and the number of minerals."""
    from jaxsoil.models.autoencoder import Minerals
    from jaxsoil.studies.reconstruction.soc_spectrum.direct import mean_soil_shares
    from jaxsoil.training.step import Data

    constants, count = None, 0
    if minerals is not None:
        count = len(minerals)
        shares = mean_soil_shares(minerals.names).astype(np.float32)
        constants = Minerals(minerals.spectra.values, minerals.rho_r.astype(np.float32), shares)
    # A NaN would make every loss NaN; rows without a label are never among the labelled rows of a split.
    soc = (np.nan_to_num(library.property("soc").values, nan=0.0) / PERCENT).astype(np.float32)
    return Data({"spectra": library.spectra.values, "soc": soc}, constants), count


class _Progress:
    """A progress bar over the epochs of a group's trials; each step is also tracked."""

    def __init__(self, label: str, epochs: int, tracker: Any) -> None:
        self._clock, self._tracker = time.perf_counter, tracker
        self._started = self._clock()
        self._bar = tqdm(total=epochs, desc=f"{label:14}", unit="epoch", leave=False)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    @property
    def seconds(self) -> float:
        return self._clock() - self._started

    def __call__(self, trial: Any, start: int, stop: int, history: np.ndarray) -> None:
        self._bar.update(stop - start)
        losses = history[stop - 1]
        self._tracker.log(
            {"trial": trial.id, "epoch": stop, "train_loss": float(losses[0]), "validation_loss": float(losses[1])}
        )


def _latent_distance(trial: Any, mass: np.ndarray) -> np.ndarray:
    from jaxsoil.evaluation.applicability import latent_distance

    return latent_distance(mass[trial.split.train | trial.split.unlabelled], mass)


def _snv_absorbance(library: Library) -> np.ndarray:
    """Reflectance as absorbance, then SNV: both act on each spectrum alone, so no split can leak through them."""
    from jaxsoil.spectra.preprocess import SNV, Absorbance, Pipeline

    return Pipeline((Absorbance(), SNV())).fit(library.spectra)(library.spectra).values


def _fit_baseline(name: str, spectra: np.ndarray, soc: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """Predicts SOC of the test rows in %; the model is trained on log10 of SOC in %."""
    from jaxsoil.models import forest, plsr

    target = np.log10(soc[split.train])
    train, test = spectra[split.train], spectra[split.test]
    if name == "plsr":
        return 10.0 ** plsr.fit(train, target).predict(test)
    if name == "random_forest":
        return 10.0 ** forest.fit(train, target, seed=seed).predict(test)
    raise DataError(f"there is no baseline '{name}'", remedy="Use plsr or random_forest.")
