"""Parquet tables with a column for each band."""

from __future__ import annotations

from jaxsoil.data.readers.instruments import tables
from jaxsoil.data.readers.instruments.reading import Reading, Source

_ROWS_AT_ONCE = 4096


def read(source: Source) -> Reading:
    """Returns the spectra of a Parquet file, read in batches.

    Raises:
      DataError: a damaged file, no set of bands or several, bands that hold no numbers, more than fits the memory.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(source.path, memory_map=False, pre_buffer=False) as file:
        bands = tables.choose_bands(source, file.schema_arrow.names)
        n = file.metadata.num_rows
        if n < 0:
            raise source.damaged("the number of rows is damaged", n)
        source.require_memory(8 * n * len(bands.columns))
        values, labels = tables.of_batches(file.iter_batches(_ROWS_AT_ONCE, use_threads=False), bands, n)
    if len(values) != n:
        raise source.damaged("rows are missing", f"{len(values)} of {n}")
    return tables.from_parts(source, "Parquet", bands, values, labels)
