"""What the run folder says of the data and the settings."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxsoil.evaluation.compare import describe as moments
from jaxsoil.studies.multifidelity.config import OURS, PAPER, MultifidelityConfig
from jaxsoil.studies.multifidelity.inputs import Inputs
from jaxsoil.studies.multifidelity.stages import Prepared

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


def counts(inputs: Inputs) -> dict[str, int]:
    """Number of rows of each set."""
    data = inputs.data
    return {
        "pretrain_scans": len(data.pretrain),
        "pretrain_samples": int(np.unique(data.pretrain.samples).size),
        "labelled": len(data.labelled),
        "pairs": len(data.paired_mir),
        "test": len(data.test_mir),
    }


def settings(config: MultifidelityConfig, inputs: Inputs) -> dict[str, Any]:
    """Entries of config.json: what differs from the publication, what is ours, when a network has converged."""
    flat = _flat(dataclasses.asdict(config))
    differs: list[list[Any]] = [["data", inputs.data.name, PAPER["data"]]]
    differs += [[name, flat[name], value] for name, value in PAPER.items() if name != "data" and flat[name] != value]
    sizes = {**counts(inputs), "MIR bands": inputs.mir["labelled"].shape[1]}
    differs += [[name, sizes[name], value] for name, value in SIZES.items() if sizes[name] != value]
    if inputs.paired:
        differs.append(["validation pairs in stages 1 and 3", "kept out", "part of the library"])
    ours = [[name, value, "not published"] for name, value in flat.items() if name.split(".")[0] in OURS]
    return {"differs_from_paper": differs, "ours": ours, "convergence": convergence(config)}


def convergence(config: MultifidelityConfig) -> str:
    """The criterion of convergence in words."""
    loops = {"stage 1": config.pretrain.loop, "stage 2": config.convert.loop, "stage 3": config.properties.loop}
    words = []
    for name, loop in loops.items():
        if loop.patience:
            rule = f"its validation loss has not fallen below its lowest for {loop.patience} epochs"
        else:
            rule = (
                f"the mean validation loss of the last fifth of its {loop.epochs} epochs is less than "
                f"{loop.tolerance:.0%} under that of the fifth before"
            )
        words.append(f"{name} when {rule}")
    return "A training counts as converged: " + "; ".join(words) + ". The rows watched are training rows set aside."


def data_name(prepared: Prepared) -> str:
    """Name of the data; that of all fields where each is held out once."""
    name = prepared.first.data.name
    return name.split("/")[0] if prepared.notes else name


def describe(prepared: Prepared) -> dict[str, Any]:
    """What the report says of the data."""
    first = prepared.first
    libraries = {"labelled": first.data.labelled, "pairs": first.data.paired_mir, "test": first.data.test_mir}
    properties: dict[str, Any] = {}
    for column, name in enumerate(first.properties):
        properties[name] = {"unit": first.data.labelled.property(name).unit}
        for part, values in first.values.items():
            properties[name][part] = {k: _plain(v) for k, v in moments(values[:, column]).items()}
    notes = [*first.data.notes, *prepared.notes]
    if first.paired:
        notes.append(NO_LEAK)
    roles = [{"seed": seed.number, "data": seed.inputs.data.name, **seed.rows.counts()} for seed in prepared.seeds]
    return {
        "name": data_name(prepared),
        "notes": notes,
        "counts": counts(first),
        "roles": roles,
        "axes": {name: _span(library.spectra) for name, library in libraries.items() if len(library)},
        "sha256": content_digest([seed.inputs for seed in prepared.seeds]),
        "properties": properties,
    }


def content_digest(inputs: Sequence[Inputs]) -> str:
    """SHA-256 of all data that a study reads, those of stage 1 included; replicates on the same data count once."""
    digest = hashlib.sha256()
    for found in {id(one): one for one in inputs}.values():
        data = found.data
        digest.update(data.pretrain.fingerprint().encode())
        for library in (data.labelled, data.paired_mir, data.paired_nir, data.test_mir, data.test_nir):
            digest.update(library.fingerprint().encode())
    return digest.hexdigest()


def _span(spectra: Any) -> str:
    return f"{spectra.axis[0]:g}-{spectra.axis[-1]:g} {spectra.unit}, {spectra.n_bands} bands"


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix: list(content) if isinstance(content, tuple) else content}
    found: dict[str, Any] = {}
    for name, value in content.items():
        found |= _flat(value, f"{prefix}.{name}".strip("."))
    return found
