"""Measured data for the multi-fidelity study: seven mid-infrared sets, and one of them split into two ranges.

Five fields of LimeSoDa (percent reflectance at their source), yamsys (absorbance, about three scans of each sample) and
bungoma140 (absorbance) share 751-3799 cm-1, and so does afsis113, which has no labels and joins pre-training. Here they
lie on 752-3796 cm-1 in steps of 4 cm-1, as absorbance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jaxsoil.data import registry
from jaxsoil.data.draws import take_share
from jaxsoil.data.library import Library, Property
from jaxsoil.data.properties import STUDY_NAMES, UNITS
from jaxsoil.data.readers.composite import prefixed, stacked
from jaxsoil.data.scans import MultifidelityData, Scans
from jaxsoil.runs import require
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.resample import Resample

FIELDS = ("NRW.115", "NRW.42", "NRW.62", "O.32", "H.138", "yamsys", "bungoma140")
UNLABELLED = "afsis113"
MIR_AXIS = np.arange(752.0, 3796.5, 4.0)  # cm-1
SPLIT = 4000.0  # cm-1, where H.138 is cut in two
NIR_AXIS = np.arange(1860.0, 2490.5, 10.0)  # nm, the part of H.138 above 4000 cm-1
_BLOCK = 500.0  # m, of the spatial blocks of H.138
_TEST_SHARE = 0.2

_FACTORS = {"nitrogen": 0.1}  # g/kg in the manifests
_NOTES = (
    "Reflectance of H.138 exceeds 100 % (its reference is darker than some soils): its absorbance is negative there.",
    "NRW.42: SOC is taken as g/kg, which its source does not say; were it %, all its values would be tenfold.",
    "NRW.115, NRW.62 and NRW.42 are one laboratory: a field left out among them leaves its laboratory in training.",
    "yamsys gives total carbon (tc, not eoc), and its CEC is the effective one.",
)


def load_field_out(field: str = "H.138") -> MultifidelityData:
    """Returns the seven sets with one of them as the test set; there is no near-infrared, so no pairs.

    Pre-training uses every scan of the other sets and of afsis113, labels the mean over the repeats of each sample.
    Properties are those that are measured in the training sets and in the held-out one. Paired and near-infrared
    libraries have no rows (``has_pairs`` is False).

    Raises:
      DataError: an unknown field, absent data.
    """
    require.known(field, FIELDS, "no such field")
    scans = {name: _load(name) for name in FIELDS}
    averages = {name: average_repeats(part) for name, part in scans.items()}
    labelled = _join([averages[name] for name in FIELDS if name != field], "limesoda_mir")
    test = averages[field]
    shared = [name for name in labelled.properties if name in test.properties]
    labelled, test = _keep(labelled, shared), _keep(test, shared)
    dropped = sorted(set(averages[field].properties) - set(shared))
    notes = _NOTES + ((f"{', '.join(dropped)} of {field} are not measured elsewhere and left out.",) if dropped else ())
    return MultifidelityData(
        name=f"limesoda_mir/{field}",
        pretrain=_scans([scans[name] for name in FIELDS if name != field]),
        labelled=labelled,
        paired_mir=_keep(test.select([]), []),
        paired_nir=_no_nir(test.select([])),
        test_mir=test,
        test_nir=_no_nir(test),
        notes=(f"Test set: the field {field}, no row of which was seen before.", *notes),
    )


def load_split() -> MultifidelityData:
    """Returns H.138 cut at 4000 cm-1 into two ranges of the same scans, with spatial blocks as the test set.

    Pre-training and labels use the other sets too. The near-infrared is 1860-2490 nm in steps of 10 nm.

    Raises:
      DataError: absent data.
    """
    source, whole = registry.load("H.138"), _load("H.138")
    measured = source.spectra
    above = measured.axis > SPLIT
    part = measured.replace(values=measured.values[:, above], axis=measured.axis[above], step=f"above {SPLIT:g} cm-1")
    near = whole.with_spectra(Resample(NIR_AXIS)(part.to_absorbance().to_unit("nm")))
    test = spatial_blocks(source.property("easting").values, source.property("northing").values)
    others = [_load(name) for name in FIELDS if name != "H.138"]
    averages = [average_repeats(part) for part in others]
    labelled = _keep(_join([*averages, whole.select(~test)], "H.138_split"), list(whole.properties))
    return MultifidelityData(
        name="H.138_split",
        pretrain=_scans([*others, whole.select(~test)]),
        labelled=labelled,
        paired_mir=whole.select(~test),
        paired_nir=near.select(~test),
        test_mir=whole.select(test),
        test_nir=near.select(test),
        notes=(
            "Optimistic: both ranges are one scan of one aliquot by one instrument, cut at 4000 cm-1, so that noise, "
            "packing and drift are shared.",
            "Not comparable with the study: 1860-2490 nm of a bench-top instrument instead of 1400-2500 nm of a "
            "portable one, and test rows from the same field and laboratory.",
            f"Test rows are whole blocks of {_BLOCK:g} m, {int(test.sum())} of {test.size}.",
            *_NOTES,
        ),
    )


def spatial_blocks(easting: NDArray, northing: NDArray) -> NDArray[np.bool_]:
    """Returns (n,) which rows are held out: whole blocks of 500 m, drawn until they hold a fifth of the rows."""
    cells = np.stack([np.floor(easting / _BLOCK), np.floor(northing / _BLOCK)], axis=1)
    _, block = np.unique(cells, axis=0, return_inverse=True)
    return take_share(block.ravel(), _TEST_SHARE, np.random.default_rng(0), "at least")


def average_repeats(library: Library) -> Library:
    """Returns one row for each sample: the mean of its spectra and, of what was measured, of its properties.

    Without the group "sample" the library is returned as it is. Ids become the samples' names.

    Raises:
      DataError: repeats of a sample whose region or laboratory differ.
    """
    if "sample" not in library.groups:
        return library
    names, first, which = np.unique(library.group("sample"), return_index=True, return_inverse=True)
    order = np.argsort(first)  # samples in the order in which they first occur
    rank = np.argsort(order)[which.ravel()]
    for name, values in library.groups.items():
        require.no_row(
            values != values[first[order]][rank],
            f"repeats of a sample differ in {name}",
            show=lambda row: str(library.group("sample")[row]),
            source=library.name,
            column="sample",
            remedy="Give all scans of a sample the same groups, or name the samples apart.",
        )
    counts = np.bincount(rank)
    values = np.zeros((names.size, library.spectra.n_bands))
    np.add.at(values, rank, library.spectra.values.astype(np.float64))
    spectra = library.spectra.replace(values=values / counts[:, None], step="mean of the repeats")
    properties = {}
    for name, prop in library.properties.items():
        measured = np.isfinite(prop.values)
        total, count = (np.bincount(rank[measured], weights, names.size) for weights in (prop.values[measured], None))
        properties[name] = Property(np.where(count > 0, total / np.maximum(count, 1), np.nan), prop.unit)
    groups = {name: values[first[order]] for name, values in library.groups.items()}
    changed = {"spectra": spectra, "ids": names[order], "properties": properties, "groups": groups, "truth": None}
    return dataclasses.replace(library, **changed)


def _load(name: str) -> Library:
    """Returns a set as absorbance on the common axis, with the property names of the study."""
    source = registry.load(name)
    spectra = Resample(MIR_AXIS, "cm-1")(source.spectra.to_absorbance())
    # Carbon is organic but in yamsys, where it is total.
    own = STUDY_NAMES | ({"soc": "tc"} if name == "yamsys" else {})
    properties = {
        new: Property(source.property(old).values * _FACTORS.get(old, 1.0), UNITS[new])
        for old, new in own.items()
        if old in source.properties
    }
    groups = {"sample": prefixed(name, source.samples), "region": np.full(len(source), name)}
    return dataclasses.replace(
        source,
        name=name,
        spectra=spectra.replace(steps=(f"{name} as absorbance", *spectra.steps[-1:])),
        ids=prefixed(name, source.ids),
        properties=properties,
        groups={**groups, "laboratory": source.group("laboratory")},
    )


def _scans(parts: Sequence[Library]) -> Scans:
    """Returns the scans of several sets and those without labels."""
    return Scans.of(_join([*parts, _load(UNLABELLED)], "pre-training"))


def _join(parts: Sequence[Library], name: str) -> Library:
    """Returns the rows of several sets on one axis; a property is NaN where a set does not give it."""
    groups = {key: np.concatenate([part.groups[key] for part in parts]) for key in parts[0].groups}
    licence = "; ".join(f"{part.name}: {part.licence}" for part in parts)
    notes = tuple(f"{part.name}: {note}" for part in parts for note in part.notes)
    steps = ("sets as absorbance", *parts[0].spectra.steps[-1:])
    return stacked(parts, name, name, groups, steps=steps, licence=licence, notes=notes)


def _keep(library: Library, names: Sequence[str]) -> Library:
    """Returns the library with these properties alone."""
    return dataclasses.replace(library, properties={name: library.properties[name] for name in names})


def _no_nir(library: Library) -> Library:
    """Returns a near-infrared library without rows, with the properties of ``library``."""
    empty = library.select([])
    nir = Spectra(np.empty((0, NIR_AXIS.size), np.float32), NIR_AXIS, "nm", "absorbance")
    return empty.with_spectra(nir)
