"""Public libraries as TensorFlow Datasets, written as array_record and read without TensorFlow.

    from jaxsoil.data.sources.records import builder
    made = builder("ossl_mir")
    made.download_and_prepare(file_format="array_record")
    rows = made.as_data_source(split="train")  # rows[0]["spectrum"], for grain or a PyTorch DataLoader

The records hold what the memory map holds. Studies read the map, which opens at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxsoil.data.library import Library
from jaxsoil.data.sources.catalogue import Source, named
from jaxsoil.data.sources.places import cache_root
from jaxsoil.runs.errors import UsageError

FORMAT = "array_record"
"""Of the records. TensorFlow Datasets loses rows in its parquet format, and tfrecord needs TensorFlow."""

_VERSION = "1.0.0"


def builder(name: str, data_dir: str | Path | None = None) -> Any:
    """Returns the TensorFlow Datasets builder of a library, or of one field of LimeSoDa ("limesoda/SSP.460").

    Once it was asked for, ``tfds.builder(name)`` knows it too.

    Args:
      name: of the catalogue.
      data_dir: folder of records; by default "records" in the folder of public libraries.

    Raises:
      DataError: an unknown name.
      UsageError: TensorFlow Datasets is not installed; a library of several tables without the name of one.
    """
    base, _, field = name.partition("/")
    source = named(base)
    if len(source.manifests) > 1 and field not in source.manifests:
        raise UsageError(f"{base} holds several tables: name one, such as {base}/{source.manifests[0]}.")
    options = {"config": _config(field)} if len(source.manifests) > 1 else {}
    return _class(base)(data_dir=str(data_dir or cache_root() / "records"), **options)


def write_records(name: str, data_dir: str | Path | None = None) -> str:
    """Writes the records of a library, and the library first where it is not prepared; returns their folder."""
    made = builder(name, data_dir)
    made.download_and_prepare(file_format=FORMAT)
    return str(made.data_dir)


def _config(field: str) -> str:
    return field.replace(".", "_").lower()  # configurations of TensorFlow Datasets have no dots


@functools.cache
def _class(name: str) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UsageError("Records need TensorFlow Datasets: pip install tensorflow-datasets array-record.") from error

    source = named(name)
    configs = [tfds.core.BuilderConfig(name=_config(one), description=one) for one in source.manifests]

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(_VERSION)
        RELEASE_NOTES = {_VERSION: f"{source.name} {source.version}."}  # noqa: RUF012 (what the base class reads)
        BUILDER_CONFIGS = configs if len(configs) > 1 else []

        def _info(self) -> Any:
            bands, units, groups, told = _shape(source, self._library)
            features = {
                "id": tfds.features.Text(),
                "spectrum": tfds.features.Tensor(shape=(bands,), dtype=np.float32),
                **{key: tfds.features.Scalar(np.float32, doc=unit) for key, unit in units.items()},
                **{f"group_{key}": tfds.features.Text() for key in groups},
            }
            return tfds.core.DatasetInfo(
                builder=self,
                description=f"{source.title}. {told}",
                features=tfds.features.FeaturesDict(features),
                homepage=source.homepage,
                citation=source.citation,
                license=source.licence,
                disable_shuffling=True,  # row by row as in the memory map: whoever reads draws rows by number
            )

        def _library(self) -> Library:
            from jaxsoil.data import registry

            config = self.builder_config
            return registry.load(config.description if config else name)

        def _split_generators(self, dl_manager: Any) -> Any:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
            library = self._library()
            for row, values in enumerate(library.spectra.values):
                example: dict[str, Any] = {"id": str(library.ids[row]), "spectrum": np.asarray(values)}
                example |= {key: np.float32(one.values[row]) for key, one in library.properties.items()}
                example |= {f"group_{key}": str(names[row]) for key, names in library.groups.items()}
                yield row, example

    return type(name, (Builder,), {"__module__": __name__, "name": name})


def _shape(source: Source, load: Callable[[], Library]) -> tuple[int, dict[str, str], list[str], str]:
    """Bands, labels with their units, groups, and a line on both; a table of scans need not be there for it."""
    if source.spectra is not None:
        axis, kind = source.spectra.axis, source.spectra.values.quantity
        span = f"{axis.low:g} to {axis.high:g} {axis.unit}, {kind}"
        units = {key: label.unit for key, label in source.labels.items()}
        return source.spectra.bands, units, list(source.groups), _told(span, units)
    library = load()
    spectra, units = library.spectra, {key: one.unit for key, one in library.properties.items()}
    span = f"{spectra.axis[0]:g} to {spectra.axis[-1]:g} {spectra.unit}, {spectra.quantity}"
    return spectra.n_bands, units, list(library.groups), _told(span, units)


def _told(span: str, units: dict[str, str]) -> str:
    return f"Spectra: {span}. Labels: {', '.join(f'{key} ({unit})' for key, unit in units.items()) or 'none'}."
