"""A blocking connection for looking at a server from outside the event loop under test."""

from __future__ import annotations

import select
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import hiredis

ANSWER_WITHIN = 10.0
NEVER_MS = 4_000_000_000_000
"""An instant that no test will see."""

# The stubs of hiredis say that a command has one part.
_pack: Callable[[tuple[bytes | str | float, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]


class Admin:
    """Sees the server behind a unix socket as it is: answers are not interpreted."""

    def __init__(self, path: str, password: str = "") -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._reader = hiredis.Reader()
        try:
            self._socket.settimeout(ANSWER_WITHIN)
            self._socket.connect(path)
            if password:
                self.run("AUTH", password)
        except BaseException:
            self.close()
            raise

    def run(self, *command: bytes | str | float) -> Any:
        """One command, and its answer. Raises hiredis.ReplyError when that is an error, OSError when there is none."""
        self._socket.sendall(_pack(command))
        while (answer := self._reader.gets()) is False:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the server closed the administrator's connection")
            self._reader.feed(data)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def ended(self) -> bool:
        """Whether the server has closed the connection."""
        readable = select.poll()
        readable.register(self._socket, select.POLLIN)
        try:
            return bool(readable.poll(0)) and not self._socket.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()


class Administered(ABC):
    """A server as its administrator sees it, on one connection."""

    password = ""

    def __init__(self) -> None:
        self._admin: Admin | None = None
        self._admin_id = 0

    @property
    @abstractmethod
    def path(self) -> str:
        """The unix socket."""

    def run(self, *command: bytes | str | float) -> Any:
        """One command by the administrator, and its answer. Raises hiredis.ReplyError or OSError."""
        if self._admin is None:
            raise ConnectionError("the server does not run")
        if self._admin.ended:
            # A server that is promoted ends all its connections. Nothing was sent on this one, so nothing runs twice.
            self.connect()
        return self._admin.run(*command)

    def info(self, section: str) -> dict[str, str]:
        try:
            return fields(self.run("INFO", section))
        except ConnectionError:
            # The Sentinels end all connections of a server whose role they change, this one in the middle of a question
            # too. It does no harm to ask again.
            return fields(self.run("INFO", section))

    @property
    def role(self) -> str:
        """``"master"`` or ``"slave"``, as the server says it."""
        return self.info("replication")["role"]

    def clients(self) -> dict[int, str]:
        """The names of the connections by ID, without the administrator's and those of servers and sentinels."""
        lines = self.run("CLIENT", "LIST").decode().splitlines()
        listed = [dict(part.split("=", 1) for part in line.split(" ")) for line in lines]
        found = {int(client["id"]): client["name"] for client in listed if not set("MS") & set(client["flags"])}
        return {id: name for id, name in found.items() if id != self._admin_id and not name.startswith("sentinel-")}

    def all_keys(self, pattern: str = "*") -> list[str]:
        return sorted(key.decode() for key in self.run("KEYS", pattern))

    def keys_without_ttl(self) -> list[str]:
        return [key for key in self.all_keys() if self.run("PTTL", key) == -1]

    def frames(self, channel: str) -> list[bytes]:
        """What lies in a channel, oldest first; in an inbox that may be bundles (docs/spec.md, section 5)."""
        found: list[bytes] = self.run("LRANGE", f"asgi:{{{channel}}}", 0, -1)
        return found

    def register(self, channel: str, worker: str = "by-hand", ttl_ms: int = 60_000) -> None:
        """Let calls believe that a worker serves the channel."""
        self.run("ZADD", f"asgi:{{{channel}}}:workers", NEVER_MS, worker)
        self.run("PEXPIRE", f"asgi:{{{channel}}}:workers", ttl_ms)

    def disconnect(self) -> None:
        """Close the administrator's connection. It comes back with ``connect`` or a restart."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def connect(self) -> None:
        """Open the administrator's connection. It is the only one that a test may leave."""
        self.disconnect()
        self._admin = Admin(self.path, self.password)
        self._admin_id = self.run("CLIENT", "ID")


def fields(text: bytes) -> dict[str, str]:
    """The ``name:value`` lines of an answer."""
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
