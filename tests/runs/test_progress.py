"""The line of progress: what it counts, how long it says the rest takes, where it is drawn, and silence."""

from __future__ import annotations

import ast
import io
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import toy_experiment

from jaxsoil.runs import progress

ROOT = Path(__file__).resolve().parents[2]


class Terminal(io.StringIO):
    """A stream that says it is a terminal; ``shown`` is what a reader sees of its lines in the end."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        lines = []
        for text in self.getvalue().split("\n"):
            seen = ""
            for part in text.split("\r"):
                seen = part + seen[len(part) :]
            lines.append(seen.rstrip())
        return lines


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_trials_done_and_time_left_by_kind() -> None:
    clock, stream = Clock(), Terminal()
    with progress.line("region_out", stream, clock):
        progress.expect({"plsr": 2, "ann": 3})
        for number in range(2):
            clock.now += 1.0
            progress.reach("plsr", str(number))
        # The networks have taken no time yet, so that nothing is known of theirs.
        assert "2 of 5 trials, plsr" in stream.shown()[-1]
        clock.now += 30.0
        progress.reach("ann", "0", 0.5)
        assert "2 of 5 trials, 2 min left, ann" in stream.shown()[-1]  # 2.5 trials of 60 s
        clock.now += 30.0
        progress.reach("ann", "0")
        progress.reach("ann", "0", 0.5)  # less than what is done changes nothing
        clock.now += 1.0
        progress.note("the map")
        assert "3 of 5 trials, 2 min left, the map" in stream.shown()[-1]
    assert stream.shown() == [""]  # one line, taken away at the end


def test_what_an_earlier_call_did_tells_no_time() -> None:
    clock, stream = Clock(), Terminal()
    with progress.line("a", stream, clock):
        progress.expect({"ann": 3})
        clock.now += 1.0
        progress.reach("ann", "0", kept=True)
        assert "1 of 3 trials, ann" in stream.shown()[-1]
        clock.now += 50.0
        progress.reach("ann", "1")
        assert "2 of 3 trials, 50 s left" in stream.shown()[-1]


def test_the_refit_for_a_bundle_is_timed_from_its_own_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Minutes of baselines and tables before it are no time of its trainings; none is trained here."""
    from jaxsoil.runs.folder import RunFolder
    from jaxsoil.studies.reconstruction import bundling
    from jaxsoil.studies.reconstruction.config import StudyConfig
    from jaxsoil.studies.reconstruction.prepare import StudyInputs

    clock, stream = Clock(), Terminal()

    def trained(networks: Any, run: Any, tracker: Any, runs: Any, kind: str) -> Any:
        clock.now += 10.0
        progress.reach(kind, "none", 0.5)
        yield from ()

    for name in ("all_rows", "_trial"):
        monkeypatch.setattr(bundling, name, MagicMock())
    monkeypatch.setattr(bundling.train, "Networks", MagicMock())
    monkeypatch.setattr(bundling.train, "trained", trained)
    config, run = StudyConfig(networks=("none", "ann")), RunFolder(tmp_path, "region_out", "disabled")
    with progress.line("region_out", stream, clock):
        progress.expect({"plsr": 1})
        progress.expect({bundling.STAGE: 2}, bundling.STAGE)
        clock.now += 1.0
        progress.reach("plsr", "0")
        clock.now += 500.0
        assert not [*bundling._networks(config, run, MagicMock(spec=StudyInputs, library=MagicMock()))]
        # Half of the first of two took 10 s.
        assert "1 of 3 trials, 30 s left, refit" in stream.shown()[-1]


def test_parts_of_a_study_are_announced_once_each() -> None:
    clock, stream = Clock(), Terminal()
    with progress.line("soc_spectrum", stream, clock):
        progress.expect({"physics": 4}, "first")
        progress.expect({"physics": 2}, "second")
        progress.expect({"physics": 4}, "first")
        clock.now += 1.0
        progress.reach("physics", "first/0")
        assert "1 of 6 trials" in stream.shown()[-1]
        with progress.line("inner", stream, clock):  # a study within a study: still one line
            clock.now += 1.0
            progress.reach("physics", "first/1")
        assert stream.shown()[-1].startswith("soc_spectrum [###")


@pytest.mark.parametrize("width", [20, 80])
def test_the_line_is_no_wider_than_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    clock, stream = Clock(), Terminal()
    with progress.line("a study of a long name", stream, clock):
        progress.expect({"x": 1000})
        clock.now += 1.0
        progress.note("something that takes a while to say, since it is long")
        assert max(map(len, stream.shown())) < width


def test_sentences_stand_above_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    clock, stream = Clock(), Terminal()
    with progress.line("a", stream, clock):
        progress.expect({"x": 2})
        clock.now += 1.0
        progress.reach("x", "0")
        progress.say("a part is done")
        assert stream.shown() == [""]  # off the terminal while the sentence is printed
    assert capsys.readouterr().out == "a part is done\n"


def test_a_file_gets_a_line_now_and_then() -> None:
    clock, stream = Clock(), io.StringIO()
    with progress.line("a", stream, clock):
        progress.expect({"x": 600})
        for number in range(600):
            clock.now += 0.1
            progress.reach("x", str(number))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2 and "300 of 600 trials, 30 s left" in lines[0] and "\r" not in stream.getvalue()


def test_quiet_shows_nothing_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Terminal()
    with progress.quietly(), progress.line("a", stream, Clock()):
        progress.expect({"x": 1})
        progress.reach("x", "0")
        progress.note("busy")
        progress.say("a sentence")
    assert stream.getvalue() == "" and capsys.readouterr().out == ""
    progress.say("a sentence")
    assert capsys.readouterr().out == "a sentence\n"


def test_nothing_happens_without_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress.expect({"x": 1})
    progress.reach("x", "0")
    progress.note("busy")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (99.0, "99 s"), (119.0, "2 min"), (7800.0, "2 h 10 min")])
def test_times_in_words(seconds: float, words: str) -> None:
    assert progress.span(seconds) == words


def test_a_quiet_run_prints_its_result_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jaxsoil.cli import main

    monkeypatch.syspath_prepend(str(tmp_path))
    folder = toy_experiment.write(tmp_path)
    words = ["--exp", "toy", "--workdir", str(tmp_path / "run"), "--wandb", "disabled"]
    assert main(folder, [*words, "--quiet"]) == 0
    assert capsys.readouterr() == (f"Report: {tmp_path / 'run'}\n", "")
    assert main(folder, [*words, "--quiet"]) == 2  # an error is told all the same
    assert "--resume" in capsys.readouterr().err


def test_studies_print_and_draw_through_progress_alone() -> None:
    """So that --quiet silences them and nothing draws a second line."""
    for path in [*(ROOT / "jaxsoil" / "studies").rglob("*.py"), *(ROOT / "jaxsoil" / "training").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id in ("print", "tqdm")), f"{path}: {called.id}"
