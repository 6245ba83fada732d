"""What every test may use: the measured data, processes with several devices, and strict JAX.

Settings travel by environment variable: JAX is imported only by the tests that need it, and processes that
tests start obey them too.
"""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import hypothesis
import jaxtyping
import pytest
from command import XLA_FLAGS

ROOT = Path(__file__).resolve().parents[1]
NO_DATA = "no measured data"

# Silent broadcasting of a vector against a matrix and silent widening of dtypes hide mistakes in array code.
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
# Tests and the processes they start compile many of the same programs: each is compiled once. The workers of
# pytest-xdist inherit the controller's folder.
CACHE_MADE_HERE: str | None = None
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    CACHE_MADE_HERE = tempfile.mkdtemp(prefix="jaxsoil-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = CACHE_MADE_HERE
# Small programs too: writing them took no measurable time, and whoever finds them takes less than half the time.
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
# Smoke runs that tests share (support/smoke_runs.py).
RUNS_MADE_HERE: str | None = None
if "JAXSOIL_TEST_RUNS" not in os.environ:
    RUNS_MADE_HERE = tempfile.mkdtemp(prefix="jaxsoil-runs-")
    os.environ["JAXSOIL_TEST_RUNS"] = RUNS_MADE_HERE
os.environ["MPLBACKEND"] = "Agg"
os.environ["WANDB_MODE"] = "disabled"
if "JAXSOIL_DATA" not in os.environ and (ROOT.parent / "shared" / "data").is_dir():
    os.environ["JAXSOIL_DATA"] = str(ROOT.parent / "shared" / "data")

# Tracing makes objects by the hundred thousand, few of them garbage: by default they are searched every 700 objects,
# which took a tenth of the tests' time.
gc.set_threshold(20_000, 20, 50)

# Shapes and types in signatures are checked on every call; must precede the first import of the package.
jaxtyping.install_import_hook("jaxsoil", "runtime_types.check")

# The same examples in every run, and no deadline: the first example pays for compilation.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None, max_examples=50, database=None)
hypothesis.settings.load_profile("steady")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of measured data; a test that asks for it is skipped where there is none."""
    where = os.environ.get("JAXSOIL_DATA")
    if not where:
        pytest.skip(f"{NO_DATA}: JAXSOIL_DATA is not set")
    if not Path(where).is_dir():
        pytest.skip(f"{NO_DATA}: JAXSOIL_DATA={where} is not a folder")
    return Path(where)


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """``benchmark_module(name)`` imports a file of benchmarks/, whose files import one another by name."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


@pytest.fixture(scope="session")
def run_with_devices() -> Callable[..., str]:
    """``run(code, n=8)`` runs Python code in a process with ``n`` CPU devices and returns what it prints.

    The number of devices is fixed when JAX starts, hence the process of its own.
    """

    def run(code: str, n: int = 8, *, timeout: float = 300.0) -> str:
        environment = os.environ | {
            # At level 0 the rounding that a split batch changes grows past what is compared; at 1 it does not, and
            # programs compile in two thirds of the time that the default takes.
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={n} --xla_backend_optimization_level=1",
            "JAX_PLATFORMS": "cpu",
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def pytest_unconfigure() -> None:
    """Removes compiled programs and shared runs; only the process that made the folders does, after its workers."""
    for folder in (CACHE_MADE_HERE, RUNS_MADE_HERE):
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_finish() -> None:
    """What is imported stays, and is not searched for garbage."""
    gc.collect()
    gc.freeze()


def starts_studies(path: Path) -> bool:
    """Whether a file of tests runs whole studies or processes with several devices: minutes, with few tests."""
    text = path.read_text("utf-8")
    return "subprocess" in text or "run_with_devices" in text or "smoke_run" in text or "killed_run" in text


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts files that take minutes first: one of them, begun last, would keep one process busy and the rest idle."""
    late = {path: not starts_studies(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: late[item.path])


def count_without_data(skipped: Iterable[pytest.TestReport]) -> int:
    """Counts the skipped tests that asked for measured data."""
    return sum(NO_DATA in str(report.longrepr) for report in skipped)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Ends the run with the line that .ci/run reads."""
    skipped = count_without_data(terminalreporter.stats.get("skipped", []))
    terminalreporter.write_line(f"data-dependent tests skipped: {skipped}")
