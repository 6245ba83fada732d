"""A finished run as the reports see it: the files of its folder, checked, and nothing else."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd

from jaxsoil.data.library import MODELLED
from jaxsoil.evaluation.alarm import ALARMS, REGION_FAILURES
from jaxsoil.evaluation.results import CONVERGED, DIVERGED, FITTED, NOT_CONVERGED
from jaxsoil.report.run_files import RunContents, RunFiles
from jaxsoil.report.style import Look, looks
from jaxsoil.report.tables import natural_sorted
from jaxsoil.runs.tables import Columns, damaged, read_csv
from jaxsoil.studies.reconstruction.config import PAPER_NETWORKS
from jaxsoil.studies.reconstruction.tables import ENSEMBLE, OWN, main_results

MODEL_LABELS = {
    "plsr": "PLSR",
    "random_forest": "Random forest",
    "none": "Encoder",
    "ann": "Encoder + ANN decoder",
    "physics": "Encoder + physics decoder",
    "physics_no_rho": "Encoder + physics decoder without rho r",
    "carry_over": "Carry-over",
    "plsr_absorbance": "PLSR on absorbance",
    "epo": "EPO and PLSR",
    "ridge": "Ridge",
    "ridge_perturbations": "Ridge, perturbations",
    "ridge_regions": "Ridge, between regions",
    "ridge_both": "Ridge, both penalties",
    "process": "Gaussian process",
    "process_whitened": "Gaussian process, whitened",
    "carry_over_plsr": "Mean of carry-over and PLSR",
    "ridge_latent": "Ridge, perturbations subtracted",
    "ridge_method": "Ridge, both penalties, method of SOC",
    "ridge_latents": "Ridge, both penalties, latent features",
    "mlp_augmented": "MLPs, perturbed spectra",
    "carry_over_mlp": "Mean of ridge, Gaussian process and MLPs",
    "mlp": "MLPs",
    "cnn_augmented": "CNNs, perturbed spectra",
    "carry_over_mix": "Mix with unlabelled spectra",
}
"""Models in the order of the tables, with their names there; others follow under the name they have."""

_TABLES = {
    "trials": Columns(
        text="trial model region status exposure input loss variant",
        whole="seed epochs parameters kept steps",
        number="smearing",
    ),
    # Epochs that a diverged trial did not reach are empty.
    "history": Columns(text="trial", whole="epoch", number="train_loss validation_loss"),
}
_PAIR = "first second scale metric split"
_SUMMARIES = {
    "averages": Columns(text="part study model input loss split scale metric", number="mean se median regions overlap"),
    "region_averages": Columns(text="region study model input loss split scale metric", number="value"),
    "undefined": Columns(text="study model region variant metric reason", whole="seed"),
    "blocks": Columns(text="region block", number="lowest_r2 highest_r2", whole="n"),
    "block_tests": Columns(text="model test reason", number="t dof p", whole="problematic generalising"),
    "alarm_regions": Columns(
        text="model region",
        whole="seed",
        number=("r2", "rmse", "rmse_limit", *REGION_FAILURES, *(f"score_{alarm}" for alarm in ALARMS)),
    ),
    "alarm_areas": Columns(
        text="model failure alarm reason",
        number="auroc low high p least_p failing_regions other_regions",
        whole="failures units seed",
    ),
    "alarm_curves": Columns(text="model failure alarm", number="false_alarms caught"),
    "alarm_outcomes": Columns(
        text="model failure alarm rule", number="flagged caught false rmse rmse_accepted", whole="units failures"
    ),
    "differences": Columns(text=f"{_PAIR} region", number="difference", whole="seed"),
    "intervals": Columns(text=f"{_PAIR} method", number="centre sd low high p_rank p_sign", whole="n better"),
    "draws": Columns(text="region parting", whole="train test", number="shared"),
    "draw_intervals": Columns(text=f"{_PAIR} parting", number="centre low high", whole="n better"),
    "region_rows": Columns(text="region country", whole="rows labelled pedons", number="subsample_rows"),
    "region_facts": Columns(
        text="region country block",
        whole="rows pedons",
        number="soc_median soc_log_sd lowest_r2 highest_r2 bias_log10 mrmse",
    ),
    "transfer": Columns(
        text="model trained_on tested_on kind scale metric reason", whole="trained tested", number="value seeds"
    ),
    "transfer_trials": Columns(text="trial model region status", whole="seed trained tested epochs"),
    "transfer_means": Columns(text="model scale metric", number="within between others", whole="regions"),
    "coverage": Columns(
        text="model region calibration method nominal rows scale metric unit", number="value", whole="seed"
    ),
    "coverage_curve": Columns(
        text="model calibration method rows",
        number="level kept answered coverage lowest pooled factor",
        whole="seed regions",
    ),
    "coverage_regions": Columns(text="model region calibration method rows metric", number="value"),
    "coverage_means": Columns(
        text="model calibration method rows",
        number="level kept answered coverage lowest pooled factor regions most",
    ),
    "remeasure_means": Columns(text="model ranking", number="measured rmse_log10 rmse"),
    "gains": Columns(text="model regions metric", number="mean se gain gain_se", whole="better n"),
    "mix": Columns(text="region", number="weight"),
    "property_gains": Columns(text="property unit model metric", number="mean gain gain_se", whole="n"),
    "local_labels": Columns(text="model choice", number="ccc rmse abs_bias", whole="labels regions"),
    "moisture": Columns(text="model state", number="ccc rmse bias", whole="n"),
    "learned": Columns(
        text="study model region", number="moved mean_f_soc f_soc_error soc_rho_r start_rho_r truth_rho_r", whole="seed"
    ),
    "rescaling": Columns(
        text="region",
        number="factor slope pivot unscaled scaled affine ratio_variation moved_with moved_without",
        whole="seed",
    ),
    "rescaling_bands": Columns(
        number=("band", "dark", *(f"{a}_{b}" for a in ("with", "without", "ratio") for b in ("low", "median", "high")))
    ),
    "rescaling_means": Columns(text="quantity model", number="mean sd median rms"),
    "beyond_seeds": Columns(number="mean low high", whole="n"),
}
"""What :mod:`jaxsoil.studies.reconstruction.summaries` writes; each report needs some of it."""

_OF_TRIALS = ("trials", "predictions", "history", "averages", "region_averages", "undefined")

FILES = RunFiles(
    csv=_TABLES | _SUMMARIES,
    parquet={
        "predictions": Columns(text="model region split id variant", whole="seed", number="observed predicted mean")
    },
    arrays={"reconstructions": ("axis", "region", "seed", "model", "id", "observed", "reconstructed")},
    optional=("data", "timing", "history", "reconstructions", *_SUMMARIES),
    results=OWN,
)
"""The files of a run of this study."""


@dataclass(frozen=True, eq=False)
class Run(RunContents):
    """Contents of a run folder of this study.

    ``results`` and the tables are those of each model's own setting; ``grid`` and ``grid_trials`` have the averages
    and the trials of all settings.
    """

    grid: pd.DataFrame = field(default_factory=pd.DataFrame)
    grid_trials: pd.DataFrame = field(default_factory=pd.DataFrame)

    @functools.cached_property
    def trials(self) -> tuple[Any, ...]:
        """Lines of trials.csv as named tuples; ``trusted``: whether the numbers of a trial stand without a mark."""
        rows = self.tables["trials"]
        return tuple(rows.assign(trusted=rows["status"].isin([CONVERGED, FITTED])).itertuples(index=False))

    @property
    def predictions(self) -> pd.DataFrame:
        """predictions.parquet, SOC in % by mass."""
        return self.tables["predictions"]

    @property
    def reconstructions(self) -> dict[str, np.ndarray]:
        """Arrays of reconstructions.npz; empty if no model reconstructs."""
        return self.arrays.get("reconstructions", {})

    @property
    def history(self) -> pd.DataFrame | None:
        """history.csv, losses by epoch; None without networks."""
        return self.tables.get("history")

    def table(self, name: str) -> pd.DataFrame:
        """A table that the report needs; DataError where the run does not have it."""
        return self.tables[name] if name in self.tables else read_csv(self.path / f"{name}.csv", FILES.csv[name])

    @property
    def name(self) -> str:
        """Name of the data set."""
        return str(self.data.get("name") or self.results["data"].iloc[0])

    @property
    def models(self) -> list[str]:
        """Models of the results in the order of the tables."""
        present = set(self.results["model"].tolist())
        known = [name for label in MODEL_LABELS for name in (label, label + ENSEMBLE) if name in present]
        return known + natural_sorted(present - set(known))

    @property
    def labels(self) -> list[str]:
        """Names of these models in sentences."""
        return [model_label(model) for model in self.models]

    @property
    def kinds_of_soc(self) -> dict[str, str]:
        """What SOC is in the regions whose SOC is not measured."""
        return dict(self.data.get("soc_is", {}))

    @property
    def measured(self) -> list[str]:
        """Regions whose SOC is not modelled: those of the means; all of them where none would be left."""
        kinds = self.kinds_of_soc
        return [name for name in self.regions if MODELLED not in kinds.get(name, "")] or self.regions

    @property
    def modelled(self) -> list[str]:
        """The other regions."""
        return [name for name in self.regions if name not in self.measured]

    def region_label(self, region: str) -> str:
        """Name of a region with what its SOC is, where it is not measured SOC."""
        kind = self.kinds_of_soc.get(region)
        return f"{region} ({kind})" if kind else region

    @property
    def networks(self) -> list[str]:
        """Those of the publication's networks that the run has."""
        return [model for model in self.models if model in PAPER_NETWORKS]

    @property
    def doubtful(self) -> bool:
        """Whether any network did not converge."""
        return any(not trial.trusted for trial in self.trials)

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return len({trial.seed for trial in self.trials})

    @property
    def overlap(self) -> float:
        """Test rows over training rows, mean over random splits that share rows; 0 where regions are held out."""
        return float(np.max(self.table("averages")["overlap"]))

    @property
    def regions(self) -> list[str]:
        """Held-out regions in natural order."""
        return natural_sorted(set(self.results["region"].tolist()))

    def part(self, chosen: Callable[[Any], Any]) -> Self:
        """The part of the run whose lines are chosen: ``chosen`` takes a table, or the arrays of reconstructions.npz,
        and gives a mask of its lines."""
        arrays = self.reconstructions
        if arrays:
            rows = np.asarray(chosen(arrays))
            arrays = {name: values if name in ("axis", "unit") else values[rows] for name, values in arrays.items()}
        tables = {
            name: pd.DataFrame(frame[np.asarray(chosen(frame))]) if name in _OF_TRIALS else frame
            for name, frame in self.tables.items()
        }
        results = pd.DataFrame(self.results[np.asarray(chosen(self.results))])
        return replace(self, results=results, tables=tables, arrays={"reconstructions": arrays})

    def untrusted(self, model: str, region: str | None = None) -> list[Any]:
        """Trials of a model (and region) that did not converge or diverged."""
        mine = (trial for trial in self.trials if trial.model == model and region in (None, trial.region))
        return [trial for trial in mine if not trial.trusted]


def model_label(model: str) -> str:
    """Name of a model in tables and figures."""
    if model.endswith(ENSEMBLE):
        return f"{model_label(model.removesuffix(ENSEMBLE))} (ensemble)"
    return MODEL_LABELS.get(model, model)


def styles_of(run: Run) -> dict[str, Look]:
    """The look of each model, the same in every report."""
    return looks({model: model_label(model) for model in run.models}, order=tuple(MODEL_LABELS))


def read_run(folder: str | os.PathLike[str]) -> Run:
    """Reads a finished run; DataError names a file that is missing or not what it should be."""
    run = Run.of(FILES.read(folder))
    known = (CONVERGED, FITTED, NOT_CONVERGED, DIVERGED)
    for status in set(run.tables["trials"]["status"]) - set(known):
        problem = f"column status: unknown status, not one of {', '.join(known)}"
        raise damaged(run.path / "trials.csv", problem, status)
    run = _own_settings(run)
    if arrays := run.reconstructions:
        shape = (arrays["model"].size, arrays["axis"].size)
        if arrays["observed"].shape != shape or arrays["reconstructed"].shape != shape:
            problem = f"spectra are not {shape[0]} x {shape[1]}"
            raise damaged(run.path / "reconstructions.npz", problem, arrays["observed"].shape)
    return run


def _own_settings(run: Run) -> Run:
    trials, tables = run.tables["trials"], dict(run.tables)
    for name in {"trials", "predictions", "undefined"} & tables.keys():
        tables[name] = pd.DataFrame(tables[name][tables[name]["variant"] == ""]).reset_index(drop=True)
    if "history" in tables:
        own = tables["trials"]["trial"].tolist()
        tables["history"] = pd.DataFrame(tables["history"][tables["history"]["trial"].isin(own)])
    for name in {"averages", "region_averages"} & tables.keys():
        tables[name] = main_results(tables[name], trials)
    grid = run.tables.get("averages", run.grid)
    return replace(run, results=main_results(run.results, trials), tables=tables, grid=grid, grid_trials=trials)
