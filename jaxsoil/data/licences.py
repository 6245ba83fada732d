"""What the licence of data asks of models made from them, read from the one line that states it."""

from __future__ import annotations

import re

NONCOMMERCIAL, NO_DERIVATIVES = "noncommercial", "no-derivatives"

_WORDS = {
    NONCOMMERCIAL: r"\bBY[- ](SA[- ])?NC\b|\bCC[- ]NC\b|non[- ]?commercial|(not for|no) commercial",
    NO_DERIVATIVES: r"\bBY[- ](NC[- ])?ND\b|no[- ]?deriv",
}


def terms(licence: str) -> tuple[str, ...]:
    """Returns which of "noncommercial" and "no-derivatives" a licence states, in words or as Creative Commons does.

    >>> terms("CC BY-NC-ND 4.0")
    ('noncommercial', 'no-derivatives')
    >>> terms("lent to us: noncommercial; MIT")
    ('noncommercial',)
    >>> terms("CC BY 4.0")
    ()
    """
    return tuple(name for name, pattern in _WORDS.items() if re.search(pattern, licence, re.IGNORECASE))


def of_parts(own: str, parts: dict[str, str]) -> str:
    """Returns the licence of data made of several sets: what is said of the whole, or that of each.

    A part whose terms the whole does not state is named all the same: joining does not lift them.

    Args:
      own: stated for the whole, "" where nothing is.
      parts: name -> licence.
    """
    named = parts if not own else {name: text for name, text in parts.items() if set(terms(text)) - set(terms(own))}
    if not own and len(set(parts.values())) == 1:
        return next(iter(parts.values()))
    return "; ".join([*([own] if own else []), *(f"{name}: {text or 'none stated'}" for name, text in named.items())])
