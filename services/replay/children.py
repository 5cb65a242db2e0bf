"""Child processes that end with the process that started them, even if that process is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_WITHIN = 10.0
"""Seconds from SIGTERM to SIGKILL: a worker drains for two seconds, and a busy machine may make that several."""
TAIL_LINES = 15
"""Lines of a log that an error shows: enough for a traceback, and they fit on a screen."""

# The shell runs the command in the background. When standard input ends, because of stop() or because the parent is
# gone, the shell sends SIGTERM to the command. The exit status is that of the command.
_GUARD = (
    'exec 3<&0; "$@" </dev/null 3<&- & child=$!; '
    "trap '' INT TERM HUP; { read -r _ <&3; kill -TERM $child; } 2>/dev/null & owner=$!; "
    "wait $child; status=$?; { kill -KILL $owner; wait $owner; } 2>/dev/null; exit $status"
)


class ChildFailed(Exception):
    """A child process ended unexpectedly. ``log`` is the end of its output."""

    def __init__(self, name: str, status: int, log: str) -> None:
        super().__init__(name, status, log)
        self.name, self.status, self.log = name, status, log

    def __str__(self) -> str:
        last = self.log.rpartition("\n")[2] or "it printed nothing"
        return f"{self.name} ended with exit status {self.status}: {last}"


async def _spawn(log: Path, command: Sequence[str], env: Mapping[str, str]) -> asyncio.subprocess.Process:
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *("sh", "-c", _GUARD, "sh", *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=env,
            start_new_session=True,
        )


class Child:
    """One command in a session of its own, so that Ctrl-C reaches only the parent. Its output is appended to a file."""

    def __init__(self, name: str, log: Path, process: asyncio.subprocess.Process) -> None:
        self.name, self._log, self._process = name, log, process

    @classmethod
    async def start(cls, name: str, log: Path, command: Sequence[str], env: Mapping[str, str]) -> Child:
        """Start ``command``, which appends its output to ``log``. Cancelling is safe: the process is killed then."""
        starting = asyncio.create_task(_spawn(log, command, env))
        try:
            return cls(name, log, await asyncio.shield(starting))
        except asyncio.CancelledError:
            await cls(name, log, await starting).stop(grace=0)
            raise

    @property
    def pid(self) -> int:
        """The process ID of the guarding shell, which leads the process group of the command."""
        return self._process.pid

    async def wait(self) -> int:
        """Return the exit status of the command when it has ended. Cancelling is safe."""
        return await self._process.wait()

    async def check(self) -> None:
        """Wait for the end of the command. Cancelling is safe: the command goes on.

        Raises:
            ChildFailed: the exit status is not 0.
        """
        if status := await self.wait():
            raise self.failed(status)

    def failed(self, status: int) -> ChildFailed:
        """Return the error of a child that ended with ``status``."""
        return ChildFailed(self.name, status, self.tail())

    async def stop(self, grace: float = STOP_WITHIN) -> None:
        """Send SIGTERM, and SIGKILL to the rest of the process group after ``grace`` seconds. Idempotent.

        Cancelling is safe: the group is killed at once.
        """
        assert self._process.stdin is not None
        if self._process.returncode is not None:
            self.kill()
        self._process.stdin.close()
        try:
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """Send SIGKILL to the whole process group at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def tail(self) -> str:
        """Return the last lines of the output."""
        text = self._log.read_text(errors="replace").rstrip()
        return "\n".join(text.splitlines()[-TAIL_LINES:])
