"""Builds the site: ``sphinx-build -W --keep-going docs build/site``; needs no network."""

from __future__ import annotations

import pkgutil
import re
import sys
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jaxsoil

project = "jaxsoil"
author = "the jaxsoil authors"
version = release = jaxsoil.__version__
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["figures"]
myst_heading_anchors = 4
# Two modules may have a class of one name (Encoder, Source): a bare name in a signature links to one of them.
suppress_warnings = ["ref.python"]

# Shapes stand in the signatures; a docstring's own words say what they mean.
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
# As parameters: fields that a class has would be told twice.
napoleon_custom_sections = [("Attributes", "params_style")]

html_theme = "furo"
html_title = f"jaxsoil {release}"
html_show_sourcelink = False
html_copy_source = False
# Fonts are the reader's own: nothing is loaded from elsewhere.
pygments_style, pygments_dark_style = "tango", "monokai"


class Generated(SphinxDirective):
    """A directive whose lines of reStructuredText are made from the package it names."""

    required_arguments = 1

    def lines(self) -> list[str]:
        """The text."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Returns the parsed text."""
        return nested_parse_to_nodes(self.state, StringList(self.lines(), source=self.arguments[0]))


class Room(Generated):
    """``.. room:: jaxsoil.spectra``: the public modules of a package, each under its name."""

    def lines(self) -> list[str]:
        """A heading and the docstrings of each module."""
        found: list[str] = []
        for name in modules(self.arguments[0]):
            found += [name, "-" * len(name), "", f".. automodule:: {name}", ""]
        return found


class Public(Generated):
    """``.. public:: jaxsoil``: the names in ``__all__``, with a link to where each is explained."""

    def lines(self) -> list[str]:
        """An item for each name."""
        package = import_module(self.arguments[0])
        found: list[str] = []
        for name in package.__all__:
            thing = getattr(package, name)
            kind = "class" if isinstance(thing, type) else "func"
            first = (thing.__doc__ or "").strip().splitlines()[0]
            found += [f"- :py:{kind}:`{name} <{thing.__module__}.{thing.__qualname__}>`: {first}"]
        return [*found, ""]


def modules(package: str) -> list[str]:
    """The package and its public modules, or the module alone."""
    found = import_module(package)
    if not hasattr(found, "__path__"):
        return [package]
    names = (one.name for one in pkgutil.walk_packages(found.__path__, f"{package}."))
    return [package, *(name for name in names if not any(part.startswith("_") for part in name.split(".")))]


def bars(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Lets ``|x|`` in a docstring be an absolute value, which reStructuredText takes for a substitution."""
    lines[:] = [re.sub(r"(`+[^`]*`+)|\|", lambda found: found[1] or r"\|", line) for line in lines]


def setup(app: Sphinx) -> None:
    """Registers the directives."""
    app.connect("autodoc-process-docstring", bars, priority=900)
    app.add_directive("room", Room)
    app.add_directive("public", Public)
