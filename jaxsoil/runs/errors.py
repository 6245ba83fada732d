"""Errors that say what is wrong, where, and what to do about it."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence

_LONGEST = 120
"""Letters of a value that an error shows."""


class DataError(ValueError):
    """Input that must not be used as it is.

    The message always reads ``where: problem (value). Remedy.`` so that somebody who sees only the last line
    of a traceback can act on it.

    Args:
      problem: what is wrong, in a few words.
      source: file, table or library in which it was found.
      column: column, band or field in which it was found.
      value: the offending value (shortened).
      remedy: what to do, as an instruction.
    """

    def __init__(
        self,
        problem: str,
        *,
        source: object = None,
        column: object = None,
        value: object = None,
        remedy: str,
    ) -> None:
        self.problem, self.source, self.column, self.value, self.remedy = problem, source, column, value, remedy
        where = ", ".join(
            part for part in (f"{source}" if source else "", f"column {column}" if column is not None else "") if part
        )
        text = value if isinstance(value, str) else repr(value)
        text = text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
        shown = "" if value is None else f" (found: {text})"
        super().__init__(f"{where + ': ' if where else ''}{problem}{shown}. {remedy}")


class DataErrors(DataError):
    """Several faults of one input, told together.

    Args:
      faults: two or more; the fields of the error are those of the first.
    """

    def __init__(self, faults: Sequence[DataError]) -> None:
        first, self.faults = faults[0], tuple(faults)
        super().__init__(
            first.problem, source=first.source, column=first.column, value=first.value, remedy=first.remedy
        )
        lines = (f"\n  {number}. {fault}" for number, fault in enumerate(faults, start=1))
        self.args = (f"{len(faults)} faults:{''.join(lines)}",)


class Faults:
    """Collects the faults of steps that do not need one another, so that a user sees all of them at once.

    >>> faults = Faults()
    >>> for value in (1, -2, -3):
    ...     with faults.kept():
    ...         if value < 0:
    ...             raise DataError("a value is negative", value=value, remedy="Correct it.")
    >>> [str(fault) for fault in faults.found]
    ['a value is negative (found: -2). Correct it.', 'a value is negative (found: -3). Correct it.']
    """

    def __init__(self) -> None:
        self.found: list[DataError] = []

    def add(self, fault: DataError) -> None:
        """Keeps a fault, or each of several; what was said before is not said again."""
        for one in fault.faults if isinstance(fault, DataErrors) else (fault,):
            if str(one) not in map(str, self.found):
                self.found.append(one)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps the fault that ends the block; what the block was to make is then missing."""
        try:
            yield
        except DataError as fault:
            self.add(fault)

    def tell(self) -> None:
        """Raises what was found: the fault, or a DataErrors of several."""
        if self.found:
            raise self.found[0] if len(self.found) == 1 else DataErrors(self.found)


@contextlib.contextmanager
def intact(problem: str, *, source: object = None, remedy: str = "Write the bundle again.") -> Iterator[None]:
    """Within the block what parts of a file raise that are missing or do not fit together becomes a DataError."""
    try:
        yield
    except DataError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DataError(problem, source=source, value=repr(error), remedy=remedy) from error


class UsageError(ValueError):
    """A command, option or configuration that cannot be carried out as typed."""


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Returns a sentence that names the nearest of ``options``, and all of them when they are few."""
    known = sorted({str(option) for option in options})
    by_lower = {option.lower(): option for option in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.5)
    hint = f"Did you mean '{by_lower[near[0]]}'? " if near else ""
    listed = f"Known: {', '.join(known)}." if len(known) <= 40 else f"{len(known)} names are known."
    return hint + listed
