"""A real server for tests: looked into from outside, killed, and started again on the same socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hiredis

from servicebus.layers.redis.embedded import EmbeddedServer, find_server

from .timing import eventually_sync


class Admin:
    """A blocking connection that sees the server as it is: answers are not interpreted."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(10)
        self._socket.connect(path)
        self._reader = hiredis.Reader()

    def run(self, *command: bytes | str | float) -> Any:
        """One command, and its answer. Raises hiredis.ReplyError when that is an error."""
        self._socket.sendall(hiredis.pack_command(command))  # type: ignore[arg-type] # its stubs want one part
        while (answer := self._reader.gets()) is False:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the server closed the administrator's connection")
            self._reader.feed(data)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self._socket.close()


class RealServer(EmbeddedServer):
    """An embedded server with an administrator's connection, for code outside the event loop under test."""

    @property
    def path(self) -> str:
        return self.url.removeprefix("unix://")

    def connect(self) -> None:
        """Open the administrator's connection. It is the only one that a test may leave."""
        self._admin = Admin(self.path)
        self._admin_id = self.run("CLIENT", "ID")

    def run(self, *command: bytes | str | float) -> Any:
        """One command by the administrator."""
        return self._admin.run(*command)

    def info(self, section: str) -> dict[str, str]:
        lines = self.run("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def clients(self) -> dict[int, str]:
        """The names of the connections by ID, without the administrator's."""
        lines = self.run("CLIENT", "LIST").decode().splitlines()
        listed = [dict(part.split("=", 1) for part in line.split(" ")) for line in lines]
        return {int(client["id"]): client["name"] for client in listed if int(client["id"]) != self._admin_id}

    def all_keys(self, pattern: str = "*") -> list[str]:
        return sorted(key.decode() for key in self.run("KEYS", pattern))

    def keys_without_ttl(self) -> list[str]:
        return [key for key in self.all_keys() if self.run("PTTL", key) == -1]

    def frames(self, channel: str) -> list[bytes]:
        """What lies in a channel, oldest first."""
        found: list[bytes] = self.run("LRANGE", f"asgi:{{{channel}}}", 0, -1)
        return found

    def register(self, channel: str, worker: str = "by-hand", ttl_ms: int = 60_000) -> None:
        """Let calls believe that a worker serves the channel."""
        self.run("ZADD", f"asgi:{{{channel}}}:workers", 4_000_000_000_000, worker)
        self.run("PEXPIRE", f"asgi:{{{channel}}}:workers", ttl_ms)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the server process, not its guard, and wait until it is gone."""
        pid = int(self.info("server")["process_id"])
        self.disconnect()
        os.kill(pid, number)
        eventually_sync(lambda: not is_running(pid))

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """The server process is stopped for the duration of the block."""
        pid = int(self.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def restart(self) -> None:
        """Start a server again where the last one was, with its options."""
        await asyncio.to_thread(self._bury)
        self._guard = self._spawn(find_server(), self.path)
        await self._wait_until_up(self.path)
        self.connect()

    def disconnect(self) -> None:
        self._admin.close()

    def _bury(self) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait(5)
        os.makedirs(os.path.dirname(self.path), mode=0o700)


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def real_server(*options: str) -> Iterator[RealServer]:
    """A server of one's own, from code outside any event loop."""
    server = RealServer(*options)
    asyncio.run(server.start())
    server.connect()
    try:
        yield server
    finally:
        server.disconnect()
        asyncio.run(server.stop())
