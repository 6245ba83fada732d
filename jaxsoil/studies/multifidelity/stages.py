"""Stages 1 and 2 of one seed as pieces of the run, and what the property models of stage 3 read from them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from jaxsoil.data.scans import Scans
from jaxsoil.runs.errors import DataError
from jaxsoil.runs.keys import key_of
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity.config import MultifidelityConfig, enough_steps
from jaxsoil.studies.multifidelity.conversion import Conversion, FnoConversion, fit_conversion, fit_fno
from jaxsoil.studies.multifidelity.inputs import Inputs
from jaxsoil.studies.multifidelity.pretrain import Pretrained, pretrain
from jaxsoil.studies.multifidelity.rows import SeedRows
from jaxsoil.studies.multifidelity.tables import convergence_row, history_rows
from jaxsoil.training.checkpoints import Checkpoints
from jaxsoil.training.rows import Fitted


@dataclasses.dataclass(frozen=True, eq=False)
class Seed:
    """One replicate: its number, its data, and which rows train, stop and judge the trainings."""

    number: int
    inputs: Inputs
    rows: SeedRows

    def key(self, purpose: str) -> jax.Array:
        """Random key of one purpose; others do not change it."""
        return key_of(self.number, purpose)


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Data and rows of all replicates, checked, and notes on them for the report."""

    seeds: tuple[Seed, ...]
    notes: tuple[str, ...]

    @property
    def first(self) -> Inputs:
        """Data of the first replicate."""
        return self.seeds[0].inputs

    @property
    def units(self) -> dict[str, str]:
        """Unit of each property."""
        return {
            name: seed.inputs.data.labelled.property(name).unit
            for seed in self.seeds
            for name in seed.inputs.properties
        }

    @property
    def regions(self) -> dict[int, str]:
        """The field that each seed holds out, as the data's name says after a slash; "all" where there is none."""
        return {seed.number: seed.inputs.data.name.partition("/")[2] or "all" for seed in self.seeds}


def scans_of(scans: Scans, rows: NDArray[np.int64]) -> Scans:
    """Some of the scans, read when asked for."""
    return Scans(scans.axis, scans.samples[rows], lambda chosen: scans.reader(rows[chosen]), scans.state_bytes)


def stage1(config: MultifidelityConfig, seed: Seed, checkpoints: Checkpoints | None) -> Piece:
    """Trains the autoencoder on all scans but those of validation samples."""
    scans = scans_of(seed.inputs.data.pretrain, seed.rows.scans)
    rows = round(seed.rows.scans.size * (1.0 - config.pretrain.held_out))
    enough = dataclasses.replace(config.pretrain, loop=enough_steps(config.pretrain.loop, rows, config.steps))
    made = pretrain(scans, enough, seed.key("stage1"), label=f"seed {seed.number} stage 1", checkpoints=checkpoints)
    fitted = Fitted(None, made.history, made.converged, made.epochs_run, made.alive)
    return Piece(
        arrays={"kl": made.kl, "train": made.train, "watch": made.watch},
        trees={"vae": made.params},
        tables=_tables(fitted, "stage1", seed.number, "vae"),
    )


def restored_stage1(config: MultifidelityConfig, seed: Seed, part: Piece) -> Pretrained:
    """The autoencoder of a finished stage 1.

    Raises:
      DataError: its training diverged.
    """
    table = part.tables["convergence"]
    _require_alive(part, "stage 1", seed, "pretrain.loop.lr")
    return Pretrained(
        config=config.pretrain,
        axis=np.asarray(seed.inputs.data.pretrain.axis),
        params=part.trees["vae"],
        history=_history(part, "vae"),
        kl=np.asarray(part.arrays["kl"]),
        converged=bool(table["converged"].iloc[0]),
        epochs_run=int(table["epochs"].iloc[0]),
        train=np.asarray(part.arrays["train"]),
        watch=np.asarray(part.arrays["watch"]),
    )


def stage2(config: MultifidelityConfig, seed: Seed, pretrained: Pretrained) -> Piece:
    """Trains the NIR encoder on the training pairs against the frozen decoder."""
    inputs, rows = seed.inputs, seed.rows
    loops = {
        name: enough_steps(getattr(config.convert, name), rows.pairs.size, config.steps)
        for name in ("loop", "spread_loop")
    }
    made = fit_conversion(
        pretrained, inputs.nir["pairs"], inputs.mir["pairs"], rows.pairs, rows.pairs_watch,
        dataclasses.replace(config.convert, **loops),
        seed.key("stage2"), label=f"seed {seed.number} stage 2",
    )  # fmt: skip
    fitted = Fitted(None, made.history, made.converged, made.epochs_run, made.alive)
    tables = _tables(fitted, "stage2", seed.number, "nir encoder")
    reached = int(np.isfinite(made.spread_history["validation_loss"]).sum())
    spread = Fitted(None, made.spread_history, None, reached)
    tables["history"] = pd.concat(
        [tables["history"], history_rows(spread, "stage2", seed.number, "spread")], ignore_index=True
    )
    arrays = {"residual": made.residual, "factor": np.float64(made.factor)}
    return Piece(arrays, {"conversion": made.params}, tables)


def restored_stage2(config: MultifidelityConfig, seed: Seed, part: Piece) -> Conversion:
    """The conversion of a finished stage 2.

    Raises:
      DataError: its training, or that of its spread, diverged.
    """
    _require_alive(part, "stage 2", seed, "convert.loop.lr or --convert.spread-loop.lr")
    table = part.tables["convergence"]
    return Conversion(
        config=config.convert,
        vae=config.pretrain.vae,
        bands=seed.inputs.mir["pairs"].shape[1],
        nir_bands=seed.inputs.nir["pairs"].shape[1],
        params=dict(part.trees["conversion"]),
        history=_history(part, "nir encoder"),
        spread_history=_history(part, "spread"),
        factor=float(part.arrays["factor"]),
        residual=np.asarray(part.arrays["residual"]),
        converged=bool(table["converged"].iloc[0]),
        epochs_run=int(table["epochs"].iloc[0]),
    )


def stage2_fno(config: MultifidelityConfig, seed: Seed) -> Piece:
    """Trains the Fourier neural operator on the training pairs and converts what is judged."""
    inputs, rows = seed.inputs, seed.rows
    loop = enough_steps(config.fno.loop, rows.pairs.size, config.steps)
    made: FnoConversion = fit_fno(
        inputs.nir["pairs"], inputs.mir["pairs"], rows.pairs, rows.pairs_watch,
        dataclasses.replace(config.fno, loop=loop),
        seed.key("fno"), label=f"seed {seed.number} FNO",
    )  # fmt: skip
    fitted = Fitted(None, made.history, made.converged, made.epochs_run, made.alive)
    converted = {name: made.convert(inputs.nir[name]) for name in ("pairs", "test")}
    return Piece(converted, {"fno": made.params}, _tables(fitted, "stage2", seed.number, "FNO"))


def views_of(
    config: MultifidelityConfig,
    seed: Seed,
    pretrained: Pretrained | None,
    conversion: Conversion | None,
    fno: Piece | None,
) -> dict[str, dict[str, NDArray]]:
    """What the property models of one seed read; see ``strategies.Views``."""
    inputs = seed.inputs
    views: dict[str, dict[str, Any]] = {"mir": dict(inputs.mir), "nir": dict(inputs.nir)}
    if pretrained is None:
        return views | ({} if fno is None else {"fno": _operator(fno)})
    # The decoder does not see a collapsed feature, so a NIR encoder may put anything there; no property model reads it.
    active = pretrained.active.astype(np.float32)
    views["latents"] = {name: pretrained.embed(spectra)[0] * active for name, spectra in inputs.mir.items()}
    if conversion is not None:
        key = seed.key("samples")
        embedded = {name: conversion.embed(spectra)[0] for name, spectra in inputs.nir.items()}
        views["nir_latents"] = {name: z * active for name, z in embedded.items()}
        views["converted"] = {name: conversion.decode(z) for name, z in embedded.items()}
        views["reencoded"] = {name: pretrained.embed(x)[0] * active for name, x in views["converted"].items()}
        views["nir_samples"] = {
            name: conversion.latent_samples(spectra, key, config.samples) * active
            for name, spectra in inputs.nir.items()
        }
    if fno is not None:
        views["fno"] = _operator(fno)
    return views


def _operator(fno: Piece) -> dict[str, NDArray]:
    return {name: np.asarray(fno.arrays[name]) for name in ("pairs", "test")}


def _require_alive(part: Piece, stage: str, seed: Seed, option: str) -> None:
    row = part.tables["convergence"].iloc[0]
    if not bool(row["alive"]):
        raise DataError(
            f"{stage} of seed {seed.number} diverged: its loss is not finite, and later stages need it",
            value=f"after {int(row['epochs'])} epochs",
            remedy=f"Lower --{option} and start again with --overwrite.",
        )


def _history(part: Piece, label: str) -> dict[str, NDArray]:
    """Terms of the loss by epoch of one training of a piece, (e,) each over the epochs that were run."""
    table = part.tables["history"]
    rows = table[table["label"] == label].dropna(axis=1, how="all").drop(columns=["stage", "seed", "label", "epoch"])
    return {str(name): np.asarray(rows[name], np.float64) for name in rows.columns}


def _tables(fitted: Fitted, stage: str, seed: int, label: str) -> dict[str, pd.DataFrame]:
    return {
        "history": history_rows(fitted, stage, seed, label),
        "convergence": pd.DataFrame([convergence_row(fitted, stage, seed, label)]),
    }
