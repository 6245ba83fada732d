"""What the run folder says of the data and the settings."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from jaxsoil.evaluation.compare import describe as moments
from jaxsoil.models.invariance import MidInfraredStrengths
from jaxsoil.spectra.perturbations import CURVE_WIDTH
from jaxsoil.studies.multifidelity.config import OURS, PAPER, MultifidelityConfig
from jaxsoil.studies.multifidelity.replicates import Replicates, SpectraSets

SIZES = {
    "pretrain_scans": 334_665,
    "pretrain_samples": 83_971,
    "labelled": 51_508,
    "pairs": 2_016,
    "test": 206,
    "MIR bands": 1_700,
}
"""Of the publication. Its complete pairs are given as 2,016, though 1,976 samples have both spectra."""

NO_LEAK = (
    "Validation pairs, and samples of their groups, are kept out of all three stages: in the publication they are "
    "part of the library that stages 1 and 3 learn from."
)


def counts(sets: SpectraSets) -> dict[str, int]:
    """Number of rows of each set."""
    data = sets.data
    return {
        "pretrain_scans": len(data.pretrain),
        "pretrain_samples": int(np.unique(data.pretrain.samples).size),
        "labelled": len(data.labelled),
        "pairs": len(data.paired_mir),
        "test": len(data.test_mir),
    }


def settings(config: MultifidelityConfig, sets: SpectraSets) -> dict[str, Any]:
    """Entries of config.json: what differs from the publication, what is ours, when a network has converged."""
    flat = flatten_dict(dataclasses.asdict(config), sep=".")
    differs: list[list[Any]] = [["data", sets.data.name, PAPER["data"]]]
    differs += [[name, flat[name], value] for name, value in PAPER.items() if name != "data" and flat[name] != value]
    sizes = {**counts(sets), "MIR bands": sets.mir["labelled"].shape[1]}
    differs += [[name, sizes[name], value] for name, value in SIZES.items() if sizes[name] != value]
    if sets.paired and config.validation:
        differs.append(["validation pairs in stages 1 and 3", "kept out", "part of the library"])
    ours = [[name, value, "not published"] for name, value in flat.items() if name.split(".")[0] in OURS]
    strengths = dataclasses.asdict(MidInfraredStrengths()) | {"curve_width": CURVE_WIDTH}
    ours += [[f"perturbations.{kind}", value, "not published"] for kind, value in strengths.items()]
    return {"differs_from_paper": differs, "ours": ours, "convergence": convergence(config)}


def convergence(config: MultifidelityConfig) -> str:
    """The criterion of convergence in words."""
    loops = {"stage 1": config.pretrain.loop, "stage 2": config.convert.loop, "stage 3": config.properties.loop}
    words = []
    for name, loop in loops.items():
        rule = f"its validation loss has not fallen below its lowest for {loop.patience} epochs"
        if not loop.patience:
            rule = f"the mean validation loss of the last fifth of its {loop.epochs} epochs is less than "
            rule += f"{loop.tolerance:.0%} under that of the fifth before"
        words.append(f"{name} when {rule}")
    return "A training counts as converged: " + "; ".join(words) + ". The rows watched are training rows set aside."


def data_name(replicates: Replicates) -> str:
    """Name of the data; that of all fields where each is held out once."""
    name = replicates.first.data.name
    return name.split("/")[0] if replicates.notes else name


def sizes_in_words(replicates: Replicates, of_scans: str = "") -> str:
    """Name and sizes of the data in a line, with what is to be said ``of_scans`` behind these."""
    data = replicates.first.data
    return (
        f"{data.name}: {data.pretrain}{of_scans}, {len(data.labelled)} labelled, {len(data.paired_mir)} pairs, "
        f"{len(data.test_mir)} test samples, {len(replicates.each)} replicates"
    )


def describe(replicates: Replicates) -> dict[str, Any]:
    """What the report says of the data."""
    first = replicates.first
    properties: dict[str, Any] = {}
    for column, name in enumerate(first.properties):
        properties[name] = {"unit": first.data.labelled.property(name).unit}
        for part, values in first.values.items():
            described = moments(values[:, column])
            properties[name][part] = {key: value if np.isfinite(value) else None for key, value in described.items()}
    spectra = {name: first.library(name).spectra for name in first.mir}
    axes = {n: f"{s.axis[0]:g}-{s.axis[-1]:g} {s.unit}, {s.n_bands} bands" for n, s in spectra.items()}
    return {
        "name": data_name(replicates),
        "notes": [*first.data.notes, *replicates.notes, *([NO_LEAK] if replicates.validation and first.paired else [])],
        "counts": counts(first),
        "roles": [{"seed": one.number, "data": one.sets.data.name, **one.rows.counts()} for one in replicates.each],
        "axes": axes,
        "sha256": content_digest([one.sets for one in replicates.each]),
        "properties": properties,
    }


def content_digest(sets: Sequence[SpectraSets]) -> str:
    """SHA-256 of all data that a study reads, those of stage 1 included; replicates on the same data count once."""
    digest = hashlib.sha256()
    for found in {id(one): one for one in sets}.values():
        data = found.data
        digest.update(data.pretrain.fingerprint().encode())
        for library in (data.labelled, data.paired_mir, data.paired_nir, data.test_mir, data.test_nir):
            digest.update(library.fingerprint().encode())
    return digest.hexdigest()
