"""The command ``jaxsoil serve``: what it refuses before it listens, and that it stops when it is told to."""

from __future__ import annotations

import builtins
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from small_bundle import small_bundle

from jaxsoil.cli import console

for needed in ("starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(needed, reason="the page is optional: pip install 'jaxsoil[web]'")


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert console(["serve", *words]) == 2
    return capsys.readouterr().err


def test_a_port_in_use_is_named_with_another(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(capsys, str(tmp_path), "--port", str(port))
    assert f"Port {port} at 127.0.0.1 is in use" in said and "--port 0" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--port", "0"), "there is no bundle here"),
        (("--port", "70000"), "up to 65535"),
        (("--host", "no.such.host.invalid"), "there is no such address"),
        (("--host", "192.0.2.1", "--port", "0"), "no address of this machine"),  # kept for documentation, RFC 5737
    ],
)
def test_what_cannot_be_served_says_what_to_do(
    words: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert message in refused(capsys, str(tmp_path), *words)


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "python_multipart"])
def test_without_the_extra_the_command_names_it(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=missing)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    said = refused(capsys, str(tmp_path))
    assert "pip install 'jaxsoil[web]'" in said and missing in said


def test_it_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    folder = small_bundle(twin=True).save(tmp_path / "bundle")
    command = [sys.executable, "-m", "jaxsoil.cli", "serve", str(folder), "--port", "0"]
    started = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line.startswith("Bundle small: http://127.0.0.1:"), line
        with urllib.request.urlopen(line.split()[2], timeout=60) as page:
            assert b"Predict spectra" in page.read()
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=60)
    finally:
        started.kill()
    assert started.returncode == 0 and "synthetic soils" in errors and "Traceback" not in errors
