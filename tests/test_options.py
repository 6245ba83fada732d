"""``--help`` and ``--list``: they fit the terminal, group what belongs together, and say what can be typed."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from jaxsoil import options
from jaxsoil.cli import main
from jaxsoil.experiments import configure, discover, load
from jaxsoil.sweep.points import all_fields, field_of

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
EVERY = sorted(discover(EXPERIMENTS))
COMMON = [["--list"], ["--help"], ["--exp", "region_out", "--help"]]
COMMANDS = [*COMMON[:2], *(["--exp", name, "--help"] for name in EVERY)]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(EXPERIMENTS, list(words)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "width"), [*((words, 80) for words in COMMANDS), *((words, 120) for words in COMMON)]
)
def test_no_line_is_wider_than_the_terminal(
    words: list[str], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys, *words).splitlines()
    assert [line for line in lines if len(line) > width] == []
    # Text is filled: the wide terminal is used, and no line holds a leftover word before a longer one that would fit.
    assert max(map(len, lines)) > 0.8 * width or words == ["--help"]
    for line, after in itertools.pairwise(lines):
        beside = line.startswith(" " * options.COLUMN) and after.startswith(" " * options.COLUMN)
        if beside and len(line) - len(line.lstrip()) == len(after) - len(after.lstrip()):
            assert len(line) + 1 + len(after.split()[0]) > width, f"broken early:\n{line}\n{after}"


@pytest.mark.parametrize("name", EVERY)
def test_help_has_every_field_and_each_can_be_typed(name: str) -> None:
    experiment = load(name, EXPERIMENTS)
    shown = {option.typed.split()[0].rstrip(",") for option in options.fields(experiment.config)}
    fields = all_fields(experiment.config)
    assert shown == {f"--{field}".replace("_", "-") for field in fields}
    words = []
    for field in fields:
        value = field_of(experiment.config, field)
        if isinstance(value, bool | None) or value == ():
            continue
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{field}".replace("_", "-"), *map(str, values)]
    assert configure(experiment, name, "", words) == experiment.config


def test_groups_come_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--exp=region_out", "--help")
    titles = ["Examples", "Data", "Models", "Size", "Run and output", "Settings of the study", "--train.*: How"]
    titles += ["--devices.*: Where", "--twin.*: The", "Sweeps"]
    places = [text.index(f"\n{title}") for title in titles]
    assert places == sorted(places)
    assert "[none ann physics]" in " ".join(text.split()) and "--train.wrap, --train.no-wrap" in text


def test_help_shows_the_values_of_the_size(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(printed(capsys, "--exp=region_out", "--paper", "--help").split())
    assert "Passes over the training rows (paper: 1,000). [1000]" in text


def test_the_list_names_every_experiment_under_its_study(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--list")
    assert {line.split()[0] for line in text.splitlines() if line[:3].strip()} >= set(EVERY)
    assert text.index("Layer transfer") < text.index("layer_transfer ") and "Other studies" not in text


def test_a_field_says_its_choices_once() -> None:
    named = {option.typed.split()[0]: option for option in options.fields(load("region_out", EXPERIMENTS).config)}
    assert "Choices: paper, direct. [paper]" in named["--start"].text
    assert "Choices" not in named["--loss"].text  # its text names all three
    assert named["--axis"].typed == "--axis X X"
