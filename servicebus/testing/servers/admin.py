"""A blocking connection to a server, for tests that inspect the server while the bus uses its own connections."""

from __future__ import annotations

import select
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import hiredis

from ...protocol.envelope import TOMBSTONE

ANSWER_WITHIN = 10.0
"""Seconds within which a server must answer, also on a busy machine."""
NEVER_MS = 4_000_000_000_000
"""Milliseconds since 1970 that lie in the year 2096: no test reaches this instant."""

# The type stubs of hiredis allow only commands of one part.
_pack: Callable[[tuple[bytes | str | float, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]


class Admin:
    """A connection to the server behind a unix socket. Answers are returned as hiredis parses them."""

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
        """Send one command and return the answer.

        Raises:
            hiredis.ReplyError: the server answered with an error.
            OSError: the server did not answer within 10 s, or closed the connection.
        """
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
        """Close the connection. Idempotent."""
        self._socket.close()


class Administered(ABC):
    """A server with a connection for its administrator: the test. Subclasses have ``path``."""

    password = ""

    def __init__(self) -> None:
        super().__init__()
        # The administrator's connection; None while the server does not run.
        self._admin: Admin | None = None
        # The ID under which the server lists this connection.
        self._admin_id = 0

    @property
    @abstractmethod
    def path(self) -> str:
        """The path of the unix socket."""

    def run(self, *command: bytes | str | float) -> Any:
        """Send one command on the administrator's connection and return the answer.

        Raises:
            hiredis.ReplyError: the server answered with an error.
            OSError: the server does not run, or did not answer.
        """
        if self._admin is None:
            raise ConnectionError("the server does not run")
        if self._admin.ended:
            # A promoted server closes all its connections. Nothing was sent on the closed one, so nothing runs twice.
            self.connect()
        return self._admin.run(*command)

    def info(self, section: str) -> dict[str, str]:
        """Return a section of the answer of INFO, by name."""
        try:
            return fields(self.run("INFO", section))
        except ConnectionError:
            # Sentinels close all connections of a server whose role they change, also while it answers this command.
            # The command changes nothing, so it may be sent again.
            return fields(self.run("INFO", section))

    @property
    def role(self) -> str:
        """``"master"`` or ``"slave"``, as the server reports it."""
        return self.info("replication")["role"]

    def clients(self) -> dict[int, str]:
        """Return the name of each client by its ID, without the administrator and other servers and Sentinels."""
        lines = self.run("CLIENT", "LIST").decode().splitlines()
        listed = [dict(part.split("=", 1) for part in line.split(" ")) for line in lines]
        found = {int(client["id"]): client["name"] for client in listed if not set("MS") & set(client["flags"])}
        return {id: name for id, name in found.items() if id != self._admin_id and not name.startswith("sentinel-")}

    def all_keys(self, pattern: str = "*") -> list[str]:
        """Return the keys that match a glob, sorted."""
        return sorted(key.decode() for key in self.run("KEYS", pattern))

    def keys_without_ttl(self) -> list[str]:
        """Return the keys that never expire, sorted. The bus must not leave such a key."""
        return [key for key in self.all_keys() if self.run("PTTL", key) == -1]

    def frames(self, channel: str) -> list[bytes]:
        """Return what a channel holds, oldest first: frames, in an inbox also bundles (docs/spec.md, section 5).

        Tombstones are left out.
        """
        found: list[bytes] = self.run("LRANGE", f"asgi:{{{channel}}}", 0, -1)
        return [element for element in found if element != TOMBSTONE]

    def register(self, channel: str, worker: str = "by-hand", ttl_ms: int = 60_000) -> None:
        """Register a worker with the channel, so that calls to it are accepted although no worker reads it."""
        self.run("ZADD", f"asgi:{{{channel}}}:workers", NEVER_MS, worker)
        self.run("PEXPIRE", f"asgi:{{{channel}}}:workers", ttl_ms)

    def disconnect(self) -> None:
        """Close the administrator's connection. ``connect`` and a restart open it again."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def connect(self) -> None:
        """Open the administrator's connection. ``clients`` does not list it."""
        self.disconnect()
        self._admin = Admin(self.path, self.password)
        self._admin_id = self.run("CLIENT", "ID")


def fields(text: bytes) -> dict[str, str]:
    """Parse the ``name:value`` lines of an answer."""
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
