"""Near- and mid-infrared scans of the same soils as pairs, which no split parts; and the pairs of public libraries.

The tables of such libraries list scans: several repeats, and up to nine devices, of one soil. :func:`pair` brings two
of them together by sample. A split by ``Library.blocks`` then keeps all scans of a soil, and of its pedon, on one side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from jaxsoil.data.draws import take_share
from jaxsoil.data.library import Library, Property
from jaxsoil.data.properties import STUDY_NAMES, UNITS
from jaxsoil.data.readers.limesoda_pairs import average_repeats
from jaxsoil.data.scans import MultifidelityData, Scans
from jaxsoil.data.sources import standin
from jaxsoil.data.sources.catalogue import named
from jaxsoil.data.sources.prepare import is_prepared, load, part_of
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.resample import Trim

TEST_SHARE = 0.2
"""Share of the pairs that are held out for ever, by whole pedons."""


def pair(
    mid: Library, near: Library, *, devices: Literal["mean", "each"] = "mean", name: str = "pairs"
) -> tuple[Library, Library]:
    """Returns two libraries whose rows are the same soils in one order, as absorbance, without bands in common.

    Args:
      mid: mid-infrared scans with the group "sample"; repeats of a sample are averaged.
      near: near-infrared scans with the group "sample"; bands beyond the end of the mid-infrared are cut off.
      devices: "mean" averages all near-infrared scans of a sample: a row is a soil. "each" keeps them: a row is a scan,
        beside the one mid-infrared spectrum of its soil, and all rows of a soil have one sample.
      name: of both.

    Returns:
      Mid- and near-infrared, with the properties and groups of the mid-infrared scans.

    Raises:
      DataError: a library without samples, no sample in both, repeats whose groups differ.
    """
    for one in (mid, near):
        one.group("sample")
    both = np.intersect1d(mid.samples, near.samples)
    if not both.size:
        value = f"such as {str(mid.samples[0])!r} and {str(near.samples[0])!r}"
        remedy = "Give both the same names of samples, in the group 'sample'."
        raise DataError("no sample has both ranges", source=name, column="sample", value=value, remedy=remedy)
    left, whole = _absorbance(mid.select(np.isin(mid.samples, both))), near.select(np.isin(near.samples, both))
    left, right = average_repeats(left), _absorbance(whole)
    right = average_repeats(right) if devices == "mean" else right
    last = 1e7 / left.spectra.to_unit("cm-1").axis[-1]
    spectra = right.spectra.to_unit("nm")
    right = right.with_spectra(Trim(float(spectra.axis[0]), float(last))(spectra))
    order = np.argsort(left.ids)
    rows = order[np.searchsorted(left.ids[order], right.samples)]  # of the soil of each row of `right`
    soils = f"{both.size} soils, {len(right)} pairs, devices: {devices}"
    told: dict[str, Any] = {
        "name": name,
        "ids": right.samples if devices == "mean" else right.ids,
        "properties": {key: Property(one.values[rows], one.unit) for key, one in left.properties.items()},
        "groups": {key: values[rows] for key, values in left.groups.items()},
    }
    notes = (*mid.notes, f"{mid.name} and {near.name} by sample: {soils}.")
    left = Library(spectra=left.spectra[rows], licence=mid.licence, notes=notes, **told)
    return left, Library(spectra=right.spectra, licence=near.licence, notes=near.notes, **told)


@dataclasses.dataclass(frozen=True)
class PublicPairs:
    """Which public libraries make the data of the multi-fidelity study.

    Args:
      whole: mid-infrared scans for pre-training and labels: library and part.
      mid, near: of the pairs; "" takes ``whole``.
      low: shortest near-infrared wavelength, nm.
      notes: what a reader must know.
    """

    whole: tuple[str, str]
    mid: str
    near: str
    low: float
    notes: tuple[str, ...] = ()


_SAME = "The test set is from the same laboratory and instruments as the pairs, which is easier than another one's."

PUBLIC_PAIRS: Mapping[str, PublicPairs] = {
    "kssl": PublicPairs(
        ("ossl_mir", "KSSL.SSL"), "neospectra_mir", "neospectra_nir", 1400.0,
        ("KSSL's mid-infrared (OSSL v1.2, one mean scan a layer) with Neospectra's pairs, near-infrared from 1400 nm.",
         "The publication judges on samples of a proficiency test, which are not public. " + _SAME),
    ),
    "kssl_visnir": PublicPairs(
        ("ossl_mir", "KSSL.SSL"), "ossl_mir/KSSL.SSL", "ossl_visnir/KSSL.SSL", 1400.0,
        ("KSSL's mid-infrared with the vis-NIR scans of the Rapid Carbon Assessment (OSSL v1.2), from 1400 nm.", _SAME),
    ),
    "icraf_isric": PublicPairs(("ossl_mir", "ICRAF.ISRIC"), "", "ossl_visnir/ICRAF.ISRIC", 1400.0, (_SAME,)),
    "afsis": PublicPairs(
        ("afsis_htsxt", "AfSIS"), "", "afsis_mpa", 1400.0,
        ("AfSIS phase I, two instruments of one laboratory: Tensor 27 HTS-XT and MPA, near-infrared from 1400 nm.",
         _SAME),
    ),
    "lucas_woodwell": PublicPairs(
        ("ossl_mir", "LUCAS.WOODWELL.SSL"), "", "ossl_visnir/LUCAS.WOODWELL.SSL", 1400.0, (_SAME,)
    ),
}  # fmt: skip
"""Pairs of public libraries by name."""


def load_pairs(name: str) -> MultifidelityData:
    """Returns the data of the multi-fidelity study from public libraries; the scans of pre-training stay on the disk.

    A fifth of the pairs, whole pedons, is the test set: every scan of these pedons and samples is left out of
    pre-training and labels. Pairs that the large library names get their pedon from it.

    Raises:
      DataError: libraries that cannot be had, ranges that do not pair, an empty part.
    """
    about = PUBLIC_PAIRS[name]
    base, part = about.whole
    get = _loader(name)
    library = get(base)
    rows = np.flatnonzero(library.group("source") == part)
    if not rows.size:
        part_of(library, part)  # says which parts there are
    pedons = library.blocks[rows]
    mid = get(about.mid) if about.mid else library.select(rows)
    pair_mid, pair_near = pair(mid, get(about.near), name=name)
    spectra = pair_near.spectra
    pair_near = pair_near.with_spectra(Trim(about.low, float(spectra.axis[-1]))(spectra))
    samples = library.samples[rows]
    known = dict(zip(samples.tolist(), pedons.tolist(), strict=True))
    own = zip(pair_mid.ids.tolist(), pair_mid.blocks.tolist(), strict=True)
    blocks = np.array([known.get(sample, f"alone {block}") for sample, block in own])
    test = take_share(blocks, TEST_SHARE, np.random.default_rng(0), "at least")
    out = np.isin(samples, pair_mid.ids[test]) | np.isin(pedons, blocks[test])
    kept = rows[~out]
    values = [one.values[kept] for key, one in library.properties.items() if key in STUDY_NAMES]
    measured = np.isfinite(values).any(axis=0)
    labelled = _soils(library.select(kept[measured]), name)
    groups = {"sample": pair_mid.samples, "pedon": blocks, "region": np.full(len(pair_mid), part)}
    pair_mid, pair_near = (dataclasses.replace(one, groups=groups) for one in (pair_mid, pair_near))
    parts = {"labelled": labelled, "paired_mir": pair_mid.select(~test), "paired_nir": pair_near.select(~test)}
    parts |= {"test_mir": pair_mid.select(test), "test_nir": pair_near.select(test)}
    parts = _same_properties(parts)
    stored, alone = library.spectra.values, int(np.char.startswith(blocks, "alone ").sum())
    notes = (
        *about.notes,
        f"Test set: {int(test.sum())} of {test.size} pairs, whole pedons; {int(out.sum())} scans of {part} are of "
        "these pedons, and in no training.",
        *((f"{alone} pairs are not among the layers of {part}: their pedon is told by their site.",) if alone else ()),
        *library.notes,
    )
    return MultifidelityData(
        name=name,
        pretrain=Scans(
            library.spectra.axis, samples[~out], lambda wanted: np.asarray(stored[kept[wanted]]), pedons=pedons[~out]
        ),
        notes=notes,
        **parts,
    )


def _loader(name: str) -> Callable[[str], Library]:
    """Loads the libraries of some pairs; while a study is planned all are made up where one is not prepared."""
    about = PUBLIC_PAIRS[name]
    bases = {one.partition("/")[0] for one in (about.whole[0], about.mid, about.near) if one}
    absent = [named(base) for base in sorted(bases) if not is_prepared(base)]
    # A list and not a generator: each that is missing is to be counted.
    if absent and all([standin.wanted(source) for source in absent]):
        return lambda one: standin.library(named(one.partition("/")[0]), one.partition("/")[2])
    return load


def _absorbance(library: Library) -> Library:
    return library.with_spectra(library.spectra.to_absorbance())


def _soils(library: Library, name: str) -> Library:
    """One row a sample, with its name as id."""
    if np.unique(library.samples).size < len(library):
        library = average_repeats(library)
    return dataclasses.replace(library, name=name, ids=library.samples)


def _same_properties(parts: dict[str, Library]) -> dict[str, Library]:
    """The study's properties, those that every part has some values of."""

    def measured(label: str) -> bool:
        found = [one.properties[label].values for one in parts.values() if label in one.properties]
        return len(found) == len(parts) and all(np.isfinite(values).any() for values in found)

    old = {new: label for label, new in STUDY_NAMES.items() if measured(label)}
    made = {}
    for key, one in parts.items():
        chosen = {new: Property(one.property(old[new]).values, unit) for new, unit in UNITS.items() if new in old}
        made[key] = dataclasses.replace(one, properties=chosen)
    return made
