"""The tables of a run: what baselines and networks leave, gathered model by model and written at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxsoil.data.endmembers import EndmemberLibrary, as_table
from jaxsoil.data.library import Library
from jaxsoil.data.splits import Split
from jaxsoil.evaluation import results
from jaxsoil.evaluation.results import CONVERGED, DIVERGED, FITTED, NOT_CONVERGED
from jaxsoil.runs.files import write_arrays, write_csv, write_parquet
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.tables import Columns, read_csv, read_parquet
from jaxsoil.studies.reconstruction.baselines import factor_of
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.grid import Trial, steps_per_epoch
from jaxsoil.training.group_run import Outcome
from jaxsoil.training.loop import converged

PERCENT = 100.0
"""SOC: mass fraction inside models, % by mass in tables."""

OWN = ("input", "loss")
"""The study's own key columns of results.csv: what a model saw, and the form of its SOC loss."""

ENSEMBLE = "_ensemble"
"""How the names of models end that are the geometric mean of a network's seeds."""

SAMPLES = Columns("model region split id row_region", "observed predicted spectrum_rmse latent_distance", "seed")
"""Columns of samples.parquet that are read."""

UNDEFINED = ("study", "model", "region", "seed", "variant", "metric", "reason")
"""Columns of undefined.csv."""


class Of(NamedTuple):
    """The setting of a fit, and its name among those of its model: "" for the run's own."""

    input: str
    loss: str
    variant: str


def read_main(folder: Path) -> pd.DataFrame:
    """results.csv of a run with each model's own setting alone, without the columns :data:`OWN`."""
    trials = read_csv(folder / "trials.csv", Columns("model input loss variant"))
    return main_results(results.read_results(folder / "results.csv", OWN), trials)


def main_results(frame: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The same of its content and that of trials.csv."""
    own = trials[trials["variant"] == ""]
    known = set(zip(*(own[name] for name in ("model", *OWN)), strict=True))
    kept = [key in known for key in zip(*(frame[name] for name in ("model", *OWN)), strict=True)]
    return pd.DataFrame(frame[kept]).drop(columns=list(OWN)).reset_index(drop=True)


def read_predictions(folder: Path) -> pd.DataFrame:
    """predictions.parquet of a run with each model's own setting alone."""
    columns = Columns("model region split id variant", "observed predicted mean", "seed")
    frame = read_parquet(folder / "predictions.parquet", columns)
    return pd.DataFrame(frame[frame["variant"] == ""]).reset_index(drop=True)


def kept_epoch(watched: np.ndarray, epochs: int, keep: str) -> int:
    """The epoch, from 1, whose parameters a trained network has: that of the lowest ``watched`` loss (e,), the first of
    equals, or by ``keep`` = "last" the last one of its ``epochs``."""
    if keep == "last" or not np.isfinite(watched).any():
        return epochs
    return int(np.nanargmin(watched)) + 1


class Tables:
    """The tables of a run, filled model by model: of data in reflectance and SOC in %.

    ``seed`` is that of the baselines, ``minerals`` those of the mixing decoder on the data's axis, or None.
    """

    def __init__(
        self,
        run: RunFolder,
        library: Library,
        splits: Sequence[Split],
        seed: int = 0,
        minerals: EndmemberLibrary | None = None,
    ) -> None:
        self.run, self.library, self.splits, self.seed, self.minerals = run, library, splits, seed, minerals
        self.soc = library.property("soc").values
        self._kept: dict[str, list[Any]] = defaultdict(list)

    def add_baseline(
        self,
        label: str,
        name: str,
        split: Split,
        seed: int,
        predicted: np.ndarray,
        stage: str = "",
        *,
        of: Of,
        factor: float = 1.0,
    ) -> None:
        """Takes what a baseline predicts on the test rows of its split: SOC (t,) in %, the median of a model of log10
        SOC.

        Args:
          label: the fit's line in trials.csv.
          stage: of the fit, if the study has several.
          of: its setting.
          factor: mean of SOC over its median.
        """
        soc = np.full(len(self.library), np.nan)
        soc[split.test] = predicted
        key = self._key(name, split, seed, stage, of)
        self._add_predictions(key, split, soc, ("test",), factor, of)
        self._add_trial(key, label, split, FITTED, of, factor)

    def add_network(self, trial: Trial, outcome: Outcome, parameters: int, train: TrainConfig, stage: str = "") -> None:
        """Takes what a trained network leaves, and the number of its trainable parameters; the criterion of convergence
        is that of ``train``."""
        split, (status, epochs) = trial.split, self.status_of(outcome, train)
        kept = kept_epoch(outcome.history[:, 1], epochs, train.keep)
        lost = np.full(self.soc.size, np.nan)
        soc = PERCENT * np.asarray(outcome.soc, dtype=np.float64) if outcome.alive else lost
        rmse = outcome.rmse if outcome.alive else lost
        of = Of(trial.model.input, trial.loss, trial.variant)
        key = self._key(trial.name, split, trial.seed, stage, of)
        name = "/".join(filter(None, (stage, trial.id, trial.variant)))
        factor = self._factor(trial, soc) if outcome.alive else 1.0
        self._add_predictions(key, split, soc, ("train", "test"), factor, of)
        steps = kept * steps_per_epoch(trial, train)
        self._add_trial(
            key, name, split, status, of, factor, epochs=epochs, parameters=parameters, kept=kept, steps=steps
        )
        self._kept["members"].append((trial.name, split, stage, of, soc, factor, status))
        if not of.variant:
            self._add_samples(key, split, predicted=soc, spectrum_rmse=rmse, latent_distance=outcome.latent)
        if trial.model.decoder != "none":
            # The spectrum term trains on labelled and unlabelled rows alike.
            for part, rows in (("train", split.train | split.unlabelled), ("test", split.test)):
                self._kept["results"].append(results.mrmse_row(rmse[rows], **key, split=part))
        if trial.model.decoder != "none" and not of.variant:
            self._kept["examples"].append(key | {"row": trial.example, "reconstructed": outcome.example})
        if trial.model.physical and not of.variant:
            learned = {"f_soc": outcome.f_soc, "soc_rho_r": float(outcome.soc_rho_r), "abundance": outcome.abundance}
            self._kept["learned"].append(key | learned)
        losses = pd.DataFrame(outcome.history, columns=["train_loss", "validation_loss"])
        self._kept["history"].append(losses.assign(trial=name, epoch=np.arange(1, len(losses) + 1)))

    @staticmethod
    def status_of(outcome: Outcome, train: TrainConfig) -> tuple[str, int]:
        """What became of a training, as trials.csv says it, and its epochs; arguments as of :meth:`add_network`."""
        epochs = int(np.isfinite(outcome.history[:, 0]).sum())
        if not outcome.alive:
            return DIVERGED, epochs
        done = converged(outcome.history[:, 1], train.tolerance, train.patience)
        return CONVERGED if done else NOT_CONVERGED, epochs

    def _factor(self, trial: Trial, soc: np.ndarray) -> float:
        """Mean over median of SOC of a network with a loss of log10 SOC, from rows that no step was taken on.

        These are the rows that watched its loss; without any it is the training rows, whose residuals are too small.
        """
        if trial.loss != "log":
            return 1.0
        rows = trial.validation if trial.validation.any() else trial.split.train
        floored = [results.log10_percent(values[rows]) for values in (self.soc, soc)]
        return factor_of(floored[0] - floored[1])

    def add_ensembles(self) -> None:
        """Adds, for each network with several seeds on a split, their geometric mean as a model of its own.

        Seeds that diverged are left out of it; it counts as converged where all the others did. Its smearing factor is
        the geometric mean of theirs.
        """
        groups: dict[Any, list[Any]] = defaultdict(list)
        for name, split, stage, of, *found in self._kept.pop("members", []):
            groups[name, split.name, stage, of].append((split, *found))
        for (name, _, stage, of), found in groups.items():
            if len(found) < 2:
                continue
            split, status, alive = found[0][0], DIVERGED, [one for one in found if one[3] != DIVERGED]
            soc, factor = np.full(self.soc.size, np.nan), 1.0
            if alive:
                soc = 10.0 ** np.mean([results.log10_percent(one[1]) for one in alive], axis=0)
                factor = float(np.exp(np.mean([np.log(one[2]) for one in alive])))
                status = CONVERGED if all(one[3] == CONVERGED for one in alive) else NOT_CONVERGED
            key = self._key(name + ENSEMBLE, split, 0, stage, of)
            self._add_predictions(key, split, soc, ("train", "test"), factor, of)
            label = "/".join(filter(None, (stage, name + ENSEMBLE, split.name, of.variant)))
            self._add_trial(key, label, split, status, of, factor)

    def _key(self, model: str, split: Split, seed: int, stage: str, of: Of) -> dict[str, Any]:
        study = f"{self.run.experiment}/{stage}".rstrip("/")
        key = {"study": study, "data": self.library.name, "model": model, "region": split.held_out, "seed": seed}
        return key | {"input": of.input, "loss": of.loss}

    def _add_samples(self, key: dict[str, Any], split: Split, **measured: np.ndarray) -> None:
        region = self.library.group("region") if "region" in self.library.groups else self.library.ids
        for part in ("train", "test"):
            rows = np.nonzero(getattr(split, part))[0]
            numbers = {
                name: values[rows].astype(np.float32) for name, values in {"observed": self.soc, **measured}.items()
            }
            frame = pd.DataFrame({"id": self.library.ids[rows], "row_region": region[rows], **numbers})
            self._kept["samples"].append(frame.assign(**key, split=part))

    def _add_predictions(
        self, key: dict[str, Any], split: Split, soc: np.ndarray, parts: Sequence[str], factor: float, of: Of
    ) -> None:
        for part in parts:
            rows = np.nonzero(getattr(split, part))[0]
            observed, predicted = self.soc[rows], soc[rows]
            mean, reasons = factor * predicted, {}
            self._kept["results"] += results.metric_rows(
                observed, predicted, mean=mean, reasons=reasons, **key, split=part
            )
            if part == "test":
                self._kept["undefined"] += [
                    key | {"variant": of.variant, "metric": metric, "reason": reason.split(": ")[-1]}
                    for metric, reason in reasons.items()
                ]
                frame = pd.DataFrame({"id": self.library.ids[rows], "observed": observed, "predicted": predicted})
                self._kept["predictions"].append(frame.assign(mean=mean, **key, split=part, variant=of.variant))

    def _add_trial(
        self,
        key: dict[str, Any],
        name: str,
        split: Split,
        status: str,
        of: Of,
        factor: float,
        **trained: int,
    ) -> None:
        fit = {field: key[field] for field in ("model", "region", "seed")}
        # Of networks; a baseline and a mean of networks have neither epochs nor parameters of their own.
        counts = dict.fromkeys(("epochs", "parameters", "kept", "steps"), 0) | trained
        became = {"status": status, **counts, "exposure": split.exposure}
        self._kept["trials"].append({"trial": name, **fit, **became, **of._asdict(), "smearing": factor})

    def write(self) -> None:
        """Writes trials.csv, predictions.parquet, results.csv, undefined.csv and, where there are networks, what they
        learned.

        Of a network trials.csv has the epoch whose parameters were ``kept`` and the ``steps`` to it; undefined.csv has
        why a metric of held-out rows is undefined. Where there is a mixing decoder, endmembers.csv has its minerals
        (``jaxsoil.data.endmembers.as_table``).
        """
        folder, kept = self.run.path, self._kept
        write_csv(folder / "trials.csv", pd.DataFrame(kept["trials"]))
        write_csv(folder / "undefined.csv", pd.DataFrame(kept["undefined"], columns=pd.Index(UNDEFINED)))
        keys = ["study", "model", "region", "seed", "split", "id"]
        self._write_parquet("predictions", [*keys, *Of._fields, "observed", "predicted", "mean"])
        if kept["samples"]:
            measured = ["row_region", "observed", "predicted", "spectrum_rmse", "latent_distance"]
            self._write_parquet("samples", [*keys, *measured])
        if kept["history"]:
            history = pd.concat(kept["history"], ignore_index=True)
            columns = ["trial", "epoch", "train_loss", "validation_loss"]
            write_csv(folder / "history.csv", history.loc[:, columns], float_format="%.9g")
        if examples := kept["examples"]:
            rows = [example["row"] for example in examples]
            self._write_arrays(
                "reconstructions.npz",
                examples,
                id=self.library.ids[rows],
                observed=self.library.spectra.values[rows],
                reconstructed=np.stack([example["reconstructed"] for example in examples]),
            )
        if kept["learned"]:
            self._write_learned(kept["learned"])
        if self.minerals is not None:
            write_csv(folder / "endmembers.csv", as_table(self.minerals), float_format="%.9g")
        results.write_results(folder / "results.csv", results.as_frame(kept["results"], OWN), OWN)

    def _write_parquet(self, name: str, columns: list[str]) -> None:
        write_parquet(self.run.path / f"{name}.parquet", pd.concat(self._kept[name], ignore_index=True).loc[:, columns])

    def _write_learned(self, learned: list[dict[str, Any]]) -> None:
        """Writes soc_spectra.npz: what each mixing decoder learned, beside the truth where it is known.

        ``abundance_error`` (trials, K) is the mean absolute error of each endmember's mass fraction in the held-out
        rows, NaN where the truth is not known.
        """
        truth, extra = self.library.truth, {}
        assert self.minerals is not None
        if truth is not None:
            extra = {"truth_f_soc": truth.f_soc, "truth_soc_rho_r": np.float64(truth.soc_rho_r)}
        self._write_arrays(
            "soc_spectra.npz",
            learned,
            f_soc=np.stack([e["f_soc"] for e in learned]),
            soc_rho_r=np.array([e["soc_rho_r"] for e in learned]),
            abundance_error=np.stack([e["abundance"] for e in learned]),
            start_rho_r=np.float64(self.minerals.rho_r.mean()),
            **extra,
        )

    def _write_arrays(self, name: str, records: list[dict[str, Any]], **arrays: Any) -> None:
        keys = {field: np.array([r[field] for r in records]) for field in ("study", "model", "region", "seed")}
        spectra = self.library.spectra
        write_arrays(self.run.path / name, axis=spectra.axis, unit=np.array(spectra.unit), **keys, **arrays)

    def headline(self) -> dict[str, float]:
        """Mean CCC of log10 SOC over regions for each model, for the tracker."""
        frame = main_results(results.as_frame(self._kept["results"], OWN), pd.DataFrame(self._kept["trials"]))
        chosen = frame[(frame.split == "test") & (frame.scale == "log10") & (frame.metric == "ccc")]
        return {f"{model}/ccc_log10": float(part.value.mean()) for model, part in chosen.groupby("model")}
