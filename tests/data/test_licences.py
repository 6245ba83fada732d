"""What licences say, by their usual names and in words."""

from __future__ import annotations

import pytest

from jaxsoil.data.licences import of_parts, terms


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC BY-NC 4.0", ("noncommercial",)),
        ("CC BY-NC-SA 4.0", ("noncommercial",)),
        ("cc by-nd 3.0", ("no-derivatives",)),
        ("Creative Commons BY NC ND", ("noncommercial", "no-derivatives")),
        ("ours; Non-commercial, no derivatives", ("noncommercial", "no-derivatives")),
        ("not for commercial use", ("noncommercial",)),
        ("CC BY-SA 4.0; MIT; GPL-3", ()),
        ("data of NC State, bundle ND", ()),
        ("", ()),
    ],
)
def test_terms(licence: str, expected: tuple[str, ...]) -> None:
    assert terms(licence) == expected


def test_joining_lifts_no_terms() -> None:
    parts = {"a": "MIT", "b": "CC BY-NC 4.0", "c": ""}
    assert of_parts("", parts) == "a: MIT; b: CC BY-NC 4.0; c: none stated"
    assert of_parts("CC BY 4.0", parts) == "CC BY 4.0; b: CC BY-NC 4.0"
    assert of_parts("CC BY-NC 4.0", parts) == "CC BY-NC 4.0"
    assert of_parts("", {"a": "MIT", "b": "MIT"}) == "MIT"
