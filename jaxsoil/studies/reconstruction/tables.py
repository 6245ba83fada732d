"""The tables of a run: what baselines and networks leave, gathered model by model and written at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.endmembers import as_table
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.evaluation import results
from jaxsoil.evaluation.results import CONVERGED, DIVERGED, FITTED, NOT_CONVERGED
from jaxsoil.runs.files import write_arrays, write_csv, write_parquet
from jaxsoil.runs.folder import RunFolder

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
        self, label: str, name: str, split: Split, seed: int, predicted: np.ndarray, stage: str = ""
    ) -> None:
        """Takes what a baseline predicts.

        Args:
          label: the fit's line in trials.csv.
          name: the model.
          split, seed: what it was fitted on.
          predicted: SOC of the test rows (t,) in %.
          stage: of the fit, if the study has several.
        """
        soc = np.full(len(self.library), np.nan)
        soc[split.test] = predicted
        self._add_predictions(name, split, seed, soc, ("test",), stage)
        self._add_trial(label, name, split, seed, FITTED, 0, 0)

    def add_network(self, trial: Any, outcome: Any, parameters: int, train: Any, stage: str = "") -> None:
        """Takes what a trained network leaves.

        Args:
          trial: :class:`jaxsoil.training.grid.Trial`.
          outcome: :class:`jaxsoil.training.outcomes.Outcome` of its training.
          parameters: number of its trainable parameters.
          train: :class:`jaxsoil.training.config.TrainConfig`, whose criterion of convergence holds.
          stage: of the training, if the study has several.
        """
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
