"""The throughput floor: a hand-written pair on hiredis and ``asyncio.Protocol`` that does nothing but call and answer.

A frame is msgpack: a number that identifies the call, and the same message as ours carries. The frames of one turn of
the event loop leave as one RPUSH. One BLMPOP takes all waiting frames, and the next BLMPOP is sent before these frames
are decoded. There are no deadlines, no capacity, no presence, no errors and no tasks in the worker, and no frame
survives a lost connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

import hiredis
import msgspec

from ..load import Call
from ..peers.base import Peer, driven_by, embedded_server, served_by

NAME = "floor"
REQUESTS = b"floor:requests"
REPLIES = b"floor:replies"
MAX_FRAMES = b"512"
"""Frames that one BLMPOP takes at most: as many as a reader of the bus."""

pack = cast("Callable[[tuple[bytes, ...]], bytes]", hiredis.pack_command)
Deliver = Callable[[list[bytes]], None]


class Frame(msgspec.Struct, array_like=True, gc=False):
    """A message with the number of its call."""

    number: int
    message: dict[str, Any]


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Frame).decode


class Sender(asyncio.Protocol):
    """Pushes to one list, and ignores the answers, which hold the length of the list."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def push(self, frames: list[bytes]) -> None:
        """Push frames with one command."""
        self._transport.write(pack((b"RPUSH", self._key, *frames)))


class Taker(asyncio.Protocol):
    """Takes all waiting frames from one list, again and again."""

    def __init__(self, key: bytes, deliver: Deliver) -> None:
        self._take = pack((b"BLMPOP", b"0", b"1", key, b"LEFT", b"COUNT", MAX_FRAMES))
        """The bytes of the blocking pop."""
        self._deliver = deliver
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first pop."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._take)

    def data_received(self, data: bytes) -> None:
        """Send the next pop, then deliver the frames."""
        self._reader.feed(data)
        answer = self._reader.gets()
        if answer is not False:
            self._transport.write(self._take)
            self._deliver(answer[1])


async def connect(address: str, make: Callable[[], Any]) -> Any:
    """Connect a protocol to the server and return the protocol. Cancelling is safe: the connection is closed."""
    _, protocol = await asyncio.get_running_loop().create_unix_connection(make, address.removeprefix("unix://"))
    return protocol


async def serve(address: str) -> None:
    """Answer every request with its message. Cancelling is safe: the process ends then."""
    replies: Sender = await connect(address, lambda: Sender(REPLIES))

    def deliver(frames: list[bytes]) -> None:
        replies.push([encode(decode(frame)) for frame in frames])

    await connect(address, lambda: Taker(REQUESTS, deliver))
    await asyncio.Event().wait()


class Caller:
    """The pending calls by number, and the frames of this turn of the event loop."""

    def __init__(self, requests: Sender) -> None:
        self._requests = requests
        self._loop = asyncio.get_running_loop()
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._frames: list[bytes] = []

    def call(self, body: str) -> asyncio.Future[object]:
        """Send a call with the other calls of this turn, and return the future of its reply."""
        number = next(self._numbers)
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting[number] = future
        if not self._frames:
            self._loop.call_soon(self._flush)
        self._frames.append(encode(Frame(number, {"type": "echo", "body": body})))
        return future

    def deliver(self, frames: list[bytes]) -> None:
        """Resolve the calls that these replies belong to."""
        pop = self._waiting.pop
        for frame in frames:
            reply = decode(frame)
            pop(reply.number).set_result(reply.message)

    def _flush(self) -> None:
        frames, self._frames = self._frames, []
        self._requests.push(frames)


@asynccontextmanager
async def client(address: str) -> AsyncIterator[Call]:
    """Yield a function that makes a call."""
    caller = Caller(await connect(address, lambda: Sender(REQUESTS)))
    await connect(address, lambda: Taker(REPLIES, caller.deliver))
    yield caller.call


PEER = Peer(NAME, lambda: "", embedded_server, served_by(NAME), driven_by(NAME))
