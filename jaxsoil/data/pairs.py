"""Data of the multi-fidelity study by name: the infrared twin, measured mid-infrared sets, and measured pairs."""

from __future__ import annotations

from pathlib import Path

from jaxsoil.data.readers.limesoda_pairs import FIELDS, load_field_out, load_split
from jaxsoil.data.readers.measured_pairs import MeasuredPairs
from jaxsoil.data.readers.pair_set import pair_sets, read_pair_set
from jaxsoil.data.scans import MultifidelityData
from jaxsoil.data.sources.paired import PUBLIC_PAIRS, load_pairs
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.runs.errors import DataError, did_you_mean

TWIN = "infrared_twin"
FIELDS_OUT = "limesoda_mir"
SPLIT = "H.138_split"


def names() -> tuple[str, ...]:
    """Returns the names that ``load`` knows, the twin first; ``limesoda_mir/FIELD`` chooses the held-out field."""
    return (TWIN, FIELDS_OUT, SPLIT, *sorted(pair_sets()), *PUBLIC_PAIRS)


def held_out_fields() -> tuple[str, ...]:
    """Returns the fields that ``load("limesoda_mir/FIELD")`` can hold out, one at a time."""
    return FIELDS


def measured_pairs(name: str) -> MeasuredPairs | None:
    """Returns measured pairs, whose samples are held out part by part: a packaged name, or the path of a TOML file.

    None for data whose test set is fixed, also by a TOML file of one's own, which :func:`load` gives.

    Raises:
      DataError: absent data, or data that do not hold what the file says.
    """
    path = _file(name)
    return None if path is None or read_pair_set(path).test is not None else MeasuredPairs.read(path)


def _file(name: str) -> Path | None:
    """The file of measured pairs, None for other data."""
    return Path(name) if name.endswith(".toml") else pair_sets().get(name)


def load(name: str = TWIN, config: InfraredTwinConfig | None = None) -> MultifidelityData:
    """Returns checked data by name.

    Args:
      name: "infrared_twin"; "limesoda_mir" (seven measured mid-infrared sets, H.138 held out) or
        "limesoda_mir/FIELD" for another of ``held_out_fields()``; "H.138_split" (one set in two ranges); "kssl" and
        other public pairs, fetched and prepared where they are not yet; measured pairs, with the first of their groups
        held out (see :func:`measured_pairs` for all parts) or with the test set that their file names.
      config: shapes the twin, and belongs to it alone.

    Raises:
      DataError: an unknown name, absent data, or parts that do not fit together.
    """
    if config is not None and name != TWIN:
        remedy = f"Leave it out, or load {TWIN}."
        raise DataError("a configuration of the twin was given for other data", value=name, remedy=remedy)
    base, _, field = name.partition("/")
    if name == TWIN:
        from jaxsoil.data.twin.infrared.make import make_infrared_twin

        data = make_infrared_twin(config)
    elif base == FIELDS_OUT:
        data = load_field_out(field) if field else load_field_out()
    elif name == SPLIT:
        data = load_split()
    elif name in PUBLIC_PAIRS:
        data = load_pairs(name)
    elif (path := _file(name)) is not None:
        pairs = MeasuredPairs.read(path)
        data = pairs.parts("groups", 1)[0] if pairs.test is None else pairs.fixed()
    else:
        remedy = f"{did_you_mean(name, names())} One's own pairs: the path of a .toml file (docs/data.md)."
        raise DataError("no such multi-fidelity data", value=name, remedy=remedy)
    data.check()
    return data
