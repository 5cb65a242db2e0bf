"""The command line in processes of its own, ended by their IDs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .timing import LONG, PROGRAM_WITHIN, eventually_sync

ROOT = Path(__file__).parents[2]


def environment(**changes: str) -> dict[str, str]:
    """Ours, without what would tell a process where a server is or which Django to set up."""
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    kept.pop("SERVICEBUS_URL", None)
    return {**kept, "PYTHONWARNINGS": "error", **changes}


def servicebus(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "servicebus", *arguments],
        capture_output=True,
        text=True,
        timeout=PROGRAM_WITHIN,
        cwd=ROOT,
        env=environment(**changes),
        check=False,
    )


class Worker:
    """``servicebus worker`` in a process."""

    def __init__(self, log: Path, *arguments: str, **changes: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "servicebus", "worker", *arguments],
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env=environment(**changes),
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def children(self) -> list[int]:
        """The process IDs of the workers of a supervisor."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def is_serving(self, processes: int = 1) -> bool:
        assert self.process.poll() is None, self.log
        return self.log.count("serving workshop.request") >= processes

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ended(self, within: float = LONG) -> int:
        """Its exit code."""
        return self.process.wait(within)


@contextmanager
def worker(directory: Path, url: str, *arguments: str, processes: int = 1, **changes: str) -> Iterator[Worker]:
    """A worker that serves, in an environment with ``changes``; its process is ended at the end, whatever happens."""
    started = Worker(directory / "worker.log", "tests.support.workshop", "--url", url, *arguments, **changes)
    try:
        eventually_sync(lambda: started.is_serving(processes), within=LONG)
        yield started
    finally:
        for pid in [*children_of(started), started.process.pid]:
            end(pid)
        started.process.wait(10)


def children_of(worker: Worker) -> list[int]:
    try:
        return worker.children
    except FileNotFoundError:
        return []


def end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
