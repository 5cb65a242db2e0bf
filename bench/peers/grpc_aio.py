"""grpc.aio: one unary method, one channel that is kept, on the loop of asyncio.

As in https://grpc.github.io/grpc/python/grpc_asyncio.html and https://grpc.io/docs/guides/performance/ ("always re-use
stubs and channels"). Bodies are msgpack: our own serializers stand for the generated ones of protobuf.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from ..load import Call
from .base import Peer, absent, driven_by, no_server, served_by

NAME = "grpc.aio"
ENCODE = msgspec.msgpack.encode
DECODE = msgspec.msgpack.decode


async def serve(address: str) -> None:
    """Answer every request with its message. Cancelling is safe: the server is stopped."""
    import grpc

    async def echo(message: Any, context: Any) -> Any:
        return message

    method = grpc.unary_unary_rpc_method_handler(echo, request_deserializer=DECODE, response_serializer=ENCODE)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": method}),))
    server.add_insecure_port(address)
    await server.start()
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(None)


@asynccontextmanager
async def client(address: str) -> AsyncIterator[Call]:
    """Yield a function that makes a call."""
    import grpc

    async with grpc.aio.insecure_channel(address) as channel:
        echo = channel.unary_unary("/bench.Echo/Echo", request_serializer=ENCODE, response_deserializer=DECODE)

        async def call(body: str) -> object:
            return await echo({"type": "echo", "body": body}, timeout=5)

        yield call


PEER = Peer(NAME, lambda: absent("grpc"), no_server, served_by(NAME), driven_by(NAME))
