"""Reconstruction networks as features: their mass fractions beside absorbance, for the ridge with both penalties.

The networks are those of :mod:`jaxsoil.studies.reconstruction.local_networks` before they are fine-tuned: they saw the
rows that train and nothing of the region held out. The mass fraction of SOC is left out: on training rows it is close
to the label that it was fitted to, and a ridge would rely on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxsoil.evaluation.applicability import MASS_FLOOR
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.models import carry_over, gaussian_process
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.studies.reconstruction import baselines
from jaxsoil.studies.reconstruction.config import CarryOverConfig
from jaxsoil.studies.reconstruction.tables import Of, Tables

MODEL, BASE = "ridge_latents", "ridge_both"
COMPONENTS = 10
"""Principal components of the logarithms of the mass fractions that are features; not tuned."""


def keep(pieces: Pieces, trial: Any, mass: np.ndarray) -> np.ndarray:
    """Leaves the mass fractions (n, K) of a trained network as a piece; has the form of a measure of a training."""
    pieces.get(_name(trial.id), lambda: Piece({"mass": mass.astype(np.float32)}), identity=trial.id)
    return np.full(len(mass), np.nan)


def add(tables: Tables, config: CarryOverConfig) -> None:
    """Adds the model :data:`MODEL`; nothing without a network with a decoder, whose mass fractions must be there.

    Args:
      tables: with the splits that are tested and the fits of :data:`BASE`; receives the predictions.
      config: the study.
    """
    decoders = [name for name in config.finetuned if name != "none"]
    if BASE not in config.baselines or not decoders:
        return
    pieces, x = Pieces(tables.run.path / "trials"), baselines.seen(tables.library, "absorbance")
    regions, axis = baselines.regions_of(tables.library), tables.library.spectra.axis
    for split in tables.splits:
        trained, label = f"{decoders[0]}/{split.name}/0", f"{MODEL}/{split.name}/{tables.seed}"
        if not pieces.exists(_name(trained)):
            continue  # it diverged

        def made(split: Any = split, trained: str = trained) -> Piece:
            rows, mass = split.train, pieces.read(_name(trained), identity=trained).arrays["mass"]
            joined, within = features(x, mass, rows, regions, axis)
            own = (joined[rows], log10_percent(tables.soc[rows]), regions[rows], axis)
            return Piece({"soc": 10.0 ** carry_over.fit(*own, within=within).predict(joined[split.test])})

        base = f"{BASE}/{split.name}/{tables.seed}"
        factor = float(pieces.read(base.replace("/", "-"), identity=base).arrays["factor"])
        soc = pieces.get(label.replace("/", "-"), made, identity=label).arrays["soc"]
        tables.add_baseline(label, MODEL, split, tables.seed, soc, of=Of("absorbance", "log", ""), factor=factor)


def features(
    x: np.ndarray, mass: np.ndarray, rows: np.ndarray, regions: np.ndarray, axis: np.ndarray
) -> tuple[np.ndarray, carry_over.Space]:
    """Absorbance and latent features (n, m + q) of all rows, and the coordinates that they are fitted in.

    The features are the first :data:`COMPONENTS` principal components of log mass fractions of minerals, each with the
    mean variance of a band; perturbations are not known to move them.

    Args:
      x: (n, m) absorbances, on axis (m,) nm.
      mass: (n, K) mass fractions, that of SOC last.
      rows: (n,) which rows train: all scales and directions come from them.
      regions: (n,) names.
    """
    logs = np.log(np.maximum(mass[:, :-1].astype(np.float64), MASS_FLOOR))
    logs = logs - logs[rows].mean(axis=0)
    count = min(COMPONENTS, logs.shape[1])
    loadings = np.linalg.svd(logs[rows], full_matrices=False)[2][:count].T
    scores = logs @ loadings
    spread = np.maximum(scores[rows].std(axis=0), 1e-12)
    scores *= np.sqrt(x[rows].var(axis=0).mean()) / spread
    train = np.flatnonzero(rows)
    some = train[gaussian_process.subset(regions[rows])]
    own = carry_over.space(x[some], axis)
    bands, q = own.basis.shape
    basis = np.zeros((bands + count, q + count))
    basis[:bands, :q], basis[bands:, q:] = own.basis, np.eye(count)
    penalties = np.zeros((len(own.penalties), q + count, q + count))
    penalties[:, :q, :q] = own.penalties
    return np.concatenate([x, scores], axis=1), carry_over.Space(basis, penalties, own.bands)


def _name(trial: str) -> str:
    return f"latents-{trial}".replace("/", "-")
