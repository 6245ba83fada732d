"""Kills a running study again and again, lets it go on, and compares what it leaves with a run that was left alone.

    python tools/kill_campaign.py --study region_out --kills 100

A smoke run is ended at random moments, in ways taken in turn (``KINDS``), and each time the same command goes on with
``--resume``, until it is ended again or finished. Then every table, array, map and log of it must be, byte for byte,
that of a run which was left alone, and the next run begins. What happened is appended to ``OUT/STUDY.jsonl``; the same
command goes on from there. The counts are written to ``OUT/STUDY.json`` and ``OUT/STUDY.md``. Exit status 1 if anything
ended otherwise than it should.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from jaxsoil.runs import lock  # noqa: E402
from jaxsoil.runs.files import read_json, write_json, write_text_atomic  # noqa: E402
from tools.same_runs import differing, records, tables  # noqa: E402

KINDS = {
    "kill -9": "the process is killed",
    "SIGTERM": "it is asked to end: it keeps its state and is gone within 10 s, with status 143",
    "full disk": "from then on the system refuses what a file gets beyond 0, 4 or 64 KiB: status 1 and a message",
    "second writer": "the same command is given again: refused with status 2; then the first is killed",
    "clock set back": "it is killed, and its files are dated a day ahead, as after a clock that was set back",
    "W&B hangs": "its W&B server takes connections and never answers; once it goes on without, it is killed",
    "truncated checkpoint": "it is killed, and a file of its newest checkpoint is cut to half",
}
"""Ways to end a run, and what each is."""

STUDIES: dict[str, tuple[str, ...]] = {
    "region_out": ("--train.checkpoint-every", "3", "--train.checkpoint-seconds", "0"),
    "multifidelity": ("--pretrain.checkpoint-steps", "2"),
    "few_labels": ("--train.checkpoint-every", "3", "--train.checkpoint-seconds", "0"),
    "carry_over": ("--train.checkpoint-every", "3", "--train.checkpoint-seconds", "0"),
    "soc_spectrum": ("--train.checkpoint-every", "3", "--train.checkpoint-seconds", "0"),
    "hybrid_dataset": (),
    "layer_transfer": (),
}
"""Studies, and the options that make their trainings keep checkpoints at the smoke size; (): they keep pieces alone."""

ENDS_WITHIN = 10.0
"""Seconds from SIGTERM to the end of the process."""
PATIENCE = 600.0
"""Seconds after which a process that should have ended or gone on counts as hung."""


class Process:
    """A study that runs in a process of its own, with what it prints."""

    def __init__(self, words: Sequence[str], **environment: str) -> None:
        # A user's JAX is not strict, whatever the tests that start a campaign ask of theirs.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("JAX_NUMPY")}
        self.popen = subprocess.Popen(
            [sys.executable, str(ROOT / "experiments" / "run.py"), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Not by --wandb: a bundle states its command, which is to be that of every run.
            env=inherited | {"WANDB_MODE": "disabled"} | environment,
            process_group=0,
        )
        self._printed: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        self._printed += self.popen.stdout

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.popen.poll() is not None

    def kill(self) -> None:
        """Ends it with kill -9, and the helpers of its libraries with it."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.kill()
        self.popen.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.popen.pid, signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Waits for its end; whether it came."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(seconds)
        return self.ended

    def printed(self) -> str:
        """What it printed, once it has ended."""
        self._reader.join(10.0)
        return b"".join(self._printed).decode("utf-8", "replace")

    def until(self, holds: Any, seconds: float = PATIENCE) -> bool:
        """Waits until ``holds()`` or the end of the process; whether it holds while the process runs."""
        by = time.monotonic() + seconds
        while not self.ended and time.monotonic() < by:
            if holds():
                return True
            time.sleep(0.01)
        return False


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A server on this machine that takes connections and never answers; yields its port."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()


class Campaign:
    """The kills of one study: its folders, what has happened, and what comes next.

    Args:
      study, options: experiment and words of its command.
      out: folder of the campaign.
      kinds: ways to end a run, by name.
      seed: of moments and order.
      span: seconds after a start within which a run is ended.
    """

    def __init__(
        self, study: str, options: Sequence[str], out: Path, kinds: Sequence[str], seed: int, span: float
    ) -> None:
        self.study, self.out, self.kinds, self.seed, self.span = study, out, tuple(kinds), seed, span
        self.whole, self.folder, self.log = out / f"{study}-whole", out / f"{study}-run", out / f"{study}.jsonl"
        self.words = ["--exp", study, "--smoke", *STUDIES[study], *options]
        out.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(out.absolute() / "cache"))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        self.said: list[dict[str, Any]] = [json.loads(line) for line in lines]
        if self.said and self.said[0]["words"] != self.words:
            sys.exit(f"{self.log} is of another command ({' '.join(self.said[0]['words'])}): choose another --out.")
        self.futile = 0

    def say(self, **what: Any) -> None:
        """Appends to the log."""
        self.said.append(what)
        with open(self.log, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(what) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was done to the runs so far."""
        return [line for line in self.said if "kind" in line]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """What became of the runs that came to an end."""
        return [line for line in self.said if "differing" in line]

    def make_whole(self) -> None:
        """The run that is left alone, unless it is there."""
        if not self.said:
            shutil.rmtree(self.whole, ignore_errors=True)
            shutil.rmtree(self.folder, ignore_errors=True)
            process, began = Process([*self.words, "--workdir", str(self.whole)]), time.monotonic()
            process.popen.wait()
            if process.popen.returncode:
                sys.exit(f"the run that is left alone failed:\n{process.printed()[-3000:]}")
            self.say(words=self.words, seed=self.seed, seconds=round(time.monotonic() - began, 1))

    def run(self, kills: int) -> None:
        """Goes on until a run has been ended ``kills`` times and the last one has finished."""
        self.make_whole()
        with tqdm(total=kills, initial=len(self.events), desc=self.study, unit="kill") as bar:
            while (number := len(self.events)) < kills:
                turn = random.Random(f"{self.seed}/{number // len(self.kinds)}")
                kind = turn.sample(self.kinds, len(self.kinds))[number % len(self.kinds)]
                bar.set_postfix_str(f"{kind}, {len(self.runs)} runs finished")
                self.strike(kind, random.Random(f"{self.seed}/{number}/{self.futile}"))
                bar.update(len(self.events) - number)
        if self.folder.exists():
            process = self.start()
            process.wait(2 * PATIENCE)
            self.ended(process)
        self.write()

    def start(self, **options: str) -> Process:
        """The command, to go on where the run was; returns once it holds the folder."""
        process = Process([*self.words, "--workdir", str(self.folder), "--resume"], **options)
        process.until(lambda: (lock.holder(self.folder) or {}).get("pid") == process.popen.pid)
        return process

    def strike(self, kind: str, draw: random.Random) -> None:
        """Starts the run, ends it in one way, and records it; a run that came to its end before is compared."""
        with contextlib.ExitStack() as stack:
            options = {}
            if kind == "W&B hangs":
                url = f"http://127.0.0.1:{stack.enter_context(silent_server())}"
                options = {"WANDB_MODE": "online", "WANDB_BASE_URL": url, "WANDB_API_KEY": 40 * "0"}
            before, process = self.progress(), self.start(**options)
            moment = draw.uniform(0.0, self.span * 1.5 ** min(self.futile, 9))
            wrong = self._end(kind, process, moment, draw)
            if wrong is None:
                self.ended(process)
                return
            self.futile = 0 if self.progress() > before else self.futile + 1
            logged = {"status": process.popen.returncode, "records": records(self.folder)}
            self.say(kind=kind, run=len(self.runs), moment=round(moment, 3), **logged, **wrong)
            process.kill()

    def progress(self) -> int:
        """Grows with what a run has finished."""
        walked = [(Path(folder), names) for folder, _, names in os.walk(self.folder)]
        files = sum(len(names) for folder, names in walked if not {"checkpoints", "wandb"} & {*folder.parts})
        return files + records(self.folder)

    def _end(self, kind: str, process: Process, moment: float, draw: random.Random) -> dict[str, Any] | None:
        """Ends the run; returns what is said of it ("wrong": what went otherwise), None where it ended before."""
        said: dict[str, Any] = {"wrong": ""}
        if kind == "W&B hangs":
            before = self.progress()
            if not process.until(lambda: self.progress() > before):
                return None if process.ended else {"wrong": "it did not go on without the server"}
        if kind == "second writer":
            second = Process([*self.words, "--workdir", str(self.folder), "--resume"])
            second.wait(PATIENCE)
            refused = second.popen.returncode == 2 and "is in use by process" in second.printed()
            second.kill()
            if process.ended:
                return None
            said = {"wrong": "" if refused else f"the second ended with {second.popen.returncode}"}
        if kind == "truncated checkpoint" and not process.until(self._steps):
            return None if process.ended else {"wrong": "no checkpoint"}
        if process.wait(moment if kind != "truncated checkpoint" else draw.uniform(0.0, 0.2)):
            return None
        began = time.monotonic()
        if kind == "SIGTERM":
            process.popen.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        elif kind == "full disk":
            limit, (_, most) = draw.choice((0, 4096, 65536)), resource.prlimit(process.popen.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.popen.pid, resource.RLIMIT_FSIZE, (limit, most))
            said["limit"] = limit
            process.wait(PATIENCE)
        else:
            process.kill()
        took = round(time.monotonic() - began, 3)
        if process.popen.returncode == 0:
            return None  # At its end already, or the files that were left to write were small.
        if kind == "truncated checkpoint" and not self._truncate(draw):
            return None
        if kind == "clock set back":
            ahead = time.time() + 86400.0
            for path in (lock.lock_path(self.folder), self.folder, *self.folder.rglob("*")):
                with contextlib.suppress(OSError):
                    os.utime(path, (ahead, ahead))
        return said | {"seconds": took, "wrong": said["wrong"] or self._otherwise(kind, process, took)}

    def _otherwise(self, kind: str, process: Process, took: float) -> str:
        """What a process that was ended did otherwise than it should; "": nothing."""
        status = process.popen.returncode
        due = {"SIGTERM": 143, "full disk": 1}.get(kind, -signal.SIGKILL)
        if status is None:
            process.kill()
            return "it hangs"
        if status != due or (kind == "full disk" and "error: the system refused" not in process.printed()):
            return f"status {status}: {process.printed()[-1500:]}"
        return f"it took {took:.1f} s to end" if kind == "SIGTERM" and took > ENDS_WITHIN else ""

    def _steps(self) -> list[Path]:
        """Checkpoints of trainings that run, the newest last."""
        with contextlib.suppress(FileNotFoundError):  # One that was just replaced.
            found = [path for path in self.folder.glob("checkpoints/*/*") if path.name.isdigit()]
            return sorted(found, key=lambda path: path.stat().st_mtime)
        return []

    def _truncate(self, draw: random.Random) -> bool:
        """Cuts a file of the newest checkpoint to half; False where there is none any more."""
        files = [path for step in self._steps()[-1:] for path in sorted(step.rglob("*")) if path.is_file()]
        files = [path for path in files if path.stat().st_size > 1]
        if files:
            path = draw.choice(files)
            os.truncate(path, path.stat().st_size // 2)
        return bool(files)

    def ended(self, process: Process) -> None:
        """Compares a run that came to its end; one that failed or hangs is recorded and given up."""
        status = process.popen.returncode
        process.kill()
        if status == -signal.SIGKILL:
            return  # Killed in a way that does not count, such as without a checkpoint to cut.
        wrong = differing(self.whole, self.folder) if status == 0 else [f"status {status}: {process.printed()[-1500:]}"]
        self.say(run=len(self.runs), differing=wrong)
        if wrong:  # Kept, to be looked at.
            self.folder.rename(self.folder.with_name(f"{self.folder.name}-{len(self.runs) - 1}-wrong"))
        shutil.rmtree(self.folder, ignore_errors=True)

    def right(self) -> list[bool]:
        """For each kill whether it went as it should and its run ended with the same bytes."""
        equal = {line["run"]: not line["differing"] for line in self.runs}
        return [not event["wrong"] and equal.get(event["run"], False) for event in self.events]

    def write(self) -> None:
        """Writes the counts as JSON and as a table in Markdown."""
        made, right, rows = read_json(self.whole / "env.json"), self.right(), {}
        for kind in self.kinds:
            mine = [i for i, event in enumerate(self.events) if event["kind"] == kind]
            slowest = max((self.events[i].get("seconds", 0.0) for i in mine), default=0.0)
            rows[kind] = {"kills": len(mine), "right": sum(right[i] for i in mine), "slowest_s": slowest}
        machine = f"{made['processor']}, {made['cores']} cores, Python {made['python']}, jax {made['versions']['jax']}"
        summary = {
            "study": self.study, "date": f"{datetime.date.today()}", "machine": machine, "words": self.words,
            "commit": (made["git"] or {}).get("commit"), "kills": len(right), "right": sum(right),
            "runs": len(self.runs), "runs_with_the_same_bytes": sum(not line["differing"] for line in self.runs),
            "files_compared": len(tables(self.whole)), "kinds": rows,
        }  # fmt: skip
        write_json(self.out / f"{self.study}.json", summary)
        write_text_atomic(self.out / f"{self.study}.md", in_words(summary))


def in_words(summary: dict[str, Any]) -> str:
    """The counts of a campaign as Markdown."""
    title = (
        "`{study}`, {date}, {machine}: {right} of {kills} kills went as they should; {runs_with_the_same_bytes} of "
        "{runs} runs ended with the same bytes in {files_compared} files."
    ).format(**summary)
    line = "| {} | {kills} | {right} | {slowest_s:.1f} |"
    rows = [line.format(kind, **row) for kind, row in summary["kinds"].items()]
    return "\n".join([title, "", "| kind | kills | right | slowest end, s |", "|---|---:|---:|---:|", *rows, ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; further options are those of the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--study", choices=tuple(STUDIES), default="region_out")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("runs") / "campaign")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=tuple(KINDS), metavar="KIND")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--span", type=float, default=4.0, help="seconds after a start within which a run is ended")
    options, rest = parser.parse_known_args(arguments)
    if not STUDIES[options.study]:  # nothing to truncate: it would be waited for in vain
        options.kinds = [kind for kind in options.kinds if kind != "truncated checkpoint"]
    campaign = Campaign(options.study, rest, options.out, options.kinds, options.seed, options.span)
    campaign.run(options.kills)
    print((options.out / f"{options.study}.md").read_text("utf-8"))
    return int(not all(campaign.right()) or any(line["differing"] for line in campaign.runs))


if __name__ == "__main__":
    sys.exit(main())
