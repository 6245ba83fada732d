"""Golden files: a few numbers of a smoke run, the platform that made them, and how they are compared.

Each file is a table as numbers_of_runs.py makes it, with one column more: ``elsewhere``, the relative difference
that is allowed on other platforms. Its first line states the platform that made it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numbers_of_runs import COLUMNS

FOLDER = Path(__file__).resolve().parents[1] / "golden"
HERE = 1e-6
"""Relative difference allowed on the platform that made a file: room for the digits that tables keep."""
ELSEWHERE = 0.06
"""Least relative difference allowed on another platform: from an EPYC to a Xeon networks moved by up to 0.035."""
FORESTS_ELSEWHERE = 0.3
"""The same for forests of measured data: a spectrum that rounds to the other side of a split moved a bias by 0.07."""
SAFETY = 5.0
"""Another platform may differ this many times more than the compiler's two levels of optimisation do."""
NOT_COMPARED = 0.5
"""From this tolerance on a number is chaotic: elsewhere it must only be there and finite."""
ROWS = 18
"""Numbers of a file."""


@dataclasses.dataclass(frozen=True)
class Golden:
    """What one file holds: ``platform``, and ``rows`` with ``COLUMNS``, value and elsewhere."""

    platform: dict[str, Any]
    rows: pd.DataFrame


def path_of(experiment: str, data: str) -> Path:
    """The file of a run."""
    return FOLDER / f"{experiment}-{data}.csv"


def read(path: Path) -> Golden:
    """Reads a file."""
    first, _, table = path.read_text("utf-8").partition("\n")
    rows = pd.read_csv(io.StringIO(table), dtype=str, keep_default_na=False)
    numbers = {name: rows[name].astype(float) for name in ("value", "elsewhere")}
    return Golden(json.loads(first.removeprefix("# ")), rows.assign(**numbers))


def write(path: Path, golden: Golden) -> None:
    """Writes a file."""
    table = golden.rows.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    path.write_text(f"# {json.dumps(golden.platform)}\n{table}", "utf-8")


def platform_of(folder: Path, flags: str) -> dict[str, Any]:
    """What numbers depend on besides the code, from the run's own record; ``flags``: of XLA."""
    record = json.loads((folder / "env.json").read_text("utf-8"))
    versions = {name: record["versions"].get(name) for name in ("jax", "jaxlib", "numpy", "scipy", "scikit-learn")}
    data = json.loads((folder / "data.json").read_text("utf-8"))
    return {
        "minerals": (data.get("minerals") or {}).get("source", ""),
        "machine": platform.machine(),
        "processor": record["processor"],
        "instructions": _instructions(),
        "cores": record["cores"],
        "python": record["python"].rpartition(".")[0],
        **versions,
        "xla_flags": flags,
    }


def _instructions() -> str:
    """Vector instructions of the processor: kinds that share a name may differ in them."""
    known = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "asimd", "sve")
    try:
        found = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:
        return ""
    return " ".join(name for name in known if name in found)


def chosen(frame: pd.DataFrame, tolerance: pd.Series, number: int = ROWS) -> pd.DataFrame:
    """Rows that cover models, properties, splits, scales and metrics with the fewest repeats.

    Numbers near zero are left out, as their relative difference says nothing.
    """
    typical: Any = frame["value"].abs().groupby([frame["metric"], frame["scale"]]).transform("median")
    frame = frame.loc[(frame["value"].abs() > 0.1 * typical) & ~frame["metric"].str.startswith("n")]
    pairs = [(first, second) for first in COLUMNS for second in COLUMNS if first <= second]
    cells = {
        row: {(a, b, at[a], at[b]) for a, b in pairs}
        for row, at in pd.DataFrame(frame[[*COLUMNS]]).to_dict("index").items()
    }
    seen: set[Any] = set()
    taken: list[Any] = []
    while len(taken) < min(number, len(cells)):
        # Of rows that add the same, the steadier one.
        best = max(
            (row for row in cells if row not in taken), key=lambda row: (len(cells[row] - seen), -tolerance[row])
        )
        seen |= cells[best]
        taken.append(best)
    return frame.loc[sorted(taken)].assign(elsewhere=tolerance[sorted(taken)])


def steadiness(frame: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    """Tolerance of each row elsewhere, from how far all numbers of its model move in ``other``, a run of the same
    study whose programs were optimised differently."""
    both = frame.merge(other, on=[*COLUMNS], how="left", suffixes=("", "_other"))
    moved = ((both["value_other"] - both["value"]).abs() / both["value"].abs()).where(both["value"] != 0.0, 0.0)
    typical: Any = both["value"].abs().groupby([both["metric"], both["scale"]]).transform("median")
    moved = moved.where(both["value"].abs() > 0.1 * typical, 0.0)
    worst: Any = (SAFETY * moved).groupby(both["model"]).transform("max").clip(lower=ELSEWHERE)
    worst.index = frame.index
    return worst.where(worst < NOT_COMPARED, np.inf)


def differences(golden: Golden, found: pd.DataFrame, here: dict[str, Any], measured: bool = False) -> list[str]:
    """Compares ``found``, the numbers of a run made on ``here``, with a file; one line for each that differs.

    On another platform networks of ``measured`` data must only be there: rounding decides when they stop, and from an
    EPYC to a Xeon their scores on held-out regions moved by half and more.
    """
    own = here == golden.platform
    joined = golden.rows.merge(found, on=[*COLUMNS], how="left", suffixes=("", "_found"))
    lines = []
    for row in joined.to_dict("records"):
        what = " ".join(f"{name}={row[name]}" for name in COLUMNS if row[name])
        steady = re.search("plsr|forest|^rf", row["model"], re.IGNORECASE)
        least = FORESTS_ELSEWHERE if measured and steady and "plsr" not in steady.group().lower() else ELSEWHERE
        allowed = HERE if own else np.inf if measured and not steady else max(row["elsewhere"], least)
        gap = abs(row["value_found"] - row["value"]) / abs(row["value"])
        if not np.isfinite(gap):
            lines.append(f"  {what}: {row['value']:.8g} is missing")
        elif gap > allowed:
            lines.append(f"  {what}: {row['value']:.8g} became {row['value_found']:.8g} ({gap:.1e} > {allowed:.1e})")
    return lines
