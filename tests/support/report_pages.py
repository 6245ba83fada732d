"""Reads a report as a browser does: its opening, its folded sections, its contents, and what it refers to."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from html.parser import HTMLParser

LARGEST_TABLE = 10


@dataclasses.dataclass
class ReportPage(HTMLParser):
    """What a report has.

    Attributes:
      opening: tags before the contents.
      words: text of the paragraphs of the opening.
      links: contents, from anchor to heading.
      sections: folded sections, from anchor to heading.
      references: all that the page refers to.
    """

    opening: Counter[str] = dataclasses.field(default_factory=Counter)
    words: str = ""
    links: dict[str, str] = dataclasses.field(default_factory=dict)
    sections: dict[str, str] = dataclasses.field(default_factory=dict)
    references: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self._link = self._heading = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes a tag where it stands."""
        given = {name: value or "" for name, value in attrs}
        self.references += [value for name, value in given.items() if name in ("src", "href", "srcset", "data")]
        if "header" in self._open:
            self.opening[tag] += 1
        if tag not in ("meta", "img", "link", "br"):
            self._open.append(tag)
        if tag == "a":
            self._link = given["href"].removeprefix("#")
        if tag == "details":
            assert "open" not in given
        if tag == "div" and "id" in given:
            self.sections[given["id"]] = self._heading

    def handle_endtag(self, tag: str) -> None:
        """Tags close in order."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Notes text that a test asks about."""
        if self._open[-2:-1] == ["summary"]:
            self._heading = data
        elif self._open[-1:] == ["a"]:
            self.links[self._link] = data
        elif self._open[-2:] == ["header", "p"]:
            self.words += data


def read_report(html: str) -> ReportPage:
    """Parses a page, which must hold together: every heading in the contents, nothing from elsewhere."""
    page = ReportPage()
    page.feed(html)
    page.close()
    assert page.links == page.sections
    assert not [name for name in page.references if not re.match(r"data:image/png;base64,|#", name)]
    assert not re.search(r"@import|url\(", html)
    return page


def opened(html: str) -> ReportPage:
    """A page whose opening is what a reader wants: three sentences, one figure, one table of ten rows at most."""
    page = read_report(html)
    assert page.opening["img"] == 1 and page.opening["table"] == 1
    # One row is the heading.
    assert 1 <= page.opening["tr"] - 1 <= LARGEST_TABLE
    assert page.opening["p"] == 1 and len(re.findall(r"\.(?=\s+[A-Z0-9])|\.$", page.words.strip())) == 3, page.words
    return page
