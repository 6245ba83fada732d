"""How the processes of a run come together, see that all are alive, and part.

Each process writes a small file beside the run folder and beats in it once a second: they see who is there, what each
expects, and who has ended. Then they connect by ``jax.distributed``, which tells each the devices of all. Its service
is closed again before anything is trained, where each training lies on the devices of one process: left to itself it
ends every process with SIGABRT and no message of ours when one of them dies. Where all share a training it stays, told
to leave the others alone (JAX's "recoverability"), and the beats end them here too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxsoil.runs import lock, stop
from jaxsoil.runs.errors import UsageError

BEAT = 1.0
"""Seconds between two beats of a process."""
SHORTEST = 5.0
"""Seconds that a silent process is waited for at least: a host may be busy for some beats."""
HERE, REACHED, READY, THROUGH, DONE, FAILED = "here", "reached", "ready", "through", "done", "failed"
"""How far a process is: it has come; it has reached process 0; (process 0) it has the run folder; its share is done;
(process 0) all is written; it ended with an error."""
RESUME = "What was finished is kept: start all of them again with --resume."


@dataclasses.dataclass(frozen=True)
class Settings:
    """One process of a run: number of processes, index of this one, HOST:PORT of process 0, seconds to wait."""

    count: int
    index: int
    address: str
    wait: float


class Team:
    """The processes of a run in ``folder``, seen by one of them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = lock.lock_path(folder).with_suffix(".processes")
        agreed = {"count": settings.count, "address": settings.address}
        self.mine: dict[str, Any] = {**agreed, "key": os.urandom(8).hex(), **lock.worker(), "beat": 0, "stage": HERE}
        # By index: what its file says, when it last changed, and the beat at which this process was first seen; and the
        # key of the process that came.
        self._seen: dict[int, tuple[dict[str, Any], float, int]] = {}
        self._met: dict[int, str] = {}
        self._writing, self.came = threading.RLock(), False

    def path(self, index: int) -> Path:
        """The file of a process."""
        return self.folder / f"{index}.json"

    def tell(self, stage: str, said: str = "") -> None:
        """Says how far this process is."""
        with self._writing:
            self.mine |= {"stage": stage, "said": said}
            self.beat()

    def beat(self) -> None:
        """Shows that this process is alive."""
        with self._writing:
            self.mine["beat"] += 1
            path = self.path(self.settings.index)
            new = path.with_suffix(f".{self.mine['key']}")
            # A beat that is lost is no harm, so it need not reach the disk before the next.
            new.write_text(json.dumps(self.mine), "utf-8")
            os.replace(new, path)

    def look(self) -> None:
        """Reads what the others say."""
        for path in self.folder.glob("*.json"):
            index, said = int(path.stem) if path.stem.isdecimal() else self.settings.index, _read(path)
            before, _, first = self._seen.get(index, ({}, 0.0, 0))
            if said and index != self.settings.index and said != before:
                first = first if said.get("key") == before.get("key") else said.get("beat", 0)
                self._seen[index] = said, time.monotonic(), first

    def here(self) -> dict[int, dict[str, Any]]:
        """What the others say that are alive, by index. A file may be of an earlier job."""
        self.look()
        found = {}
        for index, (said, _, first) in self._seen.items():
            runs = lock.lives(said)
            # A process of another host is alive if it beats.
            if runs or (runs is None and said.get("beat", 0) > first):
                found[index] = said
        return found

    def meet(self) -> None:
        """Waits for the others.

        Raises:
          UsageError: they did not come in time, or expect another number of processes or another address.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.look()
        taken = _read(self.path(self.settings.index))
        if taken and lock.lives(taken):
            raise UsageError(f"--process-index {self.settings.index} is taken by process {taken['pid']} on this host: "
                             "give each process a number of its own.")  # fmt: skip
        self.came = True
        began, others = time.monotonic(), set(range(self.settings.count)) - {self.settings.index}
        while True:
            self.beat()
            found = self.here()
            for index, said in found.items():
                for name, option in (("count", "--processes"), ("address", "--process-address")):
                    if said.get(name) != self.mine[name]:
                        raise UsageError(f"{option} is {said.get(name)} in process {index} and {self.mine[name]} in "
                                         f"process {self.settings.index}: give all of them the same.")  # fmt: skip
                if said.get("stage") == FAILED:
                    raise UsageError(f"process {index} ended: {said.get('said', '')}")
            if others <= set(found):
                self._met = {index: found[index]["key"] for index in others}
                return
            if time.monotonic() - began > self.settings.wait:
                missing = ", ".join(str(i) for i in sorted(others - set(found)))
                raise UsageError(
                    f"{len(found) + 1} of {self.settings.count} processes came within {self.settings.wait:g} s, "
                    f"missing: {missing}. Start them all, with one --workdir on a disk that they share, or give a "
                    "longer --process-wait."
                )
            time.sleep(BEAT / 5)

    def stage(self, index: int) -> str:
        """How far another process is."""
        return self._seen[index][0].get("stage", HERE) if index in self._seen else HERE

    def problem(self) -> str:
        """What ends this process: another one that failed, is gone or fell silent; "" while there is none."""
        self.look()
        if DONE in (self.stage(0), self.mine["stage"]):
            return ""
        own = _read(self.path(self.settings.index))
        if own and own.get("key") != self.mine["key"]:
            return f"another process has taken --process-index {self.settings.index}."
        for index, key in self._met.items():
            said, changed, _ = self._seen[index]
            where = f"pid {said.get('pid')} on {str(said.get('host')).split()[0]}"
            name = f"process {index} of {self.settings.count} ({where})"
            if said.get("stage") == FAILED and said.get("key") == key:
                return f"{name} ended: {said.get('said', '')}"
            if said.get("key") != key:
                return f"{name} was started anew. {RESUME}"
            if lock.lives(said) is False and _read(self.path(index)):
                return f"{name} was killed. {RESUME}"
            if time.monotonic() - changed > self.settings.wait:
                return f"{name} has not been heard of for {self.settings.wait:g} s. {RESUME}"
        return ""

    def until(self, stage: str, of: set[int], refusal: str) -> None:
        """Waits until other processes have come to a stage; UsageError where one has failed or time is up."""
        began = time.monotonic()
        while not all(self.stage(index) == stage for index in of):
            if problem := self.problem():
                raise UsageError(problem)
            if time.monotonic() - began > self.settings.wait:
                raise UsageError(refusal)
            time.sleep(BEAT / 10)


@contextlib.contextmanager
def attended(
    settings: Settings, folder: Path, on_loss: Callable[[str], None], connected: bool = False
) -> Iterator[Team]:
    """Within the block the processes of a run are together; ``connected``: so that they can share a training.

    ``on_loss`` is called, by another thread, once one of the others is lost, with what to say.
    """
    team, ended, together = Team(settings, folder), threading.Event(), threading.Event()

    def watch() -> None:
        while not ended.wait(BEAT):
            with contextlib.suppress(OSError):
                # Before it beats: its file may be another's by now.
                if together.is_set() and (problem := team.problem()):
                    team.tell(FAILED, problem)
                    with contextlib.suppress(OSError, ValueError):  # Nobody may read it any more.
                        print(f"error: {problem}", file=sys.stderr, flush=True)
                    on_loss(problem)
                    return
                team.beat()

    beats = threading.Thread(target=watch, daemon=True)
    try:
        team.meet()
        beats.start()
        connect(team, connected)
        together.set()
        yield team
        part(team, connected)
    except BaseException as error:
        if connected and together.is_set() and isinstance(error, RuntimeError):
            beats.join(5 * BEAT)  # What is computed together fails at once where one dies; the beats tell which.
        if team.mine["stage"] != FAILED and team.came:
            asked = isinstance(error, stop.Terminated)
            with contextlib.suppress(OSError):  # The disk may be what failed.
                team.tell(FAILED, "it was ended by SIGTERM." if asked else f"{error}" or type(error).__name__)
            if not together.is_set():
                time.sleep(BEAT)  # The others see it while it lives; later they cannot tell it from an earlier job.
        raise
    finally:
        ended.set()
        if beats.is_alive():
            beats.join()


def connect(team: Team, connected: bool = False) -> None:
    """Connects the processes by ``jax.distributed``, and sees that their devices are alike; ``connected``: to stay.

    Raises:
      UsageError: process 0 is not reached, its port is taken, or the processes have other devices.
    """
    settings = team.settings
    host, _, port = settings.address.rpartition(":")
    others = set(range(settings.count)) - {settings.index}
    # Tried first with a plain connection: JAX itself aborts, in a way that cannot be caught.
    if settings.index == 0:
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
        try:
            server = socket.create_server(("", int(port)), family=family, dualstack_ipv6=family == socket.AF_INET6)
        except OSError as error:
            raise UsageError(f"--process-address {settings.address}: port {port} cannot be had ({error.strerror}). "
                             "Give all processes another one.") from error  # fmt: skip
        with server:
            team.until(REACHED, others, f"Not all processes reach {settings.address} within {settings.wait:g} s: give "
                       "as --process-address a name of this host that the others know.")  # fmt: skip
        team.tell(REACHED)
    else:
        _reach(team, host.strip("[]"), int(port))
        team.tell(REACHED)
        team.until(REACHED, {0}, f"Process 0 did not hear of all processes within {settings.wait:g} s.")
    import jax

    # It would take SIGTERM for itself (jaxsoil.runs.stop).
    jax.config.update("jax_enable_preemption_service", False)
    if connected:
        jax.config.update("jax_enable_recoverability", True)
    seconds = max(1, int(settings.wait))
    jax.distributed.initialize(
        settings.address, settings.count, settings.index, initialization_timeout=seconds,
        heartbeat_timeout_seconds=seconds + 30, shutdown_timeout_seconds=seconds,
        cluster_detection_method="deactivate",
    )  # fmt: skip
    kinds: dict[int, list[str]] = {}
    for device in jax.devices():
        kinds.setdefault(device.process_index, []).append(device.device_kind)
    if not connected:
        jax.distributed.shutdown()
    for index, found in kinds.items():
        if found != kinds[0]:
            own, first = (f"{len(all_of)} devices ({all_of[0]})" for all_of in (found, kinds[0]))
            raise UsageError(f"Process {index} has {own}, process 0 has {first}: give all the same, so that they "
                             "cut the trials alike.")  # fmt: skip


def part(team: Team, connected: bool = False) -> None:
    """Ends together: process 0 last, so that its end is that of the run; those ``connected`` leave it one by one."""
    if connected:
        import jax

        if team.settings.index == 0:
            team.until(THROUGH, set(range(1, team.settings.count)), "Not all processes came to the end in time.")
        jax.distributed.shutdown()
    if team.settings.index:
        team.tell(THROUGH)
        while team.stage(0) != DONE:
            time.sleep(BEAT / 10)
        team.path(team.settings.index).unlink(missing_ok=True)
        return
    team.tell(DONE)
    until = time.monotonic() + team.settings.wait
    while any(team.path(index).exists() for index in range(1, team.settings.count)) and time.monotonic() < until:
        time.sleep(BEAT / 10)
    for path in team.folder.glob("*"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        team.folder.rmdir()


def _reach(team: Team, host: str, port: int) -> None:
    """Connects to process 0 once."""
    began = time.monotonic()
    while True:
        try:
            socket.create_connection((host, port), timeout=BEAT * 2).close()
            return
        except OSError as error:
            reason = error.strerror or str(error)
        if problem := team.problem():
            raise UsageError(problem)
        if time.monotonic() - began > team.settings.wait:
            given = f"--process-address {team.settings.address}"
            raise UsageError(f"{given} is not reached within {team.settings.wait:g} s ({reason}): give the host of "
                             "process 0 as the others know it, and an open port.")  # fmt: skip
        time.sleep(BEAT / 5)


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
