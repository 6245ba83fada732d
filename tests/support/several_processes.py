"""Processes of one run, on this host: where they meet, and their ends."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence


def free_address() -> str:
    """An address of this host with a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def ended(running: Sequence[subprocess.Popen[str]], seconds: float) -> list[tuple[int, str, str]]:
    """Of each process its exit status and what it printed, errors apart; after ``seconds`` all are killed."""
    try:
        said = [process.communicate(timeout=seconds) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    return [(process.returncode, *texts) for process, texts in zip(running, said, strict=True)]
