"""Points of sweeps: overrides become typed configurations, and back words of the command line."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from jaxsoil import experiments
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.studies.reconstruction.config import StudyConfig
from jaxsoil.sweep import points, sweep
from jaxsoil.training.config import TrainConfig

FOLDER = Path(__file__).resolve().parents[2] / "experiments"


@pytest.mark.parametrize(
    "overrides",
    [
        {"width": 64, "train.lr": 3e-4, "networks": ("physics", "none")},
        {"baselines": [], "train.wrap": True, "axis": (400, 2000)},
        {"axis": None, "train.lr": 1, "twin.n_samples": 300, "start": "direct"},
    ],
)
def test_the_words_of_a_point_give_its_configuration(overrides: dict[str, Any]) -> None:
    """The parser of the command line is the reference."""
    base = StudyConfig(train=TrainConfig())
    (point,) = points.make_points(base, [overrides])
    import tyro

    assert tyro.cli(StudyConfig, default=base, args=points.words(point.overrides)) == point.config
    again = points.make_points(base, [dict(point.overrides)])[0]
    assert again.name == point.name and set(point.name) <= set(points.file_name(point.name))


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("widht", 3, "Did you mean 'width'"),
        ("lr", 3, "Did you mean 'train.lr'"),
        ("train.epoch", 3, "Did you mean 'train.epochs'"),
        ("width.x", 3, "unknown field"),
        ("train", 3, "such as 'train.epochs'"),
        ("width", 0.5, "takes int"),
        ("width", [8, 16], "points.grid"),
        ("width", True, "takes int"),
        ("train.lr", "fast", "takes float"),
        ("encoder", "rnn", "mlp"),
        ("networks", ("none", "nine"), "physics"),
        ("networks", "none", "physics"),
        ("axis", (1.0,), "tuple"),
    ],
)
def test_fields_and_values_that_cannot_be_are_refused(field: str, value: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=r"^A sweep sets|^'train' is") as error:
        points.with_field(StudyConfig(), field, value)
    assert hint in str(error.value)


def test_sets_of_points_that_cannot_be_are_refused() -> None:
    base = StudyConfig()
    with pytest.raises(UsageError, match=r"Points 1 and 3 .*width=64"):
        points.make_points(base, [{"width": 64}, {"width": 32}, {"width": 64}])
    with pytest.raises(UsageError, match="Several of these sweeps set 'width'"):
        points.product({"a": [{"width": 1}], "b": [{"seeds": 1}, {"width": 2}]})
    with pytest.raises(UsageError, match="'a' has no points"):
        points.product({"a": []})
    with pytest.raises(UsageError, match=r"Point 1 .* yield a mapping"):
        points.product({"a": [("width", 3)]})


def test_a_product_has_every_combination_and_draws_repeat() -> None:
    found = points.product({"a": points.grid({"x": (1, 2), "y": (3, 4)}), "b": [{"train-lr": 5}, {"train-lr": 6}]})
    assert len(found) == 8 and found[1] == {"x": 1, "y": 3, "train_lr": 6}
    shared = points.product({"a": [{"seeds": 2, "x": 1}, {"seeds": 2, "x": 2}], "b": [{"seeds": 2, "y": 3}]})
    assert shared == [{"seeds": 2, "x": 1, "y": 3}, {"seeds": 2, "x": 2, "y": 3}]
    fields = {"width": (1, 2, 3), "lr": points.log_uniform(1e-4, 1e-2)}
    few, more = list(points.draws(3, 7, fields)), list(points.draws(20, 7, fields))
    assert more[:3] == few and all(1e-4 <= point["lr"] <= 1e-2 for point in more)
    assert len({point["lr"] for point in more}) > 10


@pytest.mark.parametrize("name", sorted(experiments.discover(FOLDER)))
def test_every_sweep_of_the_experiments_has_points_that_are_configurations(name: str) -> None:
    module = experiments.load_file(name, FOLDER)
    for one in sweep.functions(module):
        for config in (module.EXPERIMENT.config, module.EXPERIMENT.smoke):
            found = points.make_points(config, sweep.find(one, name, FOLDER))
            assert len(found) > 1, one
        # The smoke data may be too small for a point; a setting that its study refuses is an error of the sweep.
        with contextlib.suppress(DataError):
            module.EXPERIMENT.study_module().prepare(found[0].config)
