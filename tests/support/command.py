"""The command line, as tests run it: within this process, or as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
XLA_FLAGS = "--xla_backend_optimization_level=0"
"""Of tests, which compile much and compute little: without LLVM's optimisations they take less than half the time."""


def run_here(*arguments: str) -> int:
    """Runs the command line in this process, which has JAX and compiled programs already; returns its exit status."""
    from jaxsoil.cli import main

    return main(EXPERIMENTS, list(arguments))


def start(*arguments: str) -> subprocess.Popen[str]:
    """Starts the real command.

    A user's JAX is neither strict nor type-checked, so the command runs without these settings of the tests.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_NUMPY")}
    return subprocess.Popen(
        [sys.executable, str(EXPERIMENTS / "run.py"), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def run_apart(*arguments: str, timeout: float = 400.0) -> subprocess.CompletedProcess[str]:
    """Runs the real command to its end, in a process of its own."""
    process = start(*arguments)
    try:
        printed, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, printed, errors)
