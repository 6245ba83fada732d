"""Stages 1 and 2 of one replicate as pieces of the run, and what the property models of stage 3 read from them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.scans import Scans
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity.components import Components
from jaxsoil.studies.multifidelity.config import MultifidelityConfig, enough_steps
from jaxsoil.studies.multifidelity.conversion import Conversion, Networks, apply_fno, fit_conversion, fit_fno
from jaxsoil.studies.multifidelity.pretrain import READ_ROWS, Pretrained, pretrain, read_snv
from jaxsoil.studies.multifidelity.replicates import TEST, Replicate
from jaxsoil.studies.multifidelity.tables import joined, training_tables
from jaxsoil.training.checkpoints import Checkpoints


def stage1(config: MultifidelityConfig, replicate: Replicate, checkpoints: Checkpoints | None) -> Piece:
    """Trains the autoencoder on all scans but those of validation samples."""
    scans = replicate.sets.data.pretrain.select(replicate.rows.scans)
    rows = round(replicate.rows.scans.size * (1.0 - config.pretrain.held_out))
    enough, label = enough_steps(config.pretrain, rows, config.steps), f"seed {replicate.number} stage 1"
    made, fitted = pretrain(scans, enough, replicate.key("stage1"), label=label, checkpoints=checkpoints)
    tables = training_tables(fitted, "stage1", replicate.number, "vae")
    tables["reconstruction"] = reconstruction(made, scans, replicate)
    arrays = {"kl": made.kl, "held_out": made.held_out, **vars(made.components)}
    return Piece(arrays, {"vae": made.params}, tables)


def reconstruction(pretrained: Pretrained, scans: Scans, replicate: Replicate) -> pd.DataFrame:
    """How well the autoencoder rebuilds spectra, beside as many principal components of the scans it learned from.

    Returns:
      Rows ``seed, set, n, vae, pca``: root mean square error over bands and spectra, SNV units, on the scans that were
      held out of stage 1 and on the test set.
    """
    components, rows = pretrained.components, []
    for name in ("held-out scans", TEST):
        every = pretrained.held_out if name != TEST else np.arange(len(replicate.sets.mir["test"]))
        sums = np.zeros(2)
        for start in range(0, every.size, READ_ROWS):
            part = every[start : start + READ_ROWS]
            spectra = replicate.sets.mir["test"][part] if name == TEST else read_snv(scans, part)
            made = (pretrained.decode(pretrained.embed(spectra)[0]), components.rebuild(components.scores(spectra)))
            sums += [np.sum(np.square(one - spectra, dtype=np.float64)) for one in made]
        errors = np.sqrt(sums / max(1, every.size * pretrained.axis.size))
        rows.append({"seed": replicate.number, "set": name, "n": every.size, "vae": errors[0], "pca": errors[1]})
    return pd.DataFrame(rows)


def restored_stage1(config: MultifidelityConfig, replicate: Replicate, part: Piece) -> Pretrained:
    """The autoencoder of a finished stage 1; DataError where its training diverged."""
    _require_alive(part, "stage 1", replicate, "pretrain.loop.lr")
    axis = np.asarray(replicate.sets.data.pretrain.axis)
    components = Components(*(np.asarray(part.arrays[field.name]) for field in dataclasses.fields(Components)))
    kl, held_out = (np.asarray(part.arrays[name]) for name in ("kl", "held_out"))
    return Pretrained(config.pretrain, axis, part.trees["vae"], kl, components, held_out)


def stage2(config: MultifidelityConfig, replicate: Replicate, pretrained: Pretrained) -> Piece:
    """Trains the NIR encoder on the training pairs against the frozen decoder."""
    sets, rows, number = replicate.sets, replicate.rows, replicate.number
    made, point, spread = fit_conversion(
        pretrained, sets.nir["pairs"], sets.mir["pairs"], rows.pairs, rows.pairs_watch,
        enough_steps(config.convert, rows.pairs.size, config.steps), replicate.key("stage2"),
        label=f"seed {number} stage 2",
    )  # fmt: skip
    # The conversion is of use where both trainings ended well.
    point = dataclasses.replace(point, alive=point.alive and spread.alive)
    tables = training_tables(point, "stage2", number, "nir encoder")
    beside = training_tables(spread, "stage2", number, "spread")["history"]
    arrays = {"residual": made.residual, "factor": np.float64(made.factor)}
    return Piece(arrays, {"conversion": made.params}, joined([tables, {"history": beside}]))


def restored_stage2(config: MultifidelityConfig, replicate: Replicate, part: Piece) -> Conversion:
    """The conversion of a finished stage 2; DataError where its training, or that of its spread, diverged."""
    _require_alive(part, "stage 2", replicate, "convert.loop.lr or --convert.spread-loop.lr")
    bands = (spectra["pairs"].shape[1] for spectra in (replicate.sets.mir, replicate.sets.nir))
    networks = Networks(config.convert, config.pretrain.vae, *bands)
    factor, residual = float(part.arrays["factor"]), np.asarray(part.arrays["residual"])
    return Conversion(networks, dict(part.trees["conversion"]), factor, residual)


def stage2_fno(config: MultifidelityConfig, replicate: Replicate) -> Piece:
    """Trains the Fourier neural operator on the training pairs and converts what is judged."""
    sets, rows, number = replicate.sets, replicate.rows, replicate.number
    operator, fitted = fit_fno(
        sets.nir["pairs"], sets.mir["pairs"], rows.pairs, rows.pairs_watch,
        enough_steps(config.fno, rows.pairs.size, config.steps), replicate.key("fno"), label=f"seed {number} FNO",
    )  # fmt: skip
    converted = {name: apply_fno(operator, fitted, spectra) for name, spectra in sets.nir.items()}
    return Piece(converted, {"fno": fitted.params}, training_tables(fitted, "stage2", number, "FNO"))


def views_of(
    config: MultifidelityConfig,
    replicate: Replicate,
    pretrained: Pretrained | None,
    conversion: Conversion | None,
    fno: Piece | None,
) -> dict[str, dict[str, NDArray]]:
    """What the property models of one replicate read; see ``strategies.Views``."""
    mir, nir = replicate.sets.mir, replicate.sets.nir
    views: dict[str, dict[str, Any]] = {"mir": dict(mir), "nir": dict(nir)}
    if fno is not None:
        views["fno"] = dict(fno.arrays)
    if pretrained is None:
        return views
    # The decoder does not see a collapsed feature, so a NIR encoder may put anything there; no property model reads it.
    active = pretrained.active.astype(np.float32)
    views["latents"] = {name: pretrained.embed(spectra)[0] * active for name, spectra in mir.items()}
    if conversion is not None:
        key, count = replicate.key("samples"), config.samples
        embedded = {name: conversion.embed(spectra)[0] for name, spectra in nir.items()}
        views["nir_latents"] = {name: z * active for name, z in embedded.items()}
        views["converted"] = {name: conversion.decode(z) for name, z in embedded.items()}
        views["reencoded"] = {name: pretrained.embed(x)[0] * active for name, x in views["converted"].items()}
        views["nir_samples"] = {name: conversion.latent_samples(x, key, count) * active for name, x in nir.items()}
    return views


def _require_alive(part: Piece, stage: str, replicate: Replicate, option: str) -> None:
    row = part.tables["convergence"].iloc[0]
    if not bool(row["alive"]):
        problem = f"{stage} of seed {replicate.number} diverged: its loss is not finite, and later stages need it"
        remedy = f"Lower --{option} and start again with --overwrite."
        raise DataError(problem, value=f"after {int(row['epochs'])} epochs", remedy=remedy)
