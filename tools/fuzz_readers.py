"""Reads damaged instrument files and bundles: each must end in a reading or in a DataError, within time and memory.

    python tools/fuzz_readers.py --n 10000 --seed 0

Files of every format are made, damaged (flipped bits, cuts, splices, NULs, huge numbers) and read in a child process
whose memory and time are limited; a child that dies or hangs is counted and replaced. Exit status 1 if any file ended
otherwise. A further format is one more entry of ``FORMATS``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.instrument_files import MAKERS  # noqa: E402

SECONDS = 10
"""Processor time; a file that takes longer counts as hung, as does one that is silent for six times as long."""

MEMORY = 1 << 30
"""Bytes of address space beyond what the libraries take."""

OUTCOMES = ("read", "documented error", "memory error", "other")


class Format(NamedTuple):
    """A format to be fuzzed.

    Args:
      name: for the table.
      make: generator -> files of one valid example (name -> content).
      read: reads the folder that holds them; DataError is the documented way to fail.
    """

    name: str
    make: Callable[[np.random.Generator], dict[str, bytes]]
    read: Callable[[Path], Any]


class OvertimeError(BaseException):
    """Not an Exception, so that no reader turns it into a DataError."""


def read_instrument(folder: Path) -> Any:
    """Reads the one file of the folder (the header of two), with unit and quantity where it says neither."""
    from jaxsoil.data.readers import instruments
    from jaxsoil.runs.errors import DataError

    path = next((path for path in folder.iterdir() if path.suffix == ".hdr"), None) or next(folder.iterdir())
    try:
        return instruments.read(path)
    except DataError as error:
        if "does not say" not in error.problem:
            raise
        return instruments.read(path, unit="nm", quantity="reflectance")


def make_bundle(rng: np.random.Generator) -> dict[str, bytes]:
    """A bundle of one linear model of 24 bands."""
    from jaxsoil.bundle.bundle import Bundle, Model, Target
    from jaxsoil.bundle.predictors import Linear
    from jaxsoil.evaluation.domain import Domain
    from jaxsoil.evaluation.shift import Calibration

    axis, rows = np.linspace(1400.0, 2400.0, 24), 40
    x, y = rng.normal(size=(rows, axis.size)), rng.uniform(0.5, 5.0, rows)
    domain = Domain.fit(x, np.arange(rows).astype(str))
    regions = np.array([f"r{row % 4}" for row in range(rows)])
    found = Calibration.of(y, y * rng.uniform(0.8, 1.2, rows), regions, domain.space.scores(x))
    linear = Linear(rng.normal(size=(axis.size, 1)), np.array([0.2]), ("log10",))
    model = Model(linear, ("absorbance", "snv"), (Target.of("soc", "%", y),), {"soc": found})
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        said = ({"name": "drawn"}, {"command": "none"})
        made = Bundle("b", axis, "nm", "reflectance", {"m": model}, "m", domain, *said, True).save(f"{folder}/b")
        return {path.name: path.read_bytes() for path in made.iterdir() if path.suffix != ".md"}


def read_bundle(folder: Path) -> Any:
    """Loads a bundle and predicts; in half of the files the checksums are made to hold first, as a forger would."""
    import hashlib

    from jaxsoil.bundle.bundle import ARRAYS, FACTS, Bundle, checksum
    from jaxsoil.bundle.predict import predict
    from jaxsoil.spectra.container import Spectra

    content = (folder / FACTS).read_bytes()
    if (len(content) + (folder / ARRAYS).stat().st_size) % 2:
        try:
            facts = json.loads(content)
            facts.pop("sha256", None)
            facts["arrays_sha256"] = hashlib.sha256((folder / ARRAYS).read_bytes()).hexdigest()
            (folder / FACTS).write_text(json.dumps(facts | {"sha256": checksum(facts)}), "utf-8")
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass  # no JSON object any more: read as it is
    spectra = Spectra(np.linspace(0.2, 0.5, 60).reshape(2, 30), np.linspace(1350.0, 2450.0, 30), "nm", "reflectance")
    return predict(Bundle.load(folder), spectra)


FORMATS = [Format(name, make, read_instrument) for name, make in MAKERS.items()]
FORMATS.append(Format("bundle", make_bundle, read_bundle))


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Returns the content with one or two kinds of damage."""
    for _ in range(int(rng.integers(1, 3))):
        content = _DAMAGES[int(rng.integers(len(_DAMAGES)))](content, rng)
    return content


def _flip(content: bytes, rng: np.random.Generator) -> bytes:
    if not content:
        return content
    array = bytearray(content)
    # Half of the time within the header, where a bit tells most.
    end = len(array) if rng.random() < 0.5 else min(len(array), 600)
    for at in rng.integers(0, end, int(rng.integers(1, 9))):
        array[at] ^= 1 << int(rng.integers(8))
    return bytes(array)


def _cut(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: int(rng.integers(0, len(content) + 1))]


def _splice(content: bytes, rng: np.random.Generator) -> bytes:
    start, end, at = sorted(rng.integers(0, len(content) + 1, 3).tolist())
    return (
        content[:start] + content[end:at] + content[start:] if rng.random() < 0.5 else content[:start] + content[end:]
    )


def _nul(content: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(content) + 1))
    return content[:at] + bytes(int(rng.integers(1, 64))) + content[at:]


def _huge(content: bytes, rng: np.random.Generator) -> bytes:
    numbers = list(re.finditer(rb"\d+", content[:4000]))
    if numbers and rng.random() < 0.5:
        chosen = numbers[int(rng.integers(len(numbers)))]
        text = [b"99999999999", b"-1", b"1e308", b"0", b"2147483647"][int(rng.integers(5))]
        return content[: chosen.start()] + text + content[chosen.end() :]
    at = int(rng.integers(0, max(min(len(content), 600) - 8, 1)))
    what = [b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\xff\xff"][
        int(rng.integers(5))
    ]
    return content[:at] + what + content[at + len(what) :]


_DAMAGES = (_flip, _cut, _splice, _nul, _huge)


def outcome(number: int, seed: int, formats: list[Format]) -> tuple[str, str]:
    """Makes, damages and reads one file; returns its outcome and what is to be known of it."""
    from jaxsoil.runs.errors import DataError

    form = formats[number % len(formats)]
    rng = np.random.default_rng([seed, number])
    files = form.make(rng)
    chosen = list(files)[int(rng.integers(len(files)))]
    files[chosen] = damage(files[chosen], rng)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            form.read(Path(folder))
        except DataError as error:
            return ("memory error" if isinstance(error.__cause__, MemoryError) else "documented error"), error.problem
        except OvertimeError:
            return "other", f"more than {SECONDS} s of processor time"
        except BaseException as error:
            return "other", f"{type(error).__name__}: {error}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    return "read", ""


def child(first: int, n: int, seed: int, formats: list[Format]) -> None:
    """Reads the files ``first`` to ``n`` within limits and prints a line for each."""

    def ring(*_: object) -> None:
        raise OvertimeError

    signal.signal(signal.SIGPROF, ring)
    for form in formats:  # loads every library before the limit is set
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            for name, content in form.make(np.random.default_rng(0)).items():
                Path(folder, name).write_bytes(content)
            form.read(Path(folder))
    taken = int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    for number in range(first, n):
        print(json.dumps([number, *outcome(number, seed, formats)]), flush=True)


def run(n: int, seed: int, log: Path | None = None) -> dict[str, Counter[str]]:
    """Returns the outcomes by format; every file that ended otherwise is written to ``log``."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    lines: list[str] = []
    done = 0
    while done < n:
        command = [
            sys.executable,
            str(Path(__file__).resolve()),
            "--child",
            str(done),
            "--n",
            str(n),
            "--seed",
            str(seed),
        ]
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, cwd=ROOT
            ) as process,
        ):
            started = done
            for line in _lines(process, 6 * SECONDS):
                number, what, detail = json.loads(line)
                counts[FORMATS[number % len(FORMATS)].name][what] += 1
                lines.append(f"{number} {FORMATS[number % len(FORMATS)].name} {what} {detail}")
                done = number + 1
            process.kill()
            status = process.wait()
            if done < n:
                errors.seek(0)
                said = errors.read().decode("utf-8", "replace")[-2000:]
                if done == started and status == 1:
                    raise RuntimeError(f"the child does not start:\n{said}")
                counts[FORMATS[done % len(FORMATS)].name]["other"] += 1
                lines.append(f"{done} {FORMATS[done % len(FORMATS)].name} other child ended with {status} {said}")
                done += 1
    if log is not None:
        log.write_text("\n".join(lines) + "\n", "utf-8")
    return dict(counts)


def _lines(process: subprocess.Popen[bytes], patience: float) -> Any:
    """Yields what the child prints, until it ends or is silent for ``patience`` seconds."""
    assert process.stdout is not None
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(patience):
            block = os.read(process.stdout.fileno(), 1 << 16)
            if not block:
                return
            *whole, pending = (pending + block).split(b"\n")
            yield from whole


def table(counts: dict[str, Counter[str]]) -> str:
    """Returns the outcomes by format as text."""
    rows = [["format", *OUTCOMES], *([name, *(str(one[what]) for what in OUTCOMES)] for name, one in counts.items())]
    total: Counter[str] = sum(counts.values(), Counter())
    rows.append(["all", *(str(total[what]) for what in OUTCOMES)])
    return "\n".join(
        "  ".join(cell.rjust(16) if place else cell.ljust(10) for place, cell in enumerate(row)) for row in rows
    )


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--n", type=int, default=10_000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=Path("fuzz_readers.log"))
    parser.add_argument("--child", type=int, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        child(arguments.child, arguments.n, arguments.seed, FORMATS)
        return 0
    began = time.perf_counter()
    counts = run(arguments.n, arguments.seed, arguments.log)
    print(table(counts))
    print(f"{arguments.n} files, seed {arguments.seed}, {time.perf_counter() - began:.0f} s; log: {arguments.log}")
    return int(any(one["other"] for one in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
