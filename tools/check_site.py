"""Checks a built site: ``python tools/check_site.py build/site``.

Every link within it leads to a page and an anchor that are there, nothing is loaded from elsewhere, and the reference
has every public name: those of ``jaxsoil`` itself, and the functions, classes and documented values of its modules.
Exit status 1 where something is wrong.
"""

from __future__ import annotations

import ast
import re
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

PACKAGE = Path(__file__).resolve().parents[1] / "jaxsoil"
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """Links, anchors and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes an element."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon", "shortcut icon"):
            self.loaded.append(found.get("href", ""))
        if LOADED.get(tag, "") in found:
            self.loaded.append(found[LOADED[tag]])


def faults_of_links(site: Path) -> list[str]:
    """Links and loaded files of all pages that lead nowhere, and what is loaded from elsewhere."""
    site = site.resolve()
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"{site}: no page"]
    for path, page in pages.items():
        where = path.relative_to(site)
        for address in page.loaded:
            if urlsplit(address).scheme not in ("", "data") or address.startswith("//"):
                found.append(f"{where} loads {address}")
            elif urlsplit(address).scheme == "" and not (path.parent / unquote(urlsplit(address).path)).is_file():
                found.append(f"{where} loads {address}, which is not there")
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            other = pages.get(target)
            if other is None and not target.is_file():
                found.append(f"{where} links to {address}, which is not there")
            elif other and parts.fragment and unquote(parts.fragment) not in other.anchors | {""}:
                found.append(f"{where} links to {address}: there is no such anchor")
    for path in site.rglob("*.css"):
        text = re.sub(r"url\(\s*['\"]?data:[^)]*\)", "", path.read_text("utf-8"))
        found += [
            f"{path.name} loads {one}"
            for one in re.findall(r"(?:@import|url\()\s*['\"]?((?:https?:)?//[^'\")]+)", text)
        ]
    return found


def public_names(package: Path = PACKAGE) -> set[str]:
    """Dotted names of public functions, classes and documented values of the package's public modules."""
    found: set[str] = set()
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        if any(part.startswith("_") and part != "__init__" for part in parts):
            continue
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        body = ast.parse(path.read_text("utf-8")).body
        for node, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
                name = node.name
            elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                documented = isinstance(after.value, ast.Constant) and isinstance(after.value.value, str)
                name = target.id if documented and isinstance(target, ast.Name) else "_"
            else:
                continue
            if not name.startswith("_"):
                found.add(f"{module}.{name}")
    return found


def inventory(path: Path) -> dict[str, str]:
    """Names in a Sphinx inventory (objects.inv, version 2) and the page of each."""
    data = path.read_bytes()
    start = 0
    for _ in range(4):
        start = data.index(b"\n", start) + 1
    lines = zlib.decompress(data[start:]).decode("utf-8").splitlines()
    rows = [re.match(r"(.+?)\s+(py:\S+)\s+(-?\d+)\s+(\S*)\s+(.*)", line) for line in lines]
    return {row[1]: row[4] for row in rows if row}


def faults_of_reference(site: Path, package: Path = PACKAGE) -> list[str]:
    """Public names that the reference lacks, or that the page of the package's own names does not link."""
    known, found = inventory(site / "objects.inv"), []
    found += [f"the reference has no {name}" for name in sorted(public_names(package) - set(known))]
    index = (site / "reference" / "index.html").read_text("utf-8")
    tree = ast.parse((package / "__init__.py").read_text("utf-8"))
    listed = next(
        (ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)
         and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets)), [],
    )  # fmt: skip
    for name in listed:
        if not re.search(rf'href="[^"]*#{re.escape(package.name)}\.[\w.]+\.{re.escape(name)}"', index):
            found.append(f"reference/index.html has no link to {package.name}.{name}")
    return found


def main(words: list[str]) -> int:
    """Prints what is wrong; returns the exit status."""
    (folder,) = words
    site = Path(folder)
    found = [*faults_of_links(site), *faults_of_reference(site)]
    print(*found, f"{len(found)} faults in {site}", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
