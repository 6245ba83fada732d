"""What one GPU does with the published study, in one command of at most ten minutes: ``python benchmarks/gpu.py``.

Rates of the device (matrix product, copy); trial-steps a second of each network of region_out at the publication's size
(2,136 bands, 512 units, batch 75, 23,291 spectra, 17 regions x 4 seeds) in programs of several sizes, with compilation
and memory; what that makes of 204 trainings of 1,000 epochs, and which share of the floor of bandwidth it is; PyTorch
on the same GPU, one training after the other; and the scores of a small study at both precisions beside their seed
error.

Each part is a process of its own with a share of ``--seconds``; what a part has measured is kept when its time is over,
and is written at once to gpu.json and gpu.md. ``--smoke`` runs all of it on a CPU at a size that says nothing of speed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import tyro
from common import HERE
from gpu_worker import Setting
from problem import Problem

from jaxsoil.evaluation.results import standard_error
from jaxsoil.runs.files import write_json, write_text_atomic

PARTS: dict[str, tuple[float, dict[str, Any]]] = {
    "device": (0.5, {}),
    "engine, ann": (1.8, {}),
    "torch": (0.7, {}),
    "engine, physics": (1.1, {"network": "physics", "chunks": ()}),
    "engine, none": (1.1, {"network": "none", "chunks": ()}),
    "precision": (2.8, {}),
    "engine, ann, highest": (1.0, {"precision": "highest", "chunks": ()}),
}
"""Part -> its share of the time, and what its process is told beside the rest."""

NETWORKS = ("none", "ann", "physics")
"""The publication's; each is 68 of its 204 trainings."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured."""

    seconds: float = 540.0
    """Time for all parts together; each shrinks to its share."""
    parts: tuple[str, ...] = tuple(PARTS)
    """Parts, in their order."""
    smoke: bool = False
    """The smallest size, also on a CPU, to see that everything runs."""
    torch_python: str = sys.executable
    """Interpreter that has PyTorch with CUDA."""
    out: Path = Path("runs/gpu")
    """Folder of gpu.md and gpu.json."""


def setting(config: Config, part: str, seconds: float) -> Setting:
    """What the process of a part is told."""
    own = PARTS[part][1]
    if config.smoke:
        problem = Problem(bands=24, components=6, width=16, rows=160, batch=16, product=64)
        small: dict[str, Any] = {"regions": 2, "seeds": 2, "memory_gb": 1.0, "call_seconds": 0.02, "smoke": True}
        return Setting(problem, seconds, torch_python=config.torch_python, **{"chunks": (1,), **small, **own})
    return Setting(dataclasses.replace(Problem(), rows=23_291), seconds, torch_python=config.torch_python, **own)


def run(part: str, told: Setting, limit: float) -> dict[str, Any]:
    """Runs a part and returns what it left, with "cut" where its time was over before its end."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "part.json"
        words = [sys.executable, str(HERE / "gpu_worker.py"), part.partition(",")[0]]
        words += [json.dumps(dataclasses.asdict(told)), str(file)]
        began, note = time.monotonic(), {}
        # A session of its own: what the part has started ends with it.
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            status = process.wait(limit)
            note = {"cut": f"ended with status {status}"} if status else {}
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            note = {"cut": f"cut off after {limit:.0f} s"}
        found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found | note | {"part_seconds": round(time.monotonic() - began, 1)}


def best(found: dict[str, Any]) -> dict[str, Any] | None:
    """The fastest program of an engine's part with its rate; None where none was timed."""
    timed = [dict(one, rate=statistics.median(one["rates"])) for one in found.get("chunks", []) if one["rates"]]
    return max(timed, key=lambda one: one["rate"]) if timed else None


def summary(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the parts come to: minutes of the study, shares of the floor, ratios to PyTorch; what is not known is None.

    ``study_minutes``: of 204 trainings, where all networks were timed. ``share``: of the bandwidth floor, the bytes of
    parameters, moments and gradients of a trial-step at the rate of a copy.
    """
    copy = found.get("device", {}).get("rates", {}).get("default", {}).get("bytes")
    networks: dict[str, Any] = {}
    for name in NETWORKS:
        one = found.get(f"engine, {name}", {})
        fast = best(one)
        if fast is not None:
            share = fast["rate"] * one["step_bytes"] / copy if copy else None
            minutes = one["trial_steps"] / fast["rate"] / 60.0
            floor = one["trial_steps"] * one["step_bytes"] / copy / 60.0 if copy else None
            networks[name] = {"rate": fast["rate"], "size": fast["size"], "minutes": minutes, "floor_minutes": floor}
            networks[name]["share"] = share
    loops = found.get("torch", {}).get("loops", {})
    ann = networks.get("ann", {}).get("rate")
    ratios = {
        name: ann / statistics.median(one["steps_per_second"])
        for name, one in loops.items()
        if ann and one["steps_per_second"]
    }
    whole = sum(one["minutes"] for one in networks.values()) if len(networks) == len(NETWORKS) else None
    return {"networks": networks, "study_minutes": whole, "torch": ratios, "precision": agreement(found)}


def agreement(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores at both precisions: means over seeds, their difference, and its standard error over seeds."""
    scores = found.get("precision", {}).get("scores", {})
    if set(scores) != {"highest", "default"}:
        return []
    values: dict[tuple[str, str], dict[str, list[float]]] = {}
    for name, one in scores.items():
        for row in one["rows"]:
            values.setdefault((row["model"], row["metric"]), {}).setdefault(name, []).append(float(row["value"]))
    lines = []
    for (model, metric), both in values.items():
        high, low = both["highest"], both["default"]
        # Trainings at the two precisions part after some steps: their seeds are no pairs.
        error = (standard_error(high) ** 2 + standard_error(low) ** 2) ** 0.5
        difference = statistics.mean(low) - statistics.mean(high)
        agrees = bool(abs(difference) <= 2.0 * error) if len(high) > 1 else None
        lines.append(
            {"model": model, "metric": metric, "highest": statistics.mean(high), "default": statistics.mean(low),
             "difference": difference, "se": error, "seeds": len(high), "agrees": agrees}
        )  # fmt: skip
    return lines


def markdown(found: dict[str, dict[str, Any]], smoke: bool) -> str:
    """The report: what was measured, and what was not with the reason."""
    device, said = found.get("device", {}), summary(found)
    lines = [f"{device.get('device', 'unknown device')}, {date.today().isoformat()}, JAX {device.get('jax', '?')}"]
    lines[0] += f", {device.get('driver')}" if device.get("driver") else ""
    lines += ["", "**Smoke run: no figure here says anything of speed.**"] if smoke else []
    for precision, one in device.get("rates", {}).items():
        rate = f"{one['operations'] / 1e12:,.1f} TFLOP/s (float32 product of {one['side']:,d}), "
        lines += ["", f"Precision '{precision}': {rate}{one['bytes'] / 1e12:.3g} TB/s (scaled copy)"]
    lines += ["", *_engine_lines(found), "", *_study_lines(said, found), "", *_precision_lines(said)]
    for name, one in found.items():
        left = [one[key] for key in ("cut", "left_out") if key in one]
        lines += [f"- {name}: {', '.join(left)}"] if left else []
    return "\n".join(lines) + "\n"


def _engine_lines(found: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["| network | precision | trials in a program | trial-steps/s | compiled, s | peak memory, GB | by XLA |"]
    lines.append("|---|---|---:|---:|---:|---:|---|")
    for one in found.values():
        for chunk in one.get("chunks", []):
            size = f"{chunk['size']}{' (chosen)' if chunk['size'] == one['chosen'] else ''}"
            rates = chunk["rates"]
            rate = f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})" if rates else "-"
            peak = f"{chunk['peak'] / 1e9:.2f}" if chunk["peak"] else "-"
            cells = one["network"], one["precision"], size, rate, f"{chunk['compile_s']:.1f}", peak, chunk["xla"]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _study_lines(said: dict[str, Any], found: dict[str, dict[str, Any]]) -> list[str]:
    lines = ["| network | trials in a program | minutes of all its epochs | floor of bandwidth, minutes | share |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, one in said["networks"].items():
        floor = f"{one['floor_minutes']:.1f} | {100 * one['share']:.0f} %" if one["share"] is not None else "- | -"
        lines.append(f"| {name} | {one['size']} | {one['minutes']:.1f} | {floor} |")
    whole = said["study_minutes"]
    text = "not known: not every network was timed" if whole is None else f"{whole:.1f} minutes"
    lines += ["", f"The whole study, evaluation and compilation left out: {text} (aim: under 40)."]
    for name, ratio in said["torch"].items():
        steps = statistics.median(found["torch"]["loops"][name]["steps_per_second"])
        lines.append(f"The ann network beside {name} ({steps:,.0f} steps/s): {ratio:.1f} times (aim: 30).")
    return lines


def _precision_lines(said: dict[str, Any]) -> list[str]:
    if not said["precision"]:
        return []
    lines = ["Scores of log10 SOC, means over held-out regions, at both precisions:", ""]
    lines += ["| model | metric | highest | default | difference ± its standard error over seeds | seeds | agrees |"]
    lines.append("|---|---|---:|---:|---:|---:|---|")
    words = {True: "yes", False: "no", None: "one seed: no error"}
    for one in said["precision"]:
        change = f"{one['difference']:+.4f} ± {one['se']:.4f}"
        cells = one["model"], one["metric"], f"{one['highest']:.4f}", f"{one['default']:.4f}", change
        lines.append(f"| {' | '.join(cells)} | {one['seeds']} | {words[one['agrees']]} |")
    return lines


def main(config: Config) -> None:
    """Measures, prints and writes."""
    unknown = sorted(set(config.parts) - set(PARTS))
    if unknown:
        raise SystemExit(f"Unknown parts: {', '.join(unknown)}. There are: {'; '.join(PARTS)}.")
    until, found = time.monotonic() + config.seconds, dict[str, dict[str, Any]]()
    for place, part in enumerate(config.parts):
        weights = [PARTS[name][0] for name in config.parts[place:]]
        limit = max((until - time.monotonic()) * weights[0] / sum(weights), 1.0)
        print(f"{part}: at most {limit:.0f} s ...", flush=True)
        # A part ends itself a little earlier, so that its last measurement is whole.
        found[part] = run(part, setting(config, part, 0.8 * limit), limit)
        _write(config, found)
        if found[part].get("platform") == "cpu" and not config.smoke:
            raise SystemExit("JAX sees no GPU here: figures of a GPU come from a GPU. --smoke tries the script.")
    print(markdown(found, config.smoke))


def _write(config: Config, found: dict[str, dict[str, Any]]) -> None:
    config.out.mkdir(parents=True, exist_ok=True)
    said: Sequence[tuple[str, Any]] = (("smoke", config.smoke), ("summary", summary(found)), ("parts", found))
    write_json(config.out / "gpu.json", dict(said))
    write_text_atomic(config.out / "gpu.md", markdown(found, config.smoke))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
