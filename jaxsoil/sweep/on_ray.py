"""Points of a sweep as tasks of a Ray cluster: a lost node's points run elsewhere, a lost cluster ends in an error.

Ray ends the process of a driver that has lost its cluster, so the driver is a process of its own: this one sends it the
points as text, reads what became of them, and stops waiting when it falls silent. The sweep's folder must be seen by
every node.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from jaxsoil.runs import lock
from jaxsoil.runs.errors import UsageError
from jaxsoil.sweep.execute import FAILED, FINISHED, Job, run_job, status

LINE = "jaxsoil-sweep "
"""Begins the lines of the driver that are meant for the parent; Ray prints others."""
_STEP = 2.0
"""Seconds between two looks at the cluster."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where points run, and how long is waited.

    Args:
      address: of the cluster; None: RAY_ADDRESS, else a new cluster on this machine.
      cpus, gpus: of each point.
      retries: attempts of a point after the node or the process under it was lost.
      asha: stop points early (:mod:`jaxsoil.sweep.asha`).
      wait: seconds without a node that could run a point, or without an answer, before the cluster counts as lost.
    """

    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 3
    wait: float = 120.0
    asha: bool = False


def require() -> None:
    """Raises UsageError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--launcher ray needs Ray: pip install 'jaxsoil[ray]', or leave the option out.")


def launch(jobs: Sequence[Job], told: Callable[[Job, dict[str, Any]], None], settings: Settings) -> str:
    """Runs points on a cluster; as :data:`jaxsoil.sweep.sweep.Launch`."""
    # A point that a lost node has begun is locked until its lock counts as left behind.
    sent = [dataclasses.asdict(job) | {"wait": lock.SILENT + 4 * lock.BEAT} for job in jobs]
    by_name = {job.name: job for job in jobs}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        command = [sys.executable, "-m", "jaxsoil.sweep.on_ray"]
        driver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert driver.stdin is not None
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(driver.stdout, lines), daemon=True).start()
        try:
            with contextlib.suppress(BrokenPipeError):
                driver.stdin.write(json.dumps({"settings": dataclasses.asdict(settings), "jobs": sent}))
                driver.stdin.close()
            stopped = _listen(lines, by_name, told, settings)
        finally:
            driver.kill() if driver.poll() is None and not _ended(driver) else None
            driver.wait()
        if stopped is None:
            errors.seek(0)
            last = [line for line in errors.read().splitlines() if line.strip()][-1:]
            stopped = f"The Ray cluster went away (the driver ended with status {driver.returncode})"
            stopped += f": {last[0][:200]}." if last else "."
    if stopped:
        # What the workers recorded before they were lost, and the driver could not say any more.
        for job in by_name.values():
            if status(job).get("status") == FINISHED:
                told(job, status(job))
    return stopped


def _ended(driver: subprocess.Popen[str]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        driver.wait(10.0)
        return True
    return False


def _read(stream: Any, lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _listen(
    lines: queue.Queue[str | None], jobs: dict[str, Job], told: Callable[[Job, dict[str, Any]], None],
    settings: Settings,
) -> str | None:  # fmt: skip
    """Follows the driver to its end; returns why it stopped early ("": it did not), None where it does not say."""
    patience = settings.wait + 60.0  # The start of Ray and of its connection takes some of it.
    while True:
        try:
            line = lines.get(timeout=patience)
        except queue.Empty:
            return f"The Ray cluster has not answered for {patience:.0f} s."
        if line is None:
            return None
        if not line.startswith(LINE):
            continue
        said = json.loads(line.removeprefix(LINE))
        if "point" in said:
            told(jobs.pop(said["point"]), said["record"])
        elif "end" in said:
            return said["end"]


def _say(**content: Any) -> None:
    print(f"{LINE}{json.dumps(content)}", flush=True)


def _drive(settings: Settings, jobs: Sequence[Job]) -> str:
    """Runs the points as tasks and says what became of each; returns why it stopped early, or ""."""
    import ray  # pyright: ignore[reportMissingImports]

    try:
        ray.init(address=settings.address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        return f"There is no Ray cluster at {settings.address or 'RAY_ADDRESS'} ({error})."
    if settings.asha:
        return _early(ray, settings, jobs)
    task = ray.remote(run_job).options(
        num_cpus=settings.cpus, num_gpus=settings.gpus, max_retries=settings.retries, name="jaxsoil point"
    )
    waiting = {task.remote(job): job for job in jobs}
    able = time.monotonic()
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=1, timeout=_STEP)
        for reference in done:
            job = waiting.pop(reference)
            _say(point=job.name, record=_result(ray, reference, job, settings))
        if done or _can_run(ray.nodes(), settings):
            able = time.monotonic()
        elif time.monotonic() - able > settings.wait:
            return _unable(settings)
        _say(beat=len(waiting))
    return ""


def _early(ray: Any, settings: Settings, jobs: Sequence[Job]) -> str:
    """The same by Ray Tune, which does not come back before all points have ended: a thread looks at the cluster."""
    from jaxsoil.sweep import asha

    ended = threading.Event()

    def look() -> None:
        able = time.monotonic()
        while time.monotonic() - able < settings.wait:
            if ended.wait(_STEP):
                return
            able = time.monotonic() if _can_run(ray.nodes(), settings) else able
            _say(beat=1)
        _say(end=_unable(settings))
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
    asha.drive(jobs, settings, lambda job, record: _say(point=job.name, record=record))
    ended.set()
    return ""


def _unable(settings: Settings) -> str:
    need = f"{settings.cpus:g} processors and {settings.gpus:g} GPUs"
    return f"No node of the Ray cluster has had {need} for {settings.wait:.0f} s."


def _result(ray: Any, reference: Any, job: Job, settings: Settings) -> dict[str, Any]:
    try:
        record = ray.get(reference)
    except (ray.exceptions.RayError, OSError) as error:
        text = str(error).strip().splitlines()
        return {"status": FAILED, "error": f"{type(error).__name__} ({settings.retries} retries): {text[0][:200]}"}
    if record["status"] == FINISHED and not job.folder.is_dir():
        problem = f"{job.sweep} is not the same folder on node {record['host']}: choose one on a shared file system"
        return {"status": FAILED, "error": problem}
    return record


def _can_run(nodes: Sequence[dict[str, Any]], settings: Settings) -> bool:
    has = lambda node, kind: node["Resources"].get(kind, 0.0)  # noqa: E731
    return any(n["Alive"] and has(n, "CPU") >= settings.cpus and has(n, "GPU") >= settings.gpus for n in nodes)


def main() -> None:
    """The driver's process: reads the points from its input."""
    told = json.loads(sys.stdin.read())
    jobs = [Job(**{**job, "words": tuple(job["words"])}) for job in told["jobs"]]
    _say(end=_drive(Settings(**told["settings"]), jobs))


if __name__ == "__main__":
    main()
