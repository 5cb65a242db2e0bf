"""One connection: hiredis on an asyncio Protocol. Commands are written as they come; replies are matched in order.

Every command has exactly one answer: what the server said, or ``ConnectionLost``. A caller that goes away does not
disturb that, because answers go to callbacks that stay in line.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import hiredis

from ....errors import ConfigurationError, ServiceBusError, Unavailable
from ..schema import scripts
from ..topology.address import Address

Answer = Callable[[Any], None]
"""Takes a reply, a ``hiredis.ReplyError`` or a ``ConnectionLost``. It must not raise."""

MINIMUM = {"redis": (7, 0), "valkey": (7, 2)}
HIGH_WATER = 1 << 20
"""Bytes in the write buffer above which batches wait in the queue, where they can still be withdrawn."""

# The stubs of hiredis say that a command has one part.
pack: Callable[[tuple[bytes | str | int, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]

_INCOMPLETE = object()


class ConnectionLost(Exception):
    """The connection ended before the answer came."""


class NeverSent(ConnectionLost):
    """There was no connection to send the command on."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the server said of itself. ``offset_ms`` added to the loop's clock in ms gives the server's clock.

    ``promoted``: it was a replica once, and may hold what its primary had handed out already. ``started_ms``: the
    instant on its clock at which it had started for certain.
    """

    client_id: int
    fence: int
    offset_ms: float
    promoted: bool = False
    started_ms: float = 0.0


class Connection(asyncio.Protocol):
    """One connection, for the loop that opened it. The first two are set once ``connect`` has returned it."""

    greeting: Greeting
    address: Address

    def __init__(self, on_lost: Callable[[], None], on_writable: Callable[[], None]) -> None:
        self._on_lost, self._on_writable = on_lost, on_writable
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        # Who takes the answers that are outstanding, in the order of their commands. A subclass that writes by other
        # means (``channel_layer.direct_write``) appends an answer here before its command leaves.
        self._answers: deque[Answer] = deque()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self.writable = True
        self.heard_at = self._loop.time()

    @property
    def outstanding(self) -> int:
        """Commands whose answers have not come yet."""
        return len(self._answers)

    def write(self, data: bytes, *answers: Answer) -> None:
        """Send packed commands, one answer each. On a lost connection the answers are NeverSent, at once."""
        if self._transport is None:
            for answer in answers:
                answer(NeverSent())
        else:
            self._write(data, answers)

    def _write(self, data: bytes, answers: Iterable[Answer]) -> None:
        assert self._transport is not None
        if not self._answers:
            self.heard_at = self._loop.time()
        self._answers.extend(answers)
        self._transport.write(data)

    async def execute(self, *command: bytes | str | int) -> Any:
        """Send one command and return its reply. Raises hiredis.ReplyError or ConnectionLost.

        Cancelling is safe: the command has been sent, its answer is dropped.
        """
        future = self._loop.create_future()
        self.write(pack(command), into(future))
        reply = await future
        if isinstance(reply, Exception):
            raise reply
        return reply

    def greeted(self, greeting: Greeting) -> None:
        """The server has answered: the connection is in use from now on, and will be told of its end."""
        self.greeting = greeting

    def abort(self) -> None:
        """Drop the connection now; whatever is outstanding is answered with ConnectionLost."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods of asyncio.Transport, but are none.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        reader, answers = self._reader, self._answers
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not _INCOMPLETE:
                answers.popleft()(reply)
                reply = reader.gets()
        except (hiredis.ProtocolError, IndexError):
            # Not RESP, or an answer nobody asked for (a server that refuses clients says so first): start over.
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        answers, self._answers = self._answers, deque()
        for answer in answers:
            answer(ConnectionLost())
        self._on_lost()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self._on_writable()


async def connect(
    address: Address,
    name: str,
    on_lost: Callable[[], None],
    on_writable: Callable[[], None] = lambda: None,
    within: float = 5.0,
    kind: type[Connection] = Connection,
) -> Connection:
    """Open a connection and greet the server, ``within`` seconds.

    Raises:
        Unavailable: there is no server, or it refuses.
        ConfigurationError: the server is too old.

    Cancelling is safe: the connection is closed.
    """
    loop = asyncio.get_running_loop()
    connection = kind(on_lost, on_writable)
    connection.address = address
    try:
        async with asyncio.timeout(within):
            if address.path:
                await loop.create_unix_connection(lambda: connection, address.path)
            else:
                host = address.host if address.tls else None
                await loop.create_connection(
                    lambda: connection, address.host, address.port, ssl=address.tls, server_hostname=host
                )
            connection.greeted(await _greet(connection, address, name))
    except (OSError, TimeoutError, ConnectionLost) as error:
        connection.abort()
        raise Unavailable(f"no server at {address}: {_reason(error, address, within)}") from error
    except hiredis.ReplyError as error:
        connection.abort()
        raise _not_greeted(error, address) from error
    except BaseException:
        connection.abort()
        raise
    return connection


async def _greet(connection: Connection, address: Address, name: str) -> Greeting:
    credentials = ("AUTH", address.username or "default", address.password) if address.password else ()
    # A server takes printable ASCII; the name may end with that of a channel, and sites may allow others.
    name = re.sub("[^!-~]", "?", name)
    commands: list[tuple[bytes | str | int, ...]] = [("HELLO", 2, *credentials, "SETNAME", name)]
    commands += [("SELECT", address.db)] if address.db else []
    commands += [("INFO", "server", "replication"), ("SCRIPT", "EXISTS", *(script.sha for script in scripts.ALL))]
    answers = await _all(connection, commands)
    hello, info = answers[0], answers[2 if address.db else 1]
    facts = dict(zip(hello[::2], hello[1::2], strict=False)) if isinstance(hello, list) else {}
    if not {b"server", b"version", b"id"} <= facts.keys():
        raise Unavailable(f"what answers at {address} is no Redis or Valkey server")
    _check_version(facts, address)
    fence, promoted = _fence(info, address), not re.search(rb"master_replid2:0+\r", info)
    await _load_scripts(connection, answers[-1])
    offset_ms, uptime = await measure_offset(connection), re.search(rb"uptime_in_seconds:(\d+)", info)
    now_ms = asyncio.get_running_loop().time() * 1000 + offset_ms
    return Greeting(facts[b"id"], fence, offset_ms, promoted, now_ms - 1000 * int(uptime[1] if uptime else 0))


async def _load_scripts(connection: Connection, known: list[int]) -> None:
    """Those that are missing, and nothing when none is: a user who may not load any goes on with those of others."""
    missing = [script.source for script, there in zip(scripts.ALL, known, strict=True) if not there]
    try:
        await _all(connection, [("SCRIPT", "LOAD", source) for source in missing])
    except hiredis.ReplyError as error:
        if str(error).startswith("NOPERM"):
            raise Unavailable(f"{scripts.MISSING} ({connection.address})") from error
        raise


async def _all(connection: Connection, commands: list[tuple[bytes | str | int, ...]]) -> list[Any]:
    """The answers, when all of them have come. Raises the first error among them."""
    answers = await asyncio.gather(*(connection.execute(*command) for command in commands), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


async def measure_offset(connection: Connection) -> float:
    """The server's clock minus the loop's, in milliseconds; wrong by half a round trip at most. Cancelling is safe."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    seconds, micros = await connection.execute("TIME")
    return int(seconds) * 1000 + int(micros) / 1000 - (before + loop.time()) * 500


def _check_version(facts: dict[bytes, Any], address: Address) -> None:
    server, version = facts[b"server"].decode(), facts[b"version"].decode()
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < MINIMUM.get(server, MINIMUM["redis"]):
        raise ConfigurationError(
            f"{server} {version} at {address} is too old: servicebus needs Redis 7.0 or Valkey 7.2, or newer"
        )


def _fence(info: bytes, address: Address) -> int:
    if b"role:slave" in info:
        raise Unavailable(f"{address} is a replica, not a primary")
    found = re.search(rb"run_id:([0-9a-f]{8})", info)
    return int(found[1], 16) if found else 0


def _not_greeted(error: Exception, address: Address) -> ServiceBusError:
    text = str(error)
    if "unknown command" in text:
        return ConfigurationError(f"the server at {address} is too old: servicebus needs Redis 7.0 or Valkey 7.2")
    denied = text.startswith(("WRONGPASS", "NOAUTH", "NOPERM"))
    return Unavailable(f"the server at {address} refused: {text}", retryable=not denied)


def _reason(error: BaseException, address: Address, within: float) -> str:
    if isinstance(error, TimeoutError):
        # A server without TLS waits for the rest of what it takes for a command.
        hint = ", if it speaks TLS at all" if address.tls else ""
        return f"no answer within {within:.0f} s{hint}"
    if isinstance(error, ConnectionLost):
        return "it closed the connection"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'verify_message', '') or error.reason or error}"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)


def into(future: asyncio.Future[Any]) -> Answer:
    """An answer that completes ``future``, unless the waiter has gone away."""

    def answer(reply: Any) -> None:
        if not future.done():
            future.set_result(reply)

    return answer
