"""What the pages show as code: the blocks of Markdown, and the commands in them and in their text."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("python", "jaxsoil", "pip", "pytest", "export", "uv", "ruff", "pyright", "pre-commit", "sphinx-build", ".")
"""What a line of a block without a language begins with if it is a command; other blocks hold data."""


class Block(NamedTuple):
    """A fenced or indented block: its page, first line, language and text."""

    page: str
    line: int
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Fenced blocks, and indented ones that hold commands."""
    found: list[Block] = []
    text, name = page.read_text("utf-8"), page.relative_to(ROOT).as_posix()
    for part in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE):
        found.append(Block(name, text.count("\n", 0, part.start()) + 1, part[1].strip(), part[2]))
    bare = re.sub(r"^```.*?^```$", lambda one: "\n" * one[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    for number, line in enumerate(bare.splitlines(), start=1):
        if re.match(r"    (python|jaxsoil|pip) ", line):
            found.append(Block(name, number, "", line.strip() + "\n"))
    return found


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Place and words of every command, those in the running text included; comments are left out.

    A command in the text has a path or an option; without one, such as `jaxsoil predict`, it is the name of a command.
    """
    lines = []
    for block in blocks(page):
        if block.language in ("", "bash", "sh", "console"):
            found = [(f"{block.page}:{block.line}", line) for line in block.text.replace("\\\n", " ").splitlines()]
            lines += [one for one in found if shlex.split(one[1], comments=True)[:1] != [] and _begins(one[1])]
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for inline in re.findall(r"`((?:python|jaxsoil|pip|pytest) [^`]+)`", text):
        if re.search(r"[/._-]", inline):
            lines.append((page.name, " ".join(inline.split())))
    found = []
    for place, line in lines:
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word == "&&":
                found.append((place, words))
                words = []
            else:
                words.append(word)
    return found


def _begins(line: str) -> bool:
    return line.split(maxsplit=1)[0] in PROGRAMS
