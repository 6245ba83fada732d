"""SIGTERM: what is done at once, what is waited for, and the end that comes in any case."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jaxsoil.runs import stop
from jaxsoil.runs.pieces import Piece, Pieces


@pytest.fixture
def spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process goes on after the grace."""
    monkeypatch.setattr(stop, "_cut_off", lambda: None)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_outside_of_trainings_the_run_is_left_at_once(spared: None) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(stop.Terminated), stop.caught():
        terminate()
        raise AssertionError("it went on")
    assert signal.getsignal(signal.SIGTERM) is before
    assert not stop.asked() and not stop._listening


def test_a_training_sees_for_itself_and_no_piece_is_begun(spared: None, tmp_path: Path) -> None:
    pieces = Pieces(tmp_path)
    with pytest.raises(stop.Terminated), stop.caught():
        with stop.in_training():
            terminate()
            assert stop.asked()
        pieces.get("next", lambda: Piece())
    assert not pieces.exists("next")
    assert pieces.get("next", lambda: Piece(facts={"made": True})).facts == {"made": True}


def test_calls_take_about_as_long_as_they_may() -> None:
    assert stop.Pace().most == sys.maxsize
    with stop.caught():
        pace = stop.Pace()
        assert pace.most == 1
        with pace.timed(5):
            pass
        assert pace.most > 1000


# The second never comes back from the library that it calls, so that Python never calls its handler.
@pytest.mark.parametrize("endless", ["threading.Event().wait()", "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)"])
def test_what_does_not_end_is_cut_off(endless: str) -> None:
    code = f"""
import hashlib, os, signal, threading
from jaxsoil.runs import stop
stop.GRACE = 0.2
with stop.caught(), stop.in_training():
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    {endless}
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == stop.STATUS == 143
    assert "--resume goes on" in done.stderr
