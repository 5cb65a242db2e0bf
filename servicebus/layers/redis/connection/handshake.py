"""The handshake of a connection: who the server is, whether it fits, its fence, its clock, and its scripts.

What the answers mean is decided by functions without I/O; ``connect`` opens the connection and asks.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Callable
from typing import Any

import hiredis

from ....errors import ConfigurationError, ServiceBusError, Unavailable
from ..schema import scripts
from ..topology.address import Address
from .connection import Connection, ConnectionLost
from .greeting import Greeting, Hello, Info, fence_of, lacks_right, read_hello, read_info

MINIMUM_VERSIONS = {"redis": (7, 0), "valkey": (7, 2)}
"""Major and minor version, without a unit, of the oldest server of each kind that has the commands of this layer."""
DEFAULT_CONNECT_WITHIN = 5.0
"""Seconds for an attempt to connect when the caller gives no bound: time to open TCP and TLS on a slow network."""
DENIALS = ("WRONGPASS", "NOAUTH", "NOPERM", "ERR DB index", "ERR invalid DB", "ERR SELECT is not allowed")
"""How errors of the handshake begin that waiting does not cure."""
REFUSALS = {
    "NOAUTH": "it wants a password: redis://:PASSWORD@HOST, or redis://USER:PASSWORD@HOST",
    "WRONGPASS": "check user and password, which are percent-encoded in a URL",
    "ERR max number of clients": "it takes no more connections: raise its maxclients, or end idle clients",
    "ERR DB index": "it does not have so many databases: choose a lower number, or raise its setting databases",
    "ERR SELECT is not allowed": "a Cluster has the database 0 only",
}
"""What to do about an error of the handshake, by how it begins."""


def is_too_old(server: str, version: str) -> bool:
    """Whether a server lacks commands of this layer. A server of an unknown kind is judged as Redis."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return numbers < MINIMUM_VERSIONS.get(server, MINIMUM_VERSIONS["redis"])


def printable(name: str) -> str:
    """The name of a connection as a server takes it, which is printable ASCII: sites may allow more in channels."""
    return re.sub("[^!-~]", "?", name)


def refused_handshake(error: Exception, address: Address) -> ServiceBusError:
    """The error for a server that answered the handshake with an error."""
    text = str(error)
    if "unknown command" in text:
        return ConfigurationError(f"the server at {address} is too old: servicebus needs Redis 7.0 or Valkey 7.2")
    hint = next((hint for beginning, hint in REFUSALS.items() if text.startswith(beginning)), None)
    denied = text.startswith(DENIALS)
    return Unavailable(f"the server at {address} refused: {text}{(hint and f' ({hint})') or ''}", retryable=not denied)


def failure_reason(error: BaseException, address: Address, within: float) -> str:
    """Why there is no connection, in a few words.

    Args:
        error: of the attempt.
        address: of the server.
        within: seconds that the attempt could take.
    """
    if isinstance(error, TimeoutError):
        # A server without TLS takes the beginning of TLS for half a command, and waits for the rest.
        hint = ", if it speaks TLS at all" if address.tls else ""
        return f"no answer within {within:.0f} s{hint}"
    if isinstance(error, ConnectionLost):
        return "it closed the connection"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'verify_message', '') or error.reason or error}"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return str(error)


async def connect(
    address: Address,
    name: str,
    on_lost: Callable[[], None],
    on_writable: Callable[[], None] = lambda: None,
    within: float = DEFAULT_CONNECT_WITHIN,
    kind: type[Connection] = Connection,
) -> Connection:
    """Open a connection and do the handshake. Cancelling is safe: the connection is closed.

    Args:
        address: of the server.
        name: of the connection, as the server lists it.
        on_lost: called when the connection has ended, also when the handshake failed.
        on_writable: called when the connection can take more again.
        within: seconds that all of it may take.
        kind: the class of the connection.

    Raises:
        Unavailable: there is no server, or it refuses.
        ConfigurationError: the server is too old.
    """
    connection = kind(on_lost, on_writable)
    connection.address = address
    try:
        async with asyncio.timeout(within):
            await _open(connection, address)
            connection.greeted(await _greet(connection, address, name))
    except (OSError, TimeoutError, ConnectionLost) as error:
        connection.abort()
        if connection.unasked is not None:
            raise refused_handshake(connection.unasked, address) from error
        raise Unavailable(f"no server at {address}: {failure_reason(error, address, within)}") from error
    except hiredis.ReplyError as error:
        connection.abort()
        raise refused_handshake(error, address) from error
    except (TypeError, ValueError, LookupError, AttributeError) as error:  # an answer of another type than it has
        connection.abort()
        raise Unavailable(f"what answers at {address} does not answer as Redis or Valkey do: {error}") from error
    except BaseException:
        connection.abort()
        raise
    return connection


async def _open(connection: Connection, address: Address) -> None:
    loop = asyncio.get_running_loop()
    if address.path:
        await loop.create_unix_connection(lambda: connection, address.path)
    else:
        host = address.host if address.tls else None
        await loop.create_connection(
            lambda: connection, address.host, address.port, ssl=address.tls, server_hostname=host
        )


async def _greet(connection: Connection, address: Address, name: str) -> Greeting:
    login = await address.login()
    credentials = ("AUTH", *login) if login else ()
    commands: list[tuple[bytes | str | int, ...]] = [("HELLO", 2, *credentials, "SETNAME", printable(name))]
    commands += [("SELECT", address.db)] if address.db else []
    commands += [("INFO", "server", "replication"), ("SCRIPT", "EXISTS", *(script.sha for script in scripts.ALL))]
    *answers, told, known = await _answers(connection, commands)
    _check(answers)
    hello = read_hello(answers[0])
    if hello is None:
        raise Unavailable(f"what answers at {address} is not a Redis or Valkey server")
    if is_too_old(hello.server, hello.version):
        raise ConfigurationError(
            f"{hello.server} {hello.version} at {address} is too old: "
            "servicebus needs Redis 7.0 or Valkey 7.2, or newer"
        )
    info = _without(hello) if lacks_right(told) else read_info(*_check([told]))
    if info.is_replica:
        raise Unavailable(f"{address} is a replica, not a primary")
    await _load_scripts(connection, known)
    offset_ms = await measure_offset(connection)
    now_ms = asyncio.get_running_loop().time() * 1000 + offset_ms
    return Greeting(
        hello.client_id,
        fence_of(info.run_id, info.followed),
        offset_ms,
        info.promoted,
        now_ms - 1000 * info.uptime,
        info.run_id,
    )


async def _load_scripts(connection: Connection, known: Any) -> None:
    """Load the scripts that are missing. A user without the right to load goes on when the server has them all.

    A user who may not ask which are missing loads all. Who may not do that either goes on: the first command that finds
    its script missing says so.
    """
    may_ask = not lacks_right(known)
    there = _check([known])[0] if may_ask else [0] * len(scripts.ALL)
    missing = [script.source for script, is_there in zip(scripts.ALL, there, strict=True) if not is_there]
    try:
        _check(await _answers(connection, [("SCRIPT", "LOAD", source) for source in missing]))
    except hiredis.ReplyError as error:
        if not lacks_right(error):
            raise
        if may_ask:
            raise Unavailable(f"{scripts.MISSING} ({connection.address})") from error


async def _answers(connection: Connection, commands: list[tuple[bytes | str | int, ...]]) -> list[Any]:
    """The answers, when all of them have come; errors are among them."""
    return await asyncio.gather(*(connection.execute(*command) for command in commands), return_exceptions=True)


def _check(answers: list[Any]) -> list[Any]:
    """Return the answers. Raises the first error among them."""
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def _without(hello: Hello) -> Info:
    """What is known of a server that does not answer INFO: nothing is taken from other primaries there."""
    return Info(hello.is_replica, run_id=0, followed=0, promoted=True, uptime=0)


async def measure_offset(connection: Connection) -> float:
    """The server's clock minus the loop's, in milliseconds; wrong by half a round trip at most. Cancelling is safe."""
    loop = asyncio.get_running_loop()
    before = loop.time()
    seconds, micros = await connection.execute("TIME")
    return int(seconds) * 1000 + int(micros) / 1000 - (before + loop.time()) * 500
