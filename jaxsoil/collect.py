"""Runs networks and baselines of a study and gathers what they leave into the run folder's tables."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.errors import DataError
from jaxsoil.evaluation import results
from jaxsoil.experiment import RunFolder
from jaxsoil.files import atomic_path, write_text_atomic

PERCENT = 100.0
"""SOC: mass fraction inside models, % by mass in tables."""

FITTED, CONVERGED, NOT_CONVERGED, DIVERGED = "fitted", "converged", "not converged", "diverged"


class Tables:
    """The tables of a run, filled model by model.

    Args:
      run: the run folder.
      library: the data; reflectance and SOC in %.
      splits: what is trained and tested.
      seed: seed of the baselines.
    """

    def __init__(self, run: RunFolder, library: Library, splits: Sequence[Split], seed: int = 0) -> None:
        self.run, self.library, self.splits, self.seed = run, library, splits, seed
        self.soc = library.property("soc").values
        self._results: list[dict[str, Any]] = []
        self._trials: list[dict[str, Any]] = []
        self._predictions: list[pd.DataFrame] = []
        self._history: list[pd.DataFrame] = []
        self._examples: list[dict[str, Any]] = []

    def add_baseline(self, name: str) -> None:
        """Fits a baseline on every split; each fit leaves a file, so a resumed run does not repeat it."""
        spectra = _snv_absorbance(self.library)
        for split in tqdm(self.splits, desc=f"{name:14}", unit="fit", leave=False):
            path = self.run.path / "trials" / f"{name}-{_safe(split.name)}-{self.seed}.npz"
            if not path.exists():
                predicted = _fit_baseline(name, spectra, self.soc, split, self.seed)
                with atomic_path(path) as temporary, open(temporary, "wb") as file:
                    np.savez(file, soc=predicted)
            with np.load(path, allow_pickle=False) as stored:
                predicted = stored["soc"]
            full = np.full(len(self.library), np.nan)
            full[split.test] = predicted
            self._add_predictions(name, split, self.seed, full, ("test",))
            self._add_trial(f"{name}/{split.name}/{self.seed}", name, split, self.seed, FITTED, 0, 0)

    def add_networks(self, trials: Sequence[Any], config: Any, tracker: Any, timing: dict[str, float]) -> None:
        """Trains the trials, group by group.

        Args:
          trials: :class:`jaxsoil.training.trials.Trial` objects.
          config: a configuration with ``train``, ``devices`` and ``components``.
          tracker: takes one record for each trial and progress step.
          timing: seconds of compilation and of each group are added here.
        """
        import jax

        from jaxsoil.training.fit import Data
        from jaxsoil.training.trials import GroupRun, make_groups

        logging.getLogger("jax").setLevel(logging.ERROR)
        data = Data(self.library.spectra.values, (self.soc / PERCENT).astype(np.float32))
        bands = self.library.spectra.n_bands
        with jax.default_matmul_precision("float32" if config.train.precision == "highest" else "default"):
            for group in make_groups(trials, config.train, config.devices, config.components, bands):
                runner = GroupRun(group, data, config.components, config.train, config.devices, self.run.path)
                with _Progress(group, config.train.epochs, tracker) as progress:
                    for trial, outcome in runner.outcomes(progress):
                        self._add_network(trial, outcome, group.parameters, config.train)
                timing["compile_s"] = timing.get("compile_s", 0.0) + runner.compile_seconds
                timing[f"{group.label}_train_s"] = progress.seconds - runner.compile_seconds

    def _add_network(self, trial: Any, outcome: Any, parameters: int, train: Any) -> None:
        from jaxsoil.training.trials import converged

        split, epochs = trial.split, int(np.isfinite(outcome.history[:, 0]).sum())
        status = DIVERGED
        if outcome.alive:
            status = CONVERGED if converged(outcome.history, train.tolerance) else NOT_CONVERGED
        soc = PERCENT * np.asarray(outcome.soc, dtype=np.float64) if outcome.alive else np.full(self.soc.size, np.nan)
        rmse = outcome.rmse if outcome.alive else np.full(self.soc.size, np.nan)
        self._add_predictions(trial.name, split, trial.seed, soc, ("train", "test"))
        self._add_trial(trial.id, trial.name, split, trial.seed, status, epochs, parameters)
        if trial.model.decoder != "none":
            for part, rows in (("train", split.train), ("test", split.test)):
                key = self._key(trial.name, split, trial.seed, part)
                self._results.append(results.mrmse_row(rmse[rows], **key))
            self._examples.append({"model": trial.name, "split": split, "seed": trial.seed, "row": trial.example,
                                   "reconstructed": outcome.example})
        self._history.append(
            pd.DataFrame(outcome.history, columns=["train_loss", "monitored_loss"]).assign(
                trial=trial.id, epoch=np.arange(1, len(outcome.history) + 1)
            )
        )

    def _key(self, model: str, split: Split, seed: int, part: str) -> dict[str, Any]:
        return {
            "study": self.run.experiment,
            "data": self.library.name,
            "model": model,
            "region": split.held_out,
            "seed": seed,
            "split": part,
        }

    def _add_predictions(self, model: str, split: Split, seed: int, soc: np.ndarray, parts: Sequence[str]) -> None:
        for part in parts:
            rows = np.nonzero(split.train if part == "train" else split.test)[0]
            key = self._key(model, split, seed, part)
            self._results += results.metric_rows(self.soc[rows], soc[rows], **key)
            if part == "test":
                frame = pd.DataFrame(
                    {"id": self.library.ids[rows], "observed": self.soc[rows], "predicted": soc[rows]}
                )
                self._predictions.append(frame.assign(model=model, region=split.held_out, seed=seed, split=part))

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
        """Writes results.csv, trials.csv, predictions.parquet, history.csv and reconstructions.npz."""
        folder = self.run.path
        write_text_atomic(folder / "trials.csv", pd.DataFrame(self._trials).to_csv(index=False))
        columns = ["model", "region", "seed", "split", "id", "observed", "predicted"]
        with atomic_path(folder / "predictions.parquet") as temporary:
            pd.concat(self._predictions, ignore_index=True)[columns].to_parquet(temporary, index=False)
        if self._history:
            history = pd.concat(self._history, ignore_index=True)
            columns = ["trial", "epoch", "train_loss", "monitored_loss"]
            write_text_atomic(folder / "history.csv", history[columns].to_csv(index=False, float_format="%.9g"))
        if self._examples:
            self._write_examples()
        results.write_results(folder / "results.csv", results.as_frame(self._results))

    def _write_examples(self) -> None:
        rows = [example["row"] for example in self._examples]
        with atomic_path(self.run.path / "reconstructions.npz") as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                axis=self.library.spectra.axis,
                model=np.array([e["model"] for e in self._examples]),
                region=np.array([e["split"].held_out for e in self._examples]),
                seed=np.array([e["seed"] for e in self._examples]),
                id=self.library.ids[rows],
                observed=self.library.spectra.values[rows],
                reconstructed=np.stack([e["reconstructed"] for e in self._examples]),
            )

    def headline(self) -> dict[str, float]:
        """Mean CCC of log10 SOC over regions for each model, for the tracker."""
        frame = results.as_frame(self._results)
        chosen = frame[(frame.split == "test") & (frame.scale == "log10") & (frame.metric == "ccc")]
        return {f"{model}/ccc_log10": float(part.value.mean()) for model, part in chosen.groupby("model")}


class _Progress:
    """A progress bar over the epochs of a group's trials; each step is also tracked."""

    def __init__(self, group: Any, epochs: int, tracker: Any) -> None:
        import time

        self._clock, self._tracker = time.perf_counter, tracker
        self._started = self._clock()
        self._bar = tqdm(total=epochs * len(group.trials), desc=f"{group.label:14}", unit="epoch", leave=False)

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
            {"trial": trial.id, "epoch": stop, "train_loss": float(losses[0]), "monitored_loss": float(losses[1])}
        )


def _snv_absorbance(library: Library) -> np.ndarray:
    """Reflectance as absorbance, then SNV: both act on each spectrum alone, so no split can leak through them."""
    from jaxsoil.spectra.preprocess import SNV, Absorbance, Pipeline

    return Pipeline((Absorbance(), SNV())).fit(library.spectra)(library.spectra).values


def _fit_baseline(name: str, spectra: np.ndarray, soc: np.ndarray, split: Split, seed: int) -> np.ndarray:
    """Predicts SOC of the test rows in %; the model is trained on log10 of SOC in %."""
    from jaxsoil.evaluation import baselines

    target = np.log10(soc[split.train])
    train, test = spectra[split.train], spectra[split.test]
    if name == "plsr":
        return 10.0 ** baselines.plsr(train, target, test)
    if name == "random_forest":
        return 10.0 ** baselines.random_forest(train, target, test, seed=seed)
    raise DataError(f"there is no baseline '{name}'", remedy="Use plsr or random_forest.")


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
