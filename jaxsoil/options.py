"""What ``--exp=NAME --help`` and ``--list`` print: what a user changes first stands first; as wide as the terminal."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import inspect
import shutil
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from jaxsoil.experiments import Experiment

DATA, MODELS, SIZE, RUN, SETTINGS = "Data", "Models", "Size", "Run and output", "Settings of the study"

PLACE = {
    **dict.fromkeys(("data", "axis", "held_out", "targets", "same_laboratory", "mir_range", "nir_range"), DATA),
    **dict.fromkeys(
        ("networks", "encoder", "baselines", "input", "loss", "baseline_input", "baseline_loss", "models", "strategies",
         "harmonise", "compare", "map_model"),
        MODELS,
    ),
    **dict.fromkeys(
        ("smoke", "paper", "plan", "seeds", "twins", "draws", "folds", "members", "width", "pedons_per_region"), SIZE
    ),
}  # fmt: skip
"""Group of an option by its name; other fields of a study stand under "Settings of the study", other options of the
command under "Run and output" or where it groups them."""

LAST = ("devices", "twin")
"""Configurations inside a study's that stand behind the others."""

STUDIES = {
    "reconstruction": "Structured spectral reconstruction (vis-NIR)",
    "multifidelity": "Self-supervised multi-fidelity learning (MIR and NIR)",
    "hybrid": "Hybrid data set (MIR of several laboratories)",
    "layers": "Layer transfer (maps of depth layers)",
}
"""Heading of ``--list`` by the room of a study."""

WIDEST, NARROWEST, COLUMN = 120, 60, 28


class Option(NamedTuple):
    """One option: what is typed, what it is, and the name of its group."""

    typed: str
    text: str
    group: str


def listing(experiments: Mapping[str, Experiment]) -> str:
    """All experiments with what they do and reproduce, by study."""
    groups: dict[str, list[str]] = {}
    for name, experiment in experiments.items():
        room = [*experiment.study.split("."), "", "", ""][2]
        entry = _entry(name, f"{experiment.summary} [{experiment.table}]", column=20)
        groups.setdefault(STUDIES.get(room, "Other studies"), []).append(entry)
    order = sorted(groups, key=lambda title: [*STUDIES.values(), title].index(title))
    return "\n\n".join("\n".join([title, *groups[title]]) for title in order)


def of_command(parser: argparse.ArgumentParser) -> str:
    """The options that all experiments share."""
    return "\n\n".join(_sections(_of_parser(parser)))


def of_experiment(
    parser: argparse.ArgumentParser, name: str, experiment: Experiment, config: Any, about: str | None
) -> str:
    """Everything that can be set in an experiment.

    Args:
      parser: of the options that all experiments share.
      name, experiment: the experiment.
      config: the configuration whose values are the defaults.
      about: docstring of the experiment's file, for the commands in it.
    """
    every = [*fields(config), *_of_parser(parser)]
    first = [option for option in every if option.group in (DATA, MODELS, SIZE, RUN)]
    rest = sorted((option for option in every if option not in first), key=lambda option: option.group != SETTINGS)
    usage = f"Usage: python experiments/run.py --exp={name} [options]"
    about_it = _filled(f"{experiment.summary}. [{experiment.table}]")
    return "\n\n".join([usage, about_it, *_examples(about), *_sections([*first, *rest])])


def fields(config: Any) -> Iterator[Option]:
    """The fields of a configuration as options, those of the configurations inside it under their dotted names."""
    inside = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            inside.append((field.name, value, _documents(type(config)).get(field.name, "")))
        else:
            yield _of_field(config, field.name, "", PLACE.get(field.name, SETTINGS))
    for name, value, text in sorted(inside, key=lambda one: LAST.index(one[0]) if one[0] in LAST else -1):
        yield from _nested(value, f"{name}.", ": ".join(filter(None, [f"--{name.replace('_', '-')}.*", text])))


def _nested(config: Any, prefix: str, group: str) -> Iterator[Option]:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _nested(value, f"{prefix}{field.name}.", group)
        else:
            yield _of_field(config, field.name, prefix, group)


def _of_field(config: Any, name: str, prefix: str, group: str) -> Option:
    kind, value = _types(type(config))[name], getattr(config, name)
    option, words = f"--{prefix}{name}".replace("_", "-"), _documents(type(config)).get(name, "")
    if kind is bool:
        off = f"--{prefix}no-{name}".replace("_", "-")
        return Option(f"{option}, {off}", _joined(words, "", "yes" if value else "no"), group)
    spelled, names = _spelled(kind)
    return Option(f"{option} {spelled}", _joined(words, names, shown(value)), group)


def _joined(words: str, names: str, default: str) -> str:
    """Text of an option; names that it says already are not listed again."""
    missing = [name for name in names.split(", ") if name and f"'{name}'" not in words]
    listed = f"Choices: {names}." if missing else ""
    return " ".join(filter(None, [words, listed, f"[{default}]"]))


def shown(value: Any) -> str:
    """A default as it is typed."""
    if isinstance(value, tuple | list):
        return " ".join(map(shown, value)) or "none given"
    if value is None:
        return "none given"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _spelled(kind: Any) -> tuple[str, str]:
    """What is typed behind an option of a type, and the names to choose from."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        names = ", ".join(map(str, inner))
        return "NAME", names
    if origin in (typing.Union, types.UnionType):
        found = [_spelled(one) for one in inner if one is not type(None)]
        listed = ", ".join(dict.fromkeys(name for _, names in found for name in names.split(", ") if name))
        return "|".join(dict.fromkeys(words for words, _ in found)), listed
    if origin is tuple:
        one = [_spelled(part) for part in inner if part is not Ellipsis]
        names = next((names for _, names in one if names), "")
        return (f"{one[0][0]} ..." if Ellipsis in inner else " ".join(words for words, _ in one)), names
    return {int: "N", float: "X"}.get(kind, "TEXT"), ""


@functools.cache
def _types(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@functools.cache
def _documents(kind: type) -> dict[str, str]:
    """What stands under each field of a dataclass as a string, or behind it as a comment."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        source = textwrap.dedent(inspect.getsource(base))
        lines, tree = source.splitlines(), ast.parse(source).body[0]
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for node, after in zip(body, [*body[1:], None], strict=False):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            text = lines[(node.end_lineno or 1) - 1].encode()[node.end_col_offset or 0 :].decode().partition("#")[2]
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                text = str(after.value.value)
            found[node.target.id] = " ".join(text.split())
    return found


def _of_parser(parser: argparse.ArgumentParser) -> Iterator[Option]:
    for group in parser._action_groups:
        title = (group.title or "").capitalize()
        for action in group._group_actions:
            names = f"{{{','.join(map(str, action.choices))}}}" if action.choices else ""
            value = action.metavar or names if action.nargs != 0 else ""
            place = PLACE.get(action.dest, RUN if title in ("Options", "Optional arguments") else title)
            yield Option(f"{', '.join(action.option_strings)} {value}".strip(), action.help or "", place)


def _sections(options: Iterable[Option]) -> list[str]:
    groups: dict[str, list[str]] = {title: [] for title in (DATA, MODELS, SIZE, RUN)}
    for option in options:
        groups.setdefault(option.group, []).append(_entry(option.typed, option.text))
    return ["\n".join([_filled(title), *entries]) for title, entries in groups.items() if entries]


def _examples(about: str | None) -> list[str]:
    """The commands in a docstring, each over what the docstring says behind it."""
    found = []
    for line in (about or "").splitlines():
        command, _, words = line.strip().partition("   ") if "   " in line.strip() else (line.strip(), "", "")
        if command.startswith("python experiments/run.py"):
            found += [f"  {command}", *([_filled(words.strip(), "      ")] if words else [])]
    return ["\n".join(["Examples", *found])] if found else []


def _entry(typed: str, text: str, column: int = COLUMN) -> str:
    """An option and its text beside it, or below it where it is long."""
    body = _filled(text, " " * column)
    if len(typed) + 4 > column:
        return f"  {typed}" + (f"\n{body}" if text else "")
    return f"  {typed}".ljust(column) + body[column:]


def _filled(text: str, indent: str = "") -> str:
    """Text in lines no longer than the terminal, broken between words alone."""
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    return textwrap.fill(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
