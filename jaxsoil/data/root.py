"""The folder of measured data, and what lies in it under a fixed name."""

from __future__ import annotations

import os
from pathlib import Path

from jaxsoil.runs.errors import DataError

DATA_VARIABLE = "JAXSOIL_DATA"
"""Environment variable that names the folder of measured data."""

USGS_FOLDER = "endmembers_usgs"
"""Folder below it with the measured minerals (USGS splib07)."""


def data_root() -> Path:
    """Returns the folder of measured data, named by the environment variable JAXSOIL_DATA.

    Raises:
      DataError: the variable is not set, or names no folder.
    """
    where = os.environ.get(DATA_VARIABLE)
    if not where:
        remedy = f"Set it to the folder that holds the data: export {DATA_VARIABLE}=/path/to/data. "
        remedy += "The data set 'twin' needs none."
        raise DataError(f"{DATA_VARIABLE} is not set, so measured data cannot be found", remedy=remedy)
    if not Path(where).is_dir():
        remedy = "Correct the path, or mount the folder."
        raise DataError(f"{DATA_VARIABLE} names no folder", value=where, remedy=remedy)
    return Path(where)
