"""TOML files as frozen dataclasses: every key is known and every value of its type, or an error names both."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar

from jaxsoil.runs.errors import DataError, Faults, did_you_mean

T = TypeVar("T")
_WORDS = {str: "text in quotes", float: "a number", int: "a whole number", bool: "true or false"}


def packaged(package: str, folder: str) -> dict[str, Path]:
    """Returns the TOML files in a folder of a package, by their names without extension."""
    entries = (Path(str(entry)) for entry in resources.files(package).joinpath(folder).iterdir())
    return {entry.stem: entry for entry in entries if entry.suffix == ".toml"}


def read_toml(path: Path) -> dict[str, Any]:
    """Returns the content of a TOML file; an absent or broken one raises DataError."""
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        remedy = "See docs/data.md for an example."
        raise DataError("this is not a TOML file", source=path, value=str(error), remedy=remedy) from error
    except OSError as error:
        remedy = "Check the path; --data takes the name of a packaged data set or the path of a TOML file."
        raise DataError("the file cannot be read", source=path, value=error.strerror, remedy=remedy) from error


def build(cls: type[T], table: Mapping[str, Any], path: Path, where: str = "") -> T:
    """Returns a dataclass made of a TOML table; its annotations say what the table may hold.

    Annotations are made of str, int, float, bool, other dataclasses (tables), ``Sequence[...]`` (lists, which become
    tuples), ``Mapping[str, ...]`` (tables with free names), and unions of them with ``| None``. A whole number is
    also a float; it stays as it was typed.

    Args:
      cls: the dataclass.
      table: content of the file, or of a table within it.
      path: the file, for messages.
      where: dotted name of the table within the file, for messages.

    Raises:
      DataError: keys that are unknown (with the nearest) or missing, values of another type; all of them at once.
    """
    faults = Faults()
    made = _build(cls, table, path, where, faults)
    faults.tell()
    return typing.cast(T, made)


def _build(cls: type[T], table: Mapping[str, Any], path: Path, where: str, faults: Faults) -> T | None:
    """Returns the dataclass, None where ``faults`` has grown."""
    kinds, prefix, before = typing.get_type_hints(cls), f"{where}." if where else "", len(faults.found)
    for key in table:
        if key not in kinds:
            faults.add(DataError("unknown key", source=path, column=prefix + key, remedy=did_you_mean(key, kinds)))
    for field in dataclasses.fields(typing.cast(Any, cls)):
        if field.default is field.default_factory is dataclasses.MISSING and field.name not in table:
            remedy = f"Add {prefix}{field.name}: {_in_words(kinds[field.name])}."
            faults.add(DataError("a key is missing", source=path, column=prefix + field.name, remedy=remedy))
    known = {key: value for key, value in table.items() if key in kinds}
    values = {key: _value(value, kinds[key], prefix + key, path, faults) for key, value in known.items()}
    return None if len(faults.found) > before else cls(**values)


def _value(value: Any, annotation: Any, where: str, path: Path, faults: Faults) -> Any:
    """Returns ``value`` as the annotation asks for."""
    kind = next((kind for kind in _options(annotation) if type(value) in _types(kind)), None)
    if kind is None:
        remedy = f"Give {_in_words(annotation)}."
        faults.add(DataError("a value has the wrong type", source=path, column=where, value=value, remedy=remedy))
        return None
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, path, where, faults)
    if isinstance(value, dict):
        own = typing.get_args(kind)[1]
        return {key: _value(item, own, f"{where}.{key}", path, faults) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_value(item, typing.get_args(kind)[0], where, path, faults) for item in value)
    return value


def _options(annotation: Any) -> tuple[Any, ...]:
    """The members of a union without None (TOML has no such value); of any other annotation, itself."""
    union = typing.get_origin(annotation) in (typing.Union, UnionType)
    return tuple(kind for kind in typing.get_args(annotation) if kind is not NoneType) if union else (annotation,)


def _types(kind: Any) -> tuple[type, ...]:
    """Types of the TOML values that may stand for ``kind``, whatever a table or list holds."""
    if dataclasses.is_dataclass(kind) or typing.get_origin(kind) is Mapping:
        return (dict,)
    return {Sequence: (list,), None: (kind, int) if kind is float else (kind,)}[typing.get_origin(kind)]


def _in_words(annotation: Any) -> str:
    def word(kind: Any) -> str:
        if dataclasses.is_dataclass(kind):
            return f"a table with {', '.join(field.name for field in dataclasses.fields(kind))}"
        if typing.get_origin(kind) is Sequence:
            return f"a list of {_in_words(typing.get_args(kind)[0])}"
        return _WORDS.get(kind, "a table")

    return " or ".join(map(word, _options(annotation)))
