"""The checker that tests put on every annotated function of the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep673Exception, BeartypeDecorHintPep3119Exception

# An int is accepted where a float is announced, as everywhere else in Python's typing.
_CONF = BeartypeConf(is_pep484_tower=True)


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns ``function`` with its annotations checked on every call."""
    try:
        return beartype(conf=_CONF)(function)
    except (BeartypeDecorHintPep673Exception, BeartypeDecorHintPep3119Exception):
        # `Self` outside a decorated class, and protocols without run-time checks, are for pyright alone.
        return function
