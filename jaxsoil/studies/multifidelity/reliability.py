"""What tells whether a prediction can be relied on: latents, distances and limits, conversion, internal yardstick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation.applicability import ALPHA, LatentSpace, critical_limit
from jaxsoil.evaluation.conversion import conversion_tables
from jaxsoil.evaluation.internal import internal_scores
from jaxsoil.evaluation.xi import bin_spectra, xi_matrix
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity.conversion import Conversion
from jaxsoil.studies.multifidelity.pretrain import Pretrained
from jaxsoil.studies.multifidelity.property_models import LOGGED
from jaxsoil.studies.multifidelity.replicates import Replicate, SpectraSets
from jaxsoil.studies.multifidelity.strategies import Views
from jaxsoil.studies.multifidelity.tables import joined

MAX_COMPONENTS = 15
"""Components that the internal cross-validation tries at most."""


def reliability(replicate: Replicate, pretrained: Pretrained, conversion: Conversion | None, views: Views) -> Piece:
    """All of it for one replicate; the first one also leaves latents and spectra as trees, one a file of the run."""
    sets, number, axis = replicate.sets, replicate.number, pretrained.axis
    read, labelled, kl = views["latents"], replicate.rows.all_labelled, np.asarray(pretrained.kl, np.float64)
    latents = {"train": read["labelled"][labelled]}
    if "nir_latents" in views:
        latents |= {"pairs_mir": read["pairs"], "pairs_nir": views["nir_latents"]["pairs"]}
        latents["test_nir"] = views["nir_latents"]["test"]
    latents["test_mir"] = read["test"]
    distances, limits = distance_rows(replicate, views)
    collapsed = {"seed": number, "latent": np.arange(kl.size), "kl": kl, "active": pretrained.active.astype(int)}
    tables = {
        "latents": pd.DataFrame(collapsed),
        "latent_sets": latent_set_rows(latents, pretrained.active, number),
        "distances": distances,
        "extremes": extreme_rows(distances),
        "limits": limits,
    }
    files: dict[str, dict[str, Any]] = {"latent": {**latents, "kl": pretrained.kl}}
    if number == 0:
        # Xi of each latent with the labelled training spectra in bins of 25 cm-1.
        centres, binned = bin_spectra(sets.mir["labelled"][labelled], axis)
        files["xi"] = {"wavenumber": centres, "xi": xi_matrix(latents["train"], binned)}
    if conversion is not None:
        key = replicate.key("spread")
        spread = {name: conversion.spread(spectra, key, 64) for name, spectra in sets.nir.items()}
        found = []
        # Observed against converted MIR spectra on the validation pairs and on the test set.
        for name, (part, rows) in replicate.judging.items():
            spectra = (one[part][rows] for one in (sets.mir, views["converted"], spread))
            found.append(conversion_tables(axis, *spectra))
            for table in found[-1].values():
                table.insert(0, "set", name)
                table.insert(0, "seed", number)
        tables |= joined(found)
        files["converted"] = {
            "wavenumber": axis, "observed": sets.mir["test"], "converted": views["converted"]["test"],
            "sd": spread["test"].astype(np.float32), "ids": np.asarray(sets.library("test").ids, dtype=np.str_),
        }  # fmt: skip
    return Piece(trees=files if number == 0 else {}, tables=tables)


def latent_set_rows(latents: dict[str, NDArray], active: NDArray, seed: int) -> pd.DataFrame:
    """Moments of the active latents of each set, medians over latents, and how NIR latents agree with MIR ones.

    Returns:
      Rows ``seed, set, n, size, sd, r, r_low, r_high``: median |mean| and SD; median, lowest and highest correlation
      over latents of those from NIR with those from MIR spectra of the same samples (NaN for sets from MIR).
    """
    found = []
    for name, values in latents.items():
        z, r = values[:, active], np.full(3, np.nan)
        if name.endswith("_nir") and len(z) > 2 and z.shape[1]:
            partner = latents[name.replace("_nir", "_mir")][:, active]
            with np.errstate(invalid="ignore", divide="ignore"):
                each = [np.corrcoef(a, b)[0, 1] for a, b in zip(z.T, partner.T, strict=True)]
            r = np.nanpercentile(each, [50.0, 0.0, 100.0])
        size, sd = (np.median(v) if v.size else np.nan for v in (np.abs(z.mean(axis=0)), z.std(axis=0)))
        row = {"seed": seed, "set": name, "n": len(z), "size": size, "sd": sd}
        found.append(row | dict(zip(("r", "r_low", "r_high"), r, strict=True)))
    return pd.DataFrame(found)


def extreme_rows(distances: pd.DataFrame) -> pd.DataFrame:
    """Rows ``seed, space, set, median, beyond``: median distance, and the share beyond the limit in %."""
    grouped = distances.groupby(["seed", "space", "set"], sort=False, as_index=False)
    found = grouped.agg(median=("distance", "median"), beyond=("extreme", "mean"))
    return found.assign(beyond=100.0 * found["beyond"])


def distance_rows(replicate: Replicate, views: Views) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mahalanobis distances of the latents from those of training rows, and the critical limits (Eqs. 15 to 19).

    Returns:
      Rows ``seed, space, set, id, distance, limit, extreme`` and ``seed, space, d0, dof, alpha, limit``. In the space
      "mir" the training rows are the labelled MIR spectra, in "nir" the NIR spectra of the training pairs, each by its
      own encoder; in "nir as mir" NIR spectra stand against the labelled MIR spectra, that is where the property
      models were trained; "pairs" are the validation pairs.
    """
    sets, rows = replicate.sets, replicate.rows
    judged = {part: (part, chosen) for part, chosen in replicate.judging.values()}

    def space(view: str, **roles: tuple[str, Any]) -> dict[str, tuple[NDArray, NDArray]]:
        return {
            role: (views[view][part][chosen], sets.library(part).ids[chosen]) for role, (part, chosen) in roles.items()
        }

    spaces = {"mir": space("latents", train=("labelled", rows.all_labelled), **judged)}
    if "nir_latents" in views:
        spaces["nir"] = space("nir_latents", train=("pairs", rows.all_pairs), **judged)
        spaces["nir as mir"] = spaces["nir"] | {"train": spaces["mir"]["train"]}
    found, limits = [], []
    for kind, parts in spaces.items():
        latent = LatentSpace.fit(parts["train"][0])
        limit = critical_limit(latent.distance(parts["train"][0]))
        key = {"seed": replicate.number, "space": kind}
        limits.append({**key, "d0": limit.mean, "dof": limit.dof, "alpha": ALPHA, "limit": limit.value})
        for part, (latents, ids) in parts.items():
            distance = latent.distance(latents)
            columns = {"id": ids.astype(object), "distance": distance, "limit": limit.value}
            found.append(pd.DataFrame({**key, "set": part, **columns, "extreme": limit.exceeded(distance).astype(int)}))
    return pd.concat(found, ignore_index=True), pd.DataFrame(limits)


def internal(sets: SpectraSets, repetitions: int) -> Piece:
    """Table "internal": 10-fold cross-validation with PLSR inside the pairs and inside the test set (figure 7).

    Each repetition has other folds (paper: 10 repetitions).
    """
    found = {}
    for part in ("pairs", "test"):
        groups, values = sets.library(part).blocks, zip(sets.properties, sets.values[part].T, strict=True)
        known = {name: column for name, column in values if np.isfinite(column).sum() >= 20}
        for kind, spectra in (("nir", sets.nir), ("mir", sets.mir)):
            if np.unique(groups).size >= 10:
                found[part, kind] = internal_scores(
                    spectra[part], known, groups, log1p=LOGGED, repetitions=repetitions, max_components=MAX_COMPONENTS
                )
    named = pd.concat(found, names=["set", "range"]).reset_index(["set", "range"]) if found else pd.DataFrame()
    return Piece(tables={"internal": named})
