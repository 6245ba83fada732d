"""Points of a sweep: overrides of config fields, as the functions ``sweep_NAME`` of an experiment's file yield them.

A point is a mapping of dotted field names to values, such as ``{"width": 64, "train.lr": 1e-3}``. No heavy library.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import random
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from jaxsoil.runs import keys
from jaxsoil.runs.errors import UsageError, did_you_mean
from jaxsoil.runs.pieces import file_name

MOST = 10_000
"""Points of a sweep at most: a function that never stops yielding is found out."""

Overrides = Mapping[str, Any]
"""Dotted names of fields -> their values."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One configuration of a sweep.

    Args:
      name: of its run folder: its overrides, and a hash of them, on which nothing else of the sweep has an influence.
      overrides: fields that it sets.
      config: the whole configuration.
    """

    name: str
    overrides: Overrides
    config: Any


def grid(fields: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of the values of some fields, the last field fastest."""
    for values in itertools.product(*fields.values()):
        yield dict(zip(fields, values, strict=True))


def draws(
    number: int, seed: int, fields: Mapping[str, Sequence[Any] | Callable[[random.Random], Any]]
) -> Iterator[dict[str, Any]]:
    """Random points: of each field a value out of a sequence, or what a function of the generator gives.

    Args:
      number: of points.
      seed: of the generator; the same seed gives the same points, and more of them begin with the same.
      fields: by name, such as ``{"width": (64, 128), "train.lr": log_uniform(1e-4, 1e-2)}``.
    """
    generator = random.Random(seed)
    for _ in range(number):
        yield {name: some(generator) if callable(some) else generator.choice(some) for name, some in fields.items()}


def log_uniform(low: float, high: float) -> Callable[[random.Random], float]:
    """Draws whose logarithm is uniform between two positive numbers, to three significant digits."""
    return lambda generator: float(f"{math.exp(generator.uniform(math.log(low), math.log(high))):.3g}")


def product(named: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """The points of one sweep, or every combination of the points of several.

    Args:
      named: name of a sweep -> its points.

    Raises:
      UsageError: a sweep without points or with too many, something that is no mapping of names to values, or two
        sweeps that set a field to different values.
    """
    found: list[dict[str, Any]] = [{}]
    for name, some in named.items():
        points = [_checked(name, number, point) for number, point in enumerate(some, start=1)]
        if not points:
            raise UsageError(f"The sweep '{name}' has no points: let its function yield one mapping of fields or more.")
        if len(found) * len(points) > MOST:
            raise UsageError(
                f"With '{name}' there are more than {MOST} points: yield fewer, such as some of them drawn."
            )
        # A field that both set to the same value, such as the networks that they share, is no contradiction.
        pairs = itertools.product(found, points)
        both = sorted(
            {field for before, after in pairs for field in set(before) & set(after) if before[field] != after[field]}
        )
        if both:
            raise UsageError(
                f"Several of these sweeps set '{both[0]}': run them one after the other, not as a product."
            )
        found = [before | after for before in found for after in points]
    return found


def _checked(name: str, number: int, point: Any) -> dict[str, Any]:
    if not isinstance(point, Mapping) or not all(isinstance(field, str) for field in point):
        shown = f"{point!r}"[:80]
        raise UsageError(
            f"Point {number} of the sweep '{name}' is {shown}: yield a mapping of fields to values, such as "
            "{'width': 64, 'train.lr': 1e-3}."
        )
    return {field.replace("-", "_"): value for field, value in point.items()}


def make_points(base: Any, overrides: Iterable[Overrides]) -> list[Point]:
    """Points with their configurations.

    Args:
      base: the configuration that the overrides are applied to.
      overrides: of each point.

    Raises:
      UsageError: a field that is unknown, a value that its field does not take, or two points that are the same.
    """
    points: list[Point] = []
    seen: dict[str, int] = {}
    for number, some in enumerate(overrides, start=1):
        config = base
        for field, value in some.items():
            config = with_field(config, field, value)
        whole = json.dumps(dataclasses.asdict(config), sort_keys=True, default=str)
        stated = {field: field_of(config, field) for field in some}
        if whole in seen:
            raise UsageError(
                f"Points {seen[whole]} and {number} of the sweep are the same configuration ({described(stated)}): "
                "yield each once."
            )
        seen[whole] = number
        points.append(Point(_name(stated), stated, config))
    return points


def described(overrides: Overrides) -> str:
    """Overrides in one line."""
    return ", ".join(f"{field}={_shown(value)}" for field, value in overrides.items()) or "no override"


def _shown(value: Any) -> str:
    return " ".join(map(_shown, value)) if isinstance(value, tuple | list) else str(value)


def _name(overrides: Overrides) -> str:
    text = json.dumps(dict(overrides), sort_keys=True)
    mark = keys.mark(text, 8)
    words = "_".join(f"{field}-{_shown(value)}" for field, value in overrides.items())
    return f"{file_name(words)[:80]}_{mark}".lstrip("._-")


def words(overrides: Overrides) -> list[str]:
    """Overrides as words of the command line, with which the run of a point can be repeated alone."""
    found: list[str] = []
    for field, value in overrides.items():
        parents, _, last = field.rpartition(".")
        option = f"--{field}".replace("_", "-")
        if isinstance(value, bool):
            found.append(option if value else f"--{parents + '.' if parents else ''}no-{last}".replace("_", "-"))
        else:
            found += [option, *(str(item) for item in (value if isinstance(value, tuple | list) else (value,)))]
    return found


@functools.cache
def _types(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def all_fields(config: Any, prefix: str = "") -> list[str]:
    """Dotted names of all fields of a configuration that hold a value and no configuration of their own."""
    found: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = f"{prefix}{field.name}"
        found += all_fields(value, f"{name}.") if dataclasses.is_dataclass(value) else [name]
    return found


def field_of(config: Any, name: str) -> Any:
    """Value of a field by its dotted name."""
    return functools.reduce(getattr, name.split("."), config)


def with_field(config: Any, name: str, value: Any) -> Any:
    """The configuration with another value of one field.

    Args:
      config: a frozen dataclass.
      name: of the field, dotted, such as "train.lr".
      value: a value of the field's type; a list becomes a tuple and a whole number a float where that is the type.

    Raises:
      UsageError: there is no such field (with the nearest right name), it holds a configuration of its own, or it does
        not take the value.
    """
    return _with(config, config, name, name, value)


def _with(config: Any, whole: Any, name: str, rest: str, value: Any) -> Any:
    first, _, rest = rest.partition(".")
    known = {field.name for field in dataclasses.fields(config)}
    inner = getattr(config, first) if first in known else None
    if first not in known or (rest and not dataclasses.is_dataclass(inner)):
        raise UsageError(f"A sweep sets the unknown field '{name}'. {_nearest(name, whole)}")
    if rest:
        return dataclasses.replace(config, **{first: _with(inner, whole, name, rest, value)})
    if dataclasses.is_dataclass(inner):
        first_field = all_fields(inner)[0]
        raise UsageError(f"'{name}' is a group of fields: set one of them, such as '{name}.{first_field}'.")
    kind = _types(type(config))[first]
    try:
        return dataclasses.replace(config, **{first: _fitted(value, kind)})
    except (TypeError, ValueError):
        said = f"{kind.__name__ if isinstance(kind, type) else kind}".replace("typing.", "")
        several = isinstance(value, tuple | list) and isinstance(kind, type)
        hint = " Yield a point for each value, as jaxsoil.sweep.points.grid does." if several else ""
        raise UsageError(f"A sweep sets '{name}' to {value!r}, but the field takes {said}.{hint}") from None


def _nearest(name: str, config: Any) -> str:
    """The nearest of all fields; a bare name, such as "lr", is looked for within the groups too."""
    fields = all_fields(config)
    last = [field for field in fields if field.rpartition(".")[2] == name.rpartition(".")[2]]
    if last:
        return f"Did you mean '{last[0]}'? --exp NAME --help lists all fields."
    hint = did_you_mean(name, fields).partition(" Known:")[0].partition("Known:")[0]
    return " ".join([*([hint] if "mean" in hint else []), "--exp NAME --help lists all fields."])


def _fitted(value: Any, kind: Any) -> Any:
    """The value as one of a type; ValueError where it is none."""
    if hasattr(value, "item") and hasattr(value, "dtype") and value.ndim == 0:
        value = value.item()  # A number of NumPy's.
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return _require(value in inside, value)
    if origin in (typing.Union, types.UnionType):
        for one in inside:
            try:
                return _fitted(value, one)
            except ValueError:
                continue
        return _require(False, value)
    if origin is tuple:
        items = tuple(_require(isinstance(value, tuple | list), value))
        each = inside[:1] * len(items) if inside[-1:] == (Ellipsis,) else inside
        _require(len(each) == len(items), value)
        return tuple(_fitted(item, one) for item, one in zip(items, each, strict=True))
    if kind is float:
        return float(_require(isinstance(value, int | float) and not isinstance(value, bool), value))
    if kind is int:
        return _require(isinstance(value, int) and not isinstance(value, bool), value)
    return _require(isinstance(value, kind), value) if isinstance(kind, type) else value


def _require(right: bool, value: Any) -> Any:
    if not right:
        raise ValueError(value)
    return value
