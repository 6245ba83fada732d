"""Parquet tables with a column for each band."""

from __future__ import annotations

import numpy as np

from jaxsoil.data.readers.instruments import tables
from jaxsoil.data.readers.instruments.reading import Reading, Source

_ROWS_AT_ONCE = 4096


def read(source: Source) -> Reading:
    """Returns the spectra of a Parquet file, read in batches.

    Raises:
      DataError: a damaged file, no set of bands or several, bands that hold no numbers, more than fits the memory.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    with pq.ParquetFile(source.path, memory_map=False, pre_buffer=False) as file:
        bands = tables.choose_bands(source, file.schema_arrow.names)
        n = file.metadata.num_rows
        if n < 0:
            raise source.damaged("the number of rows is damaged", n)
        source.require_memory(8 * n * len(bands.columns))
        values, filled = np.empty((n, len(bands.columns)), np.float32), 0
        chosen = set(bands.columns)
        others = [name for name in file.schema_arrow.names if name not in chosen]
        frames = []
        for batch in file.iter_batches(_ROWS_AT_ONCE, use_threads=False):
            rows = slice(filled, filled + batch.num_rows)
            filled += batch.num_rows
            for place, name in enumerate(bands.columns):
                with np.errstate(over="ignore"):
                    values[rows, place] = batch.column(name).to_numpy(zero_copy_only=False)
            frames.append(batch.select(others).to_pandas() if others else pd.DataFrame(index=range(batch.num_rows)))
    if filled != n:
        raise source.damaged("rows are missing", f"{filled} of {n}")
    labels = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return tables.from_parts(source, "Parquet", bands, values, labels)
