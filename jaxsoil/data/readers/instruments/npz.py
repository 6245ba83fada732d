"""NumPy archives (.npz) of `values`, `axis` and optional `ids`, `unit`, `quantity`; nothing in them is unpickled."""

from __future__ import annotations

import math
import zipfile

import numpy as np

from jaxsoil.data.readers.instruments.archives import check_members
from jaxsoil.data.readers.instruments.reading import Reading, Source, make


def read(source: Source) -> Reading:
    """Returns the spectra of an archive.

    Raises:
      DataError: objects (pickles) among the arrays, arrays that are missing, sizes that a bomb has.
    """
    with zipfile.ZipFile(source.path) as archive:
        for member in check_members(source, archive):
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape, _, numbers = read_header[version](file)
            if math.prod(shape) * numbers.itemsize > member.file_size:
                raise source.damaged("an array is larger than the file that holds it", f"shape {shape}")
    with np.load(source.path, allow_pickle=False) as content:
        missing = {"values", "axis"} - set(content.files)
        if missing:
            remedy = "Save with np.savez(path, values=..., axis=..., unit='nm', quantity='reflectance')."
            raise source.error(f"the archive lacks {' and '.join(sorted(missing))}", remedy, value=content.files)
        values, axis = content["values"], content["axis"]
        said = {name: str(content[name]) if name in content.files else None for name in ("unit", "quantity")}
        ids = [str(name) for name in content["ids"]] if "ids" in content.files else None
    if ids is None and len(np.atleast_2d(values)) > 1:
        ids = [f"{source.path.stem}:{row}" for row in range(len(values))]
    return make(source, "NumPy", axis, values, unit=said["unit"], quantity=said["quantity"], ids=ids)
