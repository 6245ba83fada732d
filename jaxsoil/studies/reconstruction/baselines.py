"""The baselines of the study: what they see, the scale they learn SOC on, and what their predictions mean."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxsoil.data.draws import group_folds
from jaxsoil.data.library import Library
from jaxsoil.evaluation.metrics import smearing
from jaxsoil.models import forest, plsr
from jaxsoil.models.config import Input
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.preprocess import SNV, Absorbance, Pipeline
from jaxsoil.studies.reconstruction import family
from jaxsoil.studies.reconstruction.config import SocLoss
from jaxsoil.training.config import TrainConfig

STEPS: dict[Input, tuple[str, ...]] = {"reflectance": (), "absorbance": ("absorbance",), "snv": ("absorbance", "snv")}
"""Preprocessing of reflectance by the name of a model's input, as a bundle names its steps."""

FOLDS = 5
"""Folds of the training groups whose residuals correct the back-transformation of PLSR."""


def seen(library: Library, what: Input) -> np.ndarray:
    """The (n, m) spectra as a model sees them: each by itself, so no split leaks through them.

    Raises:
      DataError: a reflectance without absorbance (zero or less), or a flat spectrum for SNV.
    """
    known = {"absorbance": Absorbance(), "snv": SNV()}
    return Pipeline(tuple(known[step] for step in STEPS[what])).fit(library.spectra)(library.spectra).values


def regions_of(library: Library) -> np.ndarray:
    """The (n,) region of each row; all rows are of one region where the data name none."""
    return library.groups["region"] if "region" in library.groups else np.full(len(library), library.name)


def factor_of(residuals: np.ndarray) -> float:
    """Mean over median of SOC (:func:`jaxsoil.evaluation.metrics.smearing`) from residuals (n,) of log10 SOC."""
    return float(smearing(10.0 ** np.asarray(residuals, dtype=np.float64)))


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted baseline: ``model`` on the scale of ``loss``, and the ``factor`` between mean and median of SOC."""

    model: plsr.Plsr | forest.Forest | family.Mean
    loss: SocLoss
    factor: float

    def predict(self, spectra: np.ndarray) -> np.ndarray:
        """SOC in % of spectra (t, m): the median of a model of log10 SOC, else the mean."""
        found = self.model.predict(spectra)
        return 10.0**found if self.loss == "log" else found


def fit(
    name: str,
    spectra: np.ndarray,
    soc: np.ndarray,
    groups: np.ndarray,
    *,
    regions: np.ndarray | None = None,
    axis: np.ndarray | None = None,
    seed: int,
    loss: SocLoss = "log",
    train: TrainConfig | None = None,
    correct: bool = True,
) -> Fitted:
    """Fits a baseline.

    The factor of a model of log10 SOC comes from training rows that it was not fitted to: of PLSR by :data:`FOLDS`
    folds, of a forest those out of each tree's bag.

    Args:
      name: one of :data:`jaxsoil.studies.reconstruction.config.Baseline`.
      spectra, soc: (n, m) training spectra as the model sees them and (n,) in %.
      groups: (n,) groups that no fold parts.
      regions, axis: (n,) names and (m,) nm, which the models of the family learn from; None: one region, bands by
        number.
      seed: of the forest and the folds.
      loss: 'log' fits log10 SOC, 'linear' SOC, 'proportional' SOC with weights 1/sigma^2 of the networks' loss.
      train: has the two numbers of sigma; None: as by default.
      correct: find the factor; otherwise it is 1.
    """
    settings = train or TrainConfig()
    target = np.log10(soc) if loss == "log" else soc
    weights = (settings.sigma_relative * soc + 100.0 * settings.sigma_floor) ** -2.0 if loss == "proportional" else None
    folds = np.empty(0, int)
    if name != "random_forest" and correct and loss == "log" and np.unique(groups).size >= FOLDS:
        folds = group_folds(groups, FOLDS, np.random.default_rng(seed))
    if name in ("plsr", "plsr_absorbance"):
        found: Any = plsr.fit(spectra, target, weights=weights)
        some = plsr.held_out_residuals(spectra, target, folds, found.n_components) if folds.size else folds
        return Fitted(found, loss, factor_of(some))
    if name in family.PARTS:
        where = np.zeros(len(target), int) if regions is None else regions
        bands = np.arange(1.0, spectra.shape[1] + 1.0) if axis is None else axis
        found = family.fit(name, spectra, target, where, bands, folds)
        return Fitted(found, loss, factor_of(found.linear.residuals))
    if name == "random_forest":
        found = forest.fit(spectra, target, seed=seed, weights=weights, out_of_bag=correct and loss == "log")
        residuals = np.empty(0) if found.out_of_bag is None else target - found.out_of_bag
        return Fitted(found, loss, factor_of(residuals))
    raise DataError(f"there is no baseline '{name}'", remedy="Use one that --help lists.")
