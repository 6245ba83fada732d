"""Data of the multi-fidelity study by name: the infrared twin, and measured mid-infrared sets."""

from __future__ import annotations

from jaxsoil.data.readers.limesoda_pairs import FIELDS, load_field_out, load_split
from jaxsoil.data.scans import MultifidelityData
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.runs.errors import DataError, did_you_mean

TWIN = "infrared_twin"
FIELDS_OUT = "limesoda_mir"
SPLIT = "H.138_split"


def names() -> tuple[str, ...]:
    """Returns the names that ``load`` knows, the twin first; ``limesoda_mir/FIELD`` chooses the held-out field."""
    return (TWIN, FIELDS_OUT, SPLIT)


def held_out_fields() -> tuple[str, ...]:
    """Returns the fields that ``load("limesoda_mir/FIELD")`` can hold out, one at a time."""
    return FIELDS


def load(name: str = TWIN, config: InfraredTwinConfig | None = None) -> MultifidelityData:
    """Returns checked data by name.

    Args:
      name: "infrared_twin"; "limesoda_mir" (six measured mid-infrared sets, H.138 held out) or
        "limesoda_mir/FIELD" for another of ``held_out_fields()``; "H.138_split" (one set in two ranges).
      config: shapes the twin, and belongs to it alone.

    Raises:
      DataError: an unknown name, absent data, or parts that do not fit together.
    """
    if config is not None and name != TWIN:
        raise DataError(
            "a configuration of the twin was given for other data", value=name, remedy=f"Leave it out, or load {TWIN}."
        )
    base, _, field = name.partition("/")
    if name == TWIN:
        from jaxsoil.data.twin.infrared.make import make_infrared_twin

        data = make_infrared_twin(config)
    elif base == FIELDS_OUT:
        data = load_field_out(field) if field else load_field_out()
    elif name == SPLIT:
        data = load_split()
    else:
        raise DataError("no such multi-fidelity data", value=name, remedy=did_you_mean(name, names()))
    data.check()
    return data
