"""What tells whether a prediction can be relied on: latents, distances and limits, conversion, internal yardstick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.evaluation.applicability import ALPHA, LatentSpace, critical_limit
from jaxsoil.evaluation.conversion import band_table, calibration, widening
from jaxsoil.evaluation.internal import internal_scores
from jaxsoil.evaluation.xi import latent_xi
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity.conversion import Conversion
from jaxsoil.studies.multifidelity.inputs import Inputs
from jaxsoil.studies.multifidelity.pretrain import Pretrained
from jaxsoil.studies.multifidelity.rows import SeedRows
from jaxsoil.studies.multifidelity.stages import Seed
from jaxsoil.studies.multifidelity.strategies import Views
from jaxsoil.studies.multifidelity.tables import TEST, VALIDATION
from jaxsoil.studies.multifidelity.targets import LOGGED

MAX_COMPONENTS = 15
"""Components that the internal cross-validation tries at most."""


def reliability(seed: Seed, pretrained: Pretrained, conversion: Conversion | None, views: Views) -> Piece:
    """All of it for one seed; the first seed also leaves its latents and spectra as arrays "file/name".

    Args:
      seed: replicate.
      pretrained: stage 1.
      conversion: stage 2, None where nothing is paired.
      views: latents and converted spectra.
    """
    inputs, rows = seed.inputs, seed.rows
    distances, limits = distance_rows(inputs, rows, views, seed.number)
    latents = set_latents(rows, views)
    tables = {
        "latents": latent_rows(pretrained.kl, pretrained.config.active, seed.number),
        "latent_sets": latent_set_rows(latents, pretrained.active, seed.number),
        "distances": distances,
        "extremes": extreme_rows(distances),
        "limits": limits,
    }
    arrays: dict[str, Any] = {}
    axis = pretrained.axis
    if conversion is not None:
        key = seed.key("spread")
        spread = {name: conversion.spread(inputs.nir[name], key, 64) for name in ("pairs", "test")}
        tables |= conversion_tables(inputs, rows, views, spread, axis, seed.number)
        if seed.number == 0:
            arrays |= _converted_arrays(inputs, views, spread, axis)
    if seed.number == 0:
        arrays |= {f"latent/{name}": values for name, values in latents.items()} | {"latent/kl": pretrained.kl}
        arrays |= {f"xi/{name}": values for name, values in xi_arrays(inputs, rows, views, axis).items()}
    return Piece(arrays, tables=tables)


def _converted_arrays(inputs: Inputs, views: Views, spread: dict[str, NDArray], axis: NDArray) -> dict[str, Any]:
    return {
        "converted/wavenumber": axis,
        "converted/observed": inputs.mir["test"],
        "converted/converted": views["converted"]["test"],
        "converted/sd": spread["test"].astype(np.float32),
    }


def latent_rows(kl: NDArray, threshold: float, seed: int) -> pd.DataFrame:
    """Rows ``seed, latent, kl, active`` from the mean divergence (K,) of each latent on training scans, nats.

    A latent whose divergence is at most ``threshold`` has collapsed to the prior and carries nothing.
    """
    kl = np.asarray(kl, np.float64)
    return pd.DataFrame({"seed": seed, "latent": np.arange(kl.size), "kl": kl, "active": (kl > threshold).astype(int)})


def set_latents(rows: SeedRows, views: Views) -> dict[str, NDArray]:
    """Latents (n, K) by set: "train", and pairs and test set from MIR and, where there are any, from NIR spectra."""
    train, latents = np.concatenate([rows.labelled, rows.labelled_watch]), views["latents"]
    found = {"train": latents["labelled"][train]}
    if "nir_latents" in views:
        found |= {"pairs_mir": latents["pairs"], "pairs_nir": views["nir_latents"]["pairs"]}
        found["test_nir"] = views["nir_latents"]["test"]
    return found | {"test_mir": latents["test"]}


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
    grouped = distances.groupby(["seed", "space", "set"], sort=False)
    beyond = 100.0 * pd.Series(grouped["extreme"].mean())
    found = pd.DataFrame({"median": grouped["distance"].median(), "beyond": beyond})
    return found.reset_index()


def distance_rows(inputs: Inputs, rows: SeedRows, views: Views, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mahalanobis distances of the latents from those of training rows, and the critical limits (Eqs. 15 to 19).

    Returns:
      Rows ``seed, space, set, id, distance, limit, extreme`` and ``seed, space, d0, dof, alpha, limit``. In the space
      "mir" the training rows are the labelled MIR spectra, in "nir" the NIR spectra of the training pairs, each by its
      own encoder; in "nir as mir" NIR spectra stand against the labelled MIR spectra, that is where the property
      models were trained; "pairs" are the validation pairs.
    """
    train, valid = np.concatenate([rows.labelled, rows.labelled_watch]), rows.pairs_valid
    sets: dict[str, dict[str, tuple[NDArray, NDArray]]] = {"mir": {}}
    latents = views["latents"]
    sets["mir"]["train"] = (latents["labelled"][train], inputs.ids("labelled")[train])
    if inputs.paired:
        sets["mir"]["pairs"] = (latents["pairs"][valid], inputs.ids("pairs")[valid])
    sets["mir"]["test"] = (latents["test"], inputs.ids("test"))
    if "nir_latents" in views:
        seen, near = np.concatenate([rows.pairs, rows.pairs_watch]), views["nir_latents"]
        sets["nir"] = {
            "train": (near["pairs"][seen], inputs.ids("pairs")[seen]),
            "pairs": (near["pairs"][valid], inputs.ids("pairs")[valid]),
            "test": (near["test"], inputs.ids("test")),
        }
        sets["nir as mir"] = {**sets["nir"], "train": sets["mir"]["train"]}
    found, limits = [], []
    for kind, parts in sets.items():
        space = LatentSpace.fit(parts["train"][0])
        limit = critical_limit(space.distance(parts["train"][0]))
        key = {"seed": seed, "space": kind}
        limits.append({**key, "d0": limit.mean, "dof": limit.dof, "alpha": ALPHA, "limit": limit.value})
        for part, (rows_latents, ids) in parts.items():
            distance = space.distance(rows_latents)
            columns = {"id": ids.astype(object), "distance": distance, "limit": limit.value}
            found.append(pd.DataFrame({**key, "set": part, **columns, "extreme": limit.exceeded(distance).astype(int)}))
    return pd.concat(found, ignore_index=True), pd.DataFrame(limits)


def conversion_tables(
    inputs: Inputs, rows: SeedRows, views: Views, spread: dict[str, NDArray], axis: NDArray, seed: int
) -> dict[str, pd.DataFrame]:
    """Observed against converted MIR spectra on the validation pairs and on the test set.

    Args:
      inputs, rows, views: data, roles and what the encoders see.
      spread: set -> (n, M) stated standard deviation of the converted spectra.
      axis: (M,) cm-1.
      seed: replicate.

    Returns:
      The tables of :func:`conversion_set_tables` by name, of both sets.
    """
    found = [
        conversion_set_tables(
            axis, inputs.mir[part][chosen], views["converted"][part][chosen], spread[part][chosen], seed, name
        )
        for part, chosen, name in (("pairs", rows.pairs_valid, VALIDATION), ("test", slice(None), TEST))
    ]
    return {name: pd.concat([tables[name] for tables in found], ignore_index=True) for name in found[0]}


def conversion_set_tables(
    axis: NDArray, observed: NDArray, converted: NDArray, sd: NDArray, seed: int, name: str
) -> dict[str, pd.DataFrame]:
    """How far converted spectra (n, M) of a set lie from observed ones, and whether their stated SD is honest.

    Returns:
      "conversion", by band; "conversion_scores": ``seed, set, rmse, rmse_of_mean`` (of the mean observed spectrum in
      place of each converted one), ``widening``; "calibration": ``seed, set, nominal, low, mean, high``, the share of
      samples inside the stated interval, mean and 10th and 90th percentile over bands.
    """
    squares = np.square(converted - observed)
    nominal, reached = calibration(observed, converted, sd)
    low, high = np.percentile(reached, [10.0, 90.0], axis=1)
    scores = {
        "rmse": np.sqrt(squares.mean()),
        "rmse_of_mean": np.sqrt(np.mean(np.square(observed - observed.mean(axis=0)))),
        "widening": widening(observed, converted, sd),
    }
    tables = {
        "conversion": band_table(axis, observed, converted, sd).assign(rmse=np.sqrt(squares.mean(axis=0))),
        "conversion_scores": pd.DataFrame([scores]),
        "calibration": pd.DataFrame({"nominal": nominal, "low": low, "mean": reached.mean(axis=1), "high": high}),
    }
    for table in tables.values():
        table.insert(0, "set", name)
        table.insert(0, "seed", seed)
    return tables


def xi_arrays(inputs: Inputs, rows: SeedRows, views: Views, axis: NDArray) -> dict[str, NDArray]:
    """Xi of each latent with the labelled training spectra in bins of 25 cm-1: ``wavenumber`` (bins,), ``xi``."""
    train = np.concatenate([rows.labelled, rows.labelled_watch])
    found = latent_xi(views["latents"]["labelled"][train], inputs.mir["labelled"][train], axis)
    return {"wavenumber": np.asarray(found.wavenumber), "xi": np.asarray(found.xi)}


def internal_rows(inputs: Inputs, repetitions: int) -> pd.DataFrame:
    """10-fold cross-validation with PLSR inside the pairs and inside the test set, repeated (figure 7).

    Args:
      inputs: data.
      repetitions: with other folds (paper: 10).
    """
    frames = []
    libraries = {"pairs": inputs.data.paired_mir, "test": inputs.data.test_mir}
    for part, library in libraries.items():
        for kind, spectra in (("nir", inputs.nir), ("mir", inputs.mir)):
            if part not in spectra or np.unique(library.blocks).size < 10:
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
                library.blocks,
                log1p=LOGGED,
                repetitions=repetitions,
                max_components=MAX_COMPONENTS,
            )
            table.insert(0, "range", kind)
            table.insert(0, "set", part)
            frames.append(table)
    columns: Any = ["set", "range", "repetition", "property", "n", "components", "rmse", "ccc", "rpiq"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
