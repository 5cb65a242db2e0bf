"""Child processes that end with their owner, however that came about."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE = 10.0
TAIL = 15

# The shell runs the command in the background and sends it SIGTERM when standard input ends: on stop(), or because the
# owner is gone. Its exit status is the command's.
_GUARD = (
    'exec 3<&0; "$@" </dev/null 3<&- & child=$!; '
    "trap '' INT TERM HUP; { read -r _ <&3; kill -TERM $child; } 2>/dev/null & owner=$!; "
    "wait $child; status=$?; { kill -KILL $owner; wait $owner; } 2>/dev/null; exit $status"
)


class ChildFailed(Exception):
    """A child process ended when it should not have. ``log`` is the end of what it printed."""

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
    """One command in a session of its own, so that Ctrl-C reaches its owner alone. Its output is appended to a file."""

    def __init__(self, name: str, log: Path, process: asyncio.subprocess.Process) -> None:
        self.name, self._log, self._process = name, log, process

    @classmethod
    async def start(cls, name: str, log: Path, command: Sequence[str], env: Mapping[str, str]) -> Child:
        """Cancelling it is safe: the process is killed then."""
        starting = asyncio.create_task(_spawn(log, command, env))
        try:
            return cls(name, log, await asyncio.shield(starting))
        except asyncio.CancelledError:
            await cls(name, log, await starting).stop(grace=0)
            raise

    @property
    def pid(self) -> int:
        """Of the guard, which leads the process group of the command."""
        return self._process.pid

    async def wait(self) -> int:
        """The exit status of the command. Cancelling it is safe."""
        return await self._process.wait()

    async def check(self) -> None:
        """Wait for the end. Raises ChildFailed unless the exit status is 0."""
        if status := await self.wait():
            raise self.failed(status)

    def failed(self, status: int) -> ChildFailed:
        return ChildFailed(self.name, status, self.tail())

    async def stop(self, grace: float = GRACE) -> None:
        """SIGTERM, and SIGKILL for what is left of the process group after ``grace`` seconds. Idempotent.

        Cancelling it kills the group at once.
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
        """SIGKILL to the whole process group, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def tail(self) -> str:
        """The last lines of the output."""
        text = self._log.read_text(errors="replace").rstrip()
        return "\n".join(text.splitlines()[-TAIL:])
