"""What tells whether a prediction can be relied on: latents, distances and limits, conversion, internal yardstick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation.applicability import ALPHA, LatentSpace, critical_limit
from jaxsoil.evaluation.conversion import band_table
from jaxsoil.evaluation.internal import internal_scores
from jaxsoil.evaluation.xi import latent_xi
from jaxsoil.multifidelity.inputs import Inputs
from jaxsoil.multifidelity.rows import SeedRows, blocks
from jaxsoil.multifidelity.strategies import Views
from jaxsoil.multifidelity.targets import LOGGED

ACTIVE_NATS = 0.01
"""A latent with a smaller mean divergence from the prior carries nothing: it has collapsed."""


def latent_rows(kl: NDArray, seed: int) -> pd.DataFrame:
    """Rows ``seed, latent, kl, active`` from the mean divergence (K,) of each latent on training scans, nats."""
    kl = np.asarray(kl, np.float64)
    return pd.DataFrame(
        {"seed": seed, "latent": np.arange(1, kl.size + 1), "kl": kl, "active": (kl > ACTIVE_NATS).astype(int)}
    )


def distance_rows(inputs: Inputs, rows: SeedRows, views: Views, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mahalanobis distances of the latents from the labelled training rows, and the critical limit (Eqs. 15 to 19).

    Returns:
      Rows ``seed, space, set, id, distance, limit, extreme`` and ``seed, space, d0, dof, alpha, limit``. The space is
      that of the MIR training latents for "mir" and "nir" alike: a NIR spectrum is far if its latents lie where no
      MIR spectrum was.
    """
    train = np.concatenate([rows.labelled, rows.labelled_watch])
    found, limits = [], []
    space = LatentSpace.fit(views["latents"]["labelled"][train])
    limit = critical_limit(space.distance(views["latents"]["labelled"][train]))
    sets = {("mir", "train"): (views["latents"]["labelled"][train], inputs.ids("labelled")[train])}
    sets["mir", "test"] = (views["latents"]["test"], inputs.ids("test"))
    if inputs.paired:
        valid = rows.pairs_valid
        sets["mir", "pairs"] = (views["latents"]["pairs"][valid], inputs.ids("pairs")[valid])
        seen = np.concatenate([rows.pairs, rows.pairs_watch])
        sets["nir", "train"] = (views["nir_latents"]["pairs"][seen], inputs.ids("pairs")[seen])
        sets["nir", "pairs"] = (views["nir_latents"]["pairs"][valid], inputs.ids("pairs")[valid])
        sets["nir", "test"] = (views["nir_latents"]["test"], inputs.ids("test"))
    for kind in ("mir", "nir") if inputs.paired else ("mir",):
        if kind == "nir":
            space = LatentSpace.fit(sets["nir", "train"][0])
            limit = critical_limit(space.distance(sets["nir", "train"][0]))
        limits.append(
            {"seed": seed, "space": kind, "d0": limit.mean, "dof": limit.dof, "alpha": ALPHA, "limit": limit.value}
        )
        for part in ("train", "pairs", "test"):
            if (kind, part) not in sets:
                continue
            latents, ids = sets[kind, part]
            distance = space.distance(latents)
            found.append(
                pd.DataFrame(
                    {
                        "seed": seed,
                        "space": kind,
                        "set": part,
                        "id": ids.astype(object),
                        "distance": distance,
                        "limit": limit.value,
                        "extreme": limit.exceeded(distance).astype(int),
                    }
                )
            )
    return pd.concat(found, ignore_index=True), pd.DataFrame(limits)


def conversion_rows(
    inputs: Inputs, rows: SeedRows, views: Views, spread: dict[str, NDArray], axis: NDArray, seed: int
) -> pd.DataFrame:
    """Observed against converted MIR spectra, band by band, on the validation pairs and on the test set.

    Args:
      inputs, rows, views: data, roles and what the encoders see.
      spread: set -> (n, M) stated standard deviation of the converted spectra.
      axis: (M,) cm-1.
      seed: replicate.
    """
    frames = []
    for part, chosen, name in (("pairs", rows.pairs_valid, "validation"), ("test", slice(None), "test")):
        table = band_table(
            axis, inputs.mir[part][chosen], views["converted"][part][chosen], spread[part][chosen]
        )
        table.insert(0, "set", name)
        table.insert(0, "seed", seed)
        frames.append(table)
    return pd.concat(frames, ignore_index=True)


def xi_arrays(inputs: Inputs, rows: SeedRows, views: Views, axis: NDArray) -> dict[str, NDArray]:
    """Xi of each latent with the labelled training spectra in bins of 25 cm-1: ``wavenumber`` (bins,), ``xi``."""
    train = np.concatenate([rows.labelled, rows.labelled_watch])
    found = latent_xi(views["latents"]["labelled"][train], inputs.mir["labelled"][train], axis)
    return {"wavenumber": np.asarray(found.wavenumber), "xi": np.asarray(found.xi)}


def internal_rows(inputs: Inputs, repetitions: int, most: int) -> pd.DataFrame:
    """10-fold cross-validation with PLSR inside the pairs and inside the test set, repeated (figure 7).

    Args:
      inputs: data.
      repetitions: with other folds (paper: 10).
      most: components tried at most.
    """
    frames = []
    libraries = {"pairs": inputs.data.paired_mir, "test": inputs.data.test_mir}
    for part, library in libraries.items():
        for kind, spectra in (("nir", inputs.nir), ("mir", inputs.mir)):
            if part not in spectra or np.unique(blocks(library)).size < 10:
                continue
            values = inputs.values[part]
            known = {
                name: values[:, column]
                for column, name in enumerate(inputs.properties)
                if np.isfinite(values[:, column]).sum() >= 20
            }
            table = internal_scores(
                spectra[part],
                known,
                blocks(library),
                log1p=LOGGED,
                repetitions=repetitions,
                max_components=most,
            )
            table.insert(0, "range", kind)
            table.insert(0, "set", part)
            frames.append(table)
    columns: Any = ["set", "range", "repetition", "property", "n", "components", "rmse", "ccc", "rpiq"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
