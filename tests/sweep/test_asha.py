"""Which points of a sweep are stopped early, by what they are compared, and that no comparison is lost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from jaxsoil.runs.errors import UsageError
from jaxsoil.sweep import asha

SAID = [
    ("a", 12.0, 4.0), ("b", 11.0, 2.0), ("c", 14.0, 3.0), ("d", 11.0, 2.0), ("b", 31.0, 1.5), ("e", 10.0, math.nan),
    ("e", 11.0, 1.0), ("d", 33.0, 1.0), ("e", 95.0, 0.9), ("f", 40.0, 1.2),
]  # fmt: skip
"""What six points say in turn: name, percent done, watched loss."""

STOPPED = ["c", "f"]
"""c: 3 is above the third of (4, 2), 2.67; d: 2 is not above that of (4, 2, 3), 2.67; f: 1.2 is above that of
(1.5, 1), 1.17, and is not compared at 10 %, where it was not seen."""


def session(folder: Path, said: list[tuple[str, float, float]]) -> list[str]:
    """The points that are told to stop, in order."""
    every = [folder / name for name in "abcdef"]
    for own in every:
        own.mkdir(parents=True, exist_ok=True)
    return [name for name, percent, loss in said if asha.stops(every, folder / name, percent, loss)]


def test_a_point_is_stopped_where_its_loss_is_above_the_best_third_of_those_before_it(tmp_path: Path) -> None:
    assert session(tmp_path, SAID) == STOPPED
    # Each of them is told so once more if it asks, as one does that was killed before it was stopped.
    assert session(tmp_path, [("c", 14.0, 2.9), ("c", 0.0, 2.9), ("b", 12.0, 9.0), ("b", 35.0, 9.0)]) == ["c"]
    # An earlier milestone than the last one is none any more.
    assert session(tmp_path, [("e", 15.0, 9.0), ("e", 31.0, 9.0)]) == []
    assert asha.stops([], tmp_path / "nowhere", 50.0, 1.0) is False and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("killed", range(1, len(SAID)))
def test_a_sweep_that_was_killed_stops_what_the_whole_one_does(killed: int, tmp_path: Path) -> None:
    """After the kill each point says again what it said last, from a checkpoint, and goes on."""
    before = session(tmp_path, SAID[:killed])
    last = {name: (name, percent, loss) for name, percent, loss in SAID[:killed]}
    assert sorted({*before, *session(tmp_path, [*last.values(), *SAID[killed:]])}) == STOPPED
    damaged = tmp_path / "a" / asha.RUNGS
    damaged.write_text("{")
    assert session(tmp_path, [("a", 12.0, 9.0)]) == ["a"]


def test_the_watched_loss_is_the_mean_of_the_lowest_of_each_training() -> None:
    losses = [("a", 3.0), ("a", 1.0), ("a", 2.0), ("b", 5.0), ("b", None)]
    records: list[dict[str, Any]] = [{"trial": name, "validation_loss": loss} for name, loss in losses]
    # What is known of held-out data is not read.
    records += [{"summary": {"validation_loss": -9.0, "ccc": 1.0}}, {"trial": "a", "test_loss": -9.0}]
    assert asha.watched_loss(records) == 3.0
    assert asha.watched_loss(records[-2:]) is None
    assert asha.watched_loss([{"trial": "c", "validation_loss": None}]) == asha.DIVERGED


@pytest.mark.parametrize("field", ["loss", "networks", "twin.n_samples", "train.sigma_soc", "pretrain.beta"])
def test_points_whose_losses_are_of_different_things_are_not_compared(field: str) -> None:
    asha.require_comparable(["width", "train.lr"])
    with pytest.raises(UsageError, match=f"--asha compares points by their loss.*'{field}'"):
        asha.require_comparable(["width", field])
