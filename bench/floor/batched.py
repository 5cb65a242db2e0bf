"""The throughput floor: a hand-written pair on hiredis and ``asyncio.Protocol`` that does nothing but call and answer.

A frame is msgpack: a number that finds the caller again, and the same message as ours carries. What is sent in one tick
leaves as one RPUSH; what waits is taken by one BLMPOP, which is asked for again before the frames are looked at. There
are no deadlines, no capacity, no presence, no errors, no tasks in the worker, and nothing survives a lost connection.
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
REQUESTS, REPLIES = b"floor:requests", b"floor:replies"
MOST = b"512"

pack = cast("Callable[[tuple[bytes, ...]], bytes]", hiredis.pack_command)
Deliver = Callable[[list[bytes]], None]


class Frame(msgspec.Struct, array_like=True, gc=False):
    number: int
    message: dict[str, Any]


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Frame).decode


class Sender(asyncio.Protocol):
    """Pushes to one list. The answers say how long it is, which nobody asks."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def push(self, frames: list[bytes]) -> None:
        self._transport.write(pack((b"RPUSH", self._key, *frames)))


class Taker(asyncio.Protocol):
    """Takes from one list whatever waits, for ever."""

    def __init__(self, key: bytes, deliver: Deliver) -> None:
        self._take, self._deliver = pack((b"BLMPOP", b"0", b"1", key, b"LEFT", b"COUNT", MOST)), deliver
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._take)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        answer = self._reader.gets()
        if answer is not False:
            self._transport.write(self._take)
            self._deliver(answer[1])


async def connect(address: str, make: Callable[[], Any]) -> Any:
    _, protocol = await asyncio.get_running_loop().create_unix_connection(make, address.removeprefix("unix://"))
    return protocol


async def serve(address: str) -> None:
    replies: Sender = await connect(address, lambda: Sender(REPLIES))

    def deliver(frames: list[bytes]) -> None:
        replies.push([encode(decode(frame)) for frame in frames])

    await connect(address, lambda: Taker(REQUESTS, deliver))
    await asyncio.Event().wait()


class Caller:
    """Calls that wait, by number, and the frames of this tick."""

    def __init__(self, requests: Sender) -> None:
        self._requests = requests
        self._loop = asyncio.get_running_loop()
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._frames: list[bytes] = []

    def call(self, body: str) -> asyncio.Future[object]:
        number = next(self._numbers)
        future: asyncio.Future[object] = self._loop.create_future()
        self._waiting[number] = future
        if not self._frames:
            self._loop.call_soon(self._flush)
        self._frames.append(encode(Frame(number, {"type": "echo", "body": body})))
        return future

    def deliver(self, frames: list[bytes]) -> None:
        pop = self._waiting.pop
        for frame in frames:
            reply = decode(frame)
            pop(reply.number).set_result(reply.message)

    def _flush(self) -> None:
        frames, self._frames = self._frames, []
        self._requests.push(frames)


@asynccontextmanager
async def client(address: str) -> AsyncIterator[Call]:
    caller = Caller(await connect(address, lambda: Sender(REQUESTS)))
    await connect(address, lambda: Taker(REPLIES, caller.deliver))
    yield caller.call


PEER = Peer(NAME, lambda: "", embedded_server, served_by(NAME), driven_by(NAME))
