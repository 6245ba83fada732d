"""Stores the numbers of a smoke run anew: ``python tests/golden/renew.py --exp region_out``.

Only where a change is meant to change results, and after looking at what changed. ``--data`` names a measured set;
without it the numbers on the twin are renewed. The study runs twice, with the compiler's optimisation of the tests
and with its own: the difference tells how far numbers may lie apart on another platform.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import golden_files  # noqa: E402
from command import EXPERIMENTS, XLA_FLAGS  # noqa: E402
from golden_runs import MEASURED  # noqa: E402
from numbers_of_runs import numbers  # noqa: E402
from smoke_runs import TWINS, arguments  # noqa: E402


def made(experiment: str, data: str, flags: str, folder: Path) -> Path:
    """Runs the experiment at its smoke size."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment |= {"XLA_FLAGS": flags} if flags else {}
    words = arguments(experiment, data, *MEASURED.get((experiment, data), ()))
    command = [sys.executable, str(EXPERIMENTS / "run.py"), *words, "--workdir", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env=environment | {"MPLBACKEND": "Agg"})
    return folder


def main() -> None:
    """Makes or takes the runs and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exp", required=True, choices=sorted(TWINS))
    parser.add_argument("--data", help="the twin if not given")
    parser.add_argument("--run", type=Path, help="a finished run instead of a new one")
    parser.add_argument("--other", type=Path, help="a finished run at the compiler's other setting")
    options = parser.parse_args()
    data = options.data or TWINS[options.exp]
    own, other = (XLA_FLAGS, "") if data == TWINS[options.exp] else ("", XLA_FLAGS)
    with tempfile.TemporaryDirectory() as folder:
        run = options.run or made(options.exp, data, own, Path(folder) / "run")
        apart = options.other or made(options.exp, data, other, Path(folder) / "other")
        found = numbers(options.exp, run)
        tolerance = golden_files.steadiness(found, numbers(options.exp, apart))
        here = golden_files.platform_of(run, own)
    path = golden_files.path_of(options.exp, data)
    if path.exists():
        before = golden_files.read(path)
        print("\n".join(golden_files.differences(before, found, before.platform)) or "  no number differs")
    golden_files.write(path, golden_files.Golden(here, golden_files.chosen(found, tolerance)))
    print(path)


if __name__ == "__main__":
    main()
