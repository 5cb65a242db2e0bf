"""A server process that cannot outlive the process that started it, and its control: kill, pause, resume."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ...layers.redis.guard import start_guarded
from ..waiting import wait_until

END_WITHIN = 10.0
"""Seconds within which a killed process must be gone, and a paused one must stand, also on a busy machine."""
GONE = "XZ"
"""States of proc(5) of a process that has ended: dead, or waiting to be reaped."""
STOPPED = "T"
"""State of proc(5) of a process that was paused by a signal."""


class Process:
    """A server, and the shell that guards it: it ends the server and removes ``directory`` when its owner ends."""

    def __init__(self, directory: str, command: list[str]) -> None:
        self._guard = start_guarded(directory, command, stdout=subprocess.PIPE)
        assert self._guard.stdout is not None
        with self._guard.stdout as output:
            self.pid = int(output.readline())

    def signal(self, number: int) -> None:
        """Send the server a signal. Nothing happens when the server has ended."""
        if self._guard.poll() is None:
            os.kill(self.pid, number)

    def kill(self, number: int) -> None:
        """Send the server a signal and wait until it has ended.

        Raises:
            TimeoutError: the server still runs after 10 s.
        """
        self.signal(number)
        wait_until(lambda: not is_running(self.pid), END_WITHIN, f"the server process {self.pid} has ended")

    def end(self, *, keep: bool = False) -> None:
        """End server and guard, and remove the directory unless ``keep``. Idempotent."""
        requests = self._guard.stdin
        if requests is None or requests.closed:
            return
        with suppress(BrokenPipeError), requests:
            # Closing alone is not enough: a forked child of the owner may hold the pipe open.
            requests.write(b"keep\n" if keep else b"end\n")
        self._guard.wait(END_WITHIN)


class Controlled:
    """A server whose process a test kills, pauses and resumes."""

    def __init__(self) -> None:
        super().__init__()
        # The process that was started last; None before the first start.
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The ID of the server process that was started last."""
        return self._started.pid

    @property
    def running(self) -> bool:
        """Whether the server process runs. A paused one does."""
        return self._process is not None and is_running(self._process.pid)

    @property
    def answering(self) -> bool:
        """Whether the server process runs and is not paused."""
        return self._process is not None and state_of(self._process.pid) not in GONE + STOPPED

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the server process with a signal and wait until it has ended. ``restart`` starts the server again.

        Raises:
            TimeoutError: the process still runs after 10 s.
        """
        self._started.kill(number)

    def pause(self) -> None:
        """Stop the server process (SIGSTOP) and wait until it stands. Its connections stay open.

        Raises:
            TimeoutError: the process still runs after 10 s.
        """
        process = self._started
        process.signal(signal.SIGSTOP)
        # On a busy machine the process runs on for a while, and takes commands that it then does not answer.
        wait_until(lambda: state_of(process.pid) in GONE + STOPPED, END_WITHIN, "the server stands still")

    def resume(self) -> None:
        """Let a paused server process continue (SIGCONT)."""
        self._started.signal(signal.SIGCONT)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Pause the server process for the duration of a block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    @property
    def _started(self) -> Process:
        assert self._process is not None, "the server was not started"
        return self._process


def is_running(pid: int) -> bool:
    """Return whether a process runs. A process that only waits to be reaped does not."""
    return state_of(pid) not in GONE


def state_of(pid: int) -> str:
    """Return the state of a process as a letter of proc(5); ``X`` when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"
