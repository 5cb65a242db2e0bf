"""What a server that does not want to, or must not be talked to, makes the caller see."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import hiredis
import pytest
from redis.credentials import CredentialProvider

from servicebus import ConfigurationError, NoWorkers, SendUnknown, Service, ServiceBus, Unavailable
from servicebus.config import Timing
from servicebus.layers.limits import Limits
from servicebus.layers.redis import RedisChannelLayer
from servicebus.layers.redis.layer import RedisLayer
from servicebus.layers.redis.topology.address import Address
from servicebus.testing.proxy import proxied
from servicebus.testing.servers import Server

from ...support.busy_server import is_busy, never_ending_script
from ...support.shop import CHANNEL, calling
from ...support.timing import LONG, MS, eventually
from ...support.transport import (
    Reader,
    left_in,
    outcomes,
    push,
)

KEY = f"asgi:{{{CHANNEL}}}"


def with_credentials(server: Server, credentials: str) -> str:
    return f"unix://{credentials}@{server.path}"


async def refused(url: str) -> Exception:
    """The error of opening a bus."""
    with pytest.raises((Unavailable, ConfigurationError)) as caught:
        async with ServiceBus(url):
            pass
    assert "\n" not in str(caught.value)
    return caught.value


async def test_a_full_server_refuses_and_workers_go_on_taking(own_server: Server) -> None:
    service, ran = Service("shop"), list[int]()

    @service.handler("run")
    async def run(message: dict[str, Any]) -> None:
        ran.append(message["n"])

    async with ServiceBus(own_server.url) as bus:
        await bus.send(CHANNEL, {"type": "run", "n": 1})
        own_server.run("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(Unavailable, match="OOM") as caught:
            await bus.send(CHANNEL, {"type": "run", "n": 2})
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        assert len(own_server.frames(CHANNEL)) == 1
        own_server.run("CONFIG", "SET", "maxmemory", "0")
        async with calling(own_server.url, service):
            own_server.run("CONFIG", "SET", "maxmemory", "1")
            await eventually(lambda: ran == [1])
        own_server.run("CONFIG", "SET", "maxmemory", "0")
        await bus.send(CHANNEL, {"type": "run", "n": 3})


async def test_a_key_of_another_type_refuses_for_good(server: Server) -> None:
    server.run("SET", KEY, "x", "PX", 10_000)
    server.register(CHANNEL)
    async with ServiceBus(server.url) as bus:
        for sending in (bus.send(CHANNEL, {"type": "x"}), bus.call(CHANNEL, {"type": "x"})):
            with pytest.raises(Unavailable, match="WRONGTYPE") as caught:
                await sending
            assert (caught.value.executed, caught.value.retryable) == ("no", False)


async def test_a_busy_server_refuses_and_nothing_was_executed(own_server: Server) -> None:
    own_server.run("CONFIG", "SET", "busy-reply-threshold", "1")
    async with ServiceBus(own_server.url) as bus:
        blocking = asyncio.create_task(asyncio.to_thread(never_ending_script, own_server.path))
        await eventually(lambda: is_busy(own_server))
        with pytest.raises(Unavailable, match="BUSY") as caught:
            await bus.send(CHANNEL, {"type": "x"})
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        own_server.run("SCRIPT", "KILL")
        await blocking
        await bus.send(CHANNEL, {"type": "x"})
    assert len(own_server.frames(CHANNEL)) == 1


async def test_a_replica_is_no_server_to_talk_to(own_server: Server) -> None:
    own_server.run("REPLICAOF", "127.0.0.1", "1")
    error = await refused(own_server.url)
    assert isinstance(error, Unavailable)
    assert "is a replica" in str(error)


async def test_a_primary_that_was_a_replica_for_a_while_is_used_again(
    own_server: Server,
) -> None:
    service = Service("shop")

    @service.handler("echo")
    async def echo(message: dict[str, Any]) -> dict[str, Any]:
        return message

    async with calling(own_server.url, service) as bus:
        await bus.call(CHANNEL, {"type": "echo"})
        own_server.run("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(Unavailable, match="READONLY") as caught:
            await bus.send(CHANNEL, {"type": "echo"})
        assert (caught.value.executed, caught.value.retryable) == ("no", True)
        own_server.run("REPLICAOF", "NO", "ONE")
        await bus.wait_for_workers(CHANNEL)
        await answered(bus)


async def answered(bus: ServiceBus) -> None:
    """Until a call is served again."""
    async with asyncio.timeout(LONG):
        while True:
            try:
                await bus.call(CHANNEL, {"type": "echo"}, timeout=0.3)
                return
            except (Unavailable, NoWorkers, TimeoutError):
                await asyncio.sleep(10 * MS)


async def test_the_password_in_the_url_is_used(own_server: Server) -> None:
    own_server.run("CONFIG", "SET", "requirepass", "s3cret")
    async with ServiceBus(with_credentials(own_server, ":s3cret")) as bus:
        await bus.send(CHANNEL, {"type": "x"})


async def test_a_user_and_password_in_the_url_are_used(own_server: Server) -> None:
    own_server.run("ACL", "SETUSER", "ann", "on", ">p%40ss", "~*", "&*", "+@all")
    async with ServiceBus(with_credentials(own_server, "ann:p%2540ss")) as bus:
        await bus.send(CHANNEL, {"type": "x"})


@pytest.mark.parametrize("credentials", [":wrong", "nobody:s3cret"])
async def test_a_wrong_password_is_refused_for_good_and_not_repeated(own_server: Server, credentials: str) -> None:
    own_server.run("CONFIG", "SET", "requirepass", "s3cret")
    error = await refused(with_credentials(own_server, credentials))
    assert isinstance(error, Unavailable)
    assert "WRONGPASS" in str(error)
    assert "wrong" not in str(error).replace("WRONGPASS", "")
    assert not error.retryable


async def test_a_missing_password_is_refused_for_good(own_server: Server) -> None:
    own_server.run("CONFIG", "SET", "requirepass", "s3cret")
    error = await refused(own_server.url)
    assert isinstance(error, Unavailable)
    assert "NOAUTH" in str(error)
    assert "it wants a password: redis://:PASSWORD@HOST" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("command", ["time", "evalsha"])
async def test_a_permission_that_is_missing_is_said_and_never_tried_again(own_server: Server, command: str) -> None:
    own_server.run("ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all", f"-{command}")
    with pytest.raises(Unavailable, match=f"(?i)NOPERM|{command.partition('|')[0]}") as caught:
        async with ServiceBus(with_credentials(own_server, "ann:pw")) as bus:
            await bus.send(CHANNEL, {"type": "x"})
    assert (caught.value.executed, caught.value.retryable) == ("no", False)


async def test_a_server_that_takes_no_more_clients_is_unavailable(own_server: Server) -> None:
    own_server.run("CONFIG", "SET", "maxclients", "1")
    errors = [await refused(own_server.url) for _ in range(20)]
    assert all(isinstance(error, Unavailable) and error.retryable for error in errors)
    # The server says it and closes the connection at once. If that comes first, what it said is gone.
    told = ("raise its maxclients", "it closed the connection")
    assert all(any(text in str(error) for text in told) for error in errors)
    assert any(told[0] in str(error) for error in errors)


async def test_a_database_that_the_server_does_not_have_is_refused_for_good(own_server: Server) -> None:
    error = await refused(f"{own_server.url}?db=99")
    assert isinstance(error, Unavailable)
    assert not error.retryable
    assert "choose a lower number" in str(error)


async def test_a_user_without_a_password_has_his_rights_and_not_those_of_default(own_server: Server) -> None:
    own_server.run("ACL", "SETUSER", "ann", "on", "nopass", "~*", "&*", "+@all")
    async with ServiceBus(f"unix://ann@{own_server.path}") as bus:
        await bus.send(CHANNEL, {"type": "x"})
        clients = own_server.run("CLIENT", "LIST").decode().splitlines()
        assert [line for line in clients if "name=client" in line]
        assert all("user=ann" in line for line in clients if "name=client" in line)
    error = await refused(f"unix://bob@{own_server.path}")
    assert isinstance(error, Unavailable)
    assert "WRONGPASS" in str(error)
    assert not error.retryable


async def test_a_layer_logs_in_with_what_its_credential_provider_gives(own_server: Server) -> None:
    class Rolling(CredentialProvider):
        password = "one"

        def get_credentials(self) -> tuple[str, str]:
            return "ann", self.password

    own_server.run("ACL", "SETUSER", "ann", "on", ">one", "~*", "&*", "+@all")
    provider = Rolling()
    layer = RedisChannelLayer([{"path": own_server.path, "credential_provider": provider}])
    await layer.send("jobs", {"type": "job"})
    own_server.run("ACL", "SETUSER", "ann", "resetpass", ">two")
    provider.password = "two"
    own_server.run("CLIENT", "KILL", "USER", "ann")
    assert await asyncio.wait_for(layer.receive("jobs"), LONG) == {"type": "job"}
    await layer.close_pools()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_server_that_is_not_there_is_said_in_one_line(unused_port: int, host: str) -> None:
    error = await refused(f"redis://user:secret@{host}:{unused_port}/3")
    assert isinstance(error, Unavailable)
    assert (error.executed, error.retryable) == ("no", True)
    assert str(error).startswith("no server at redis://")
    assert str(unused_port) in str(error)
    assert "secret" not in str(error)
    assert len(str(error)) < 120


async def test_a_socket_that_is_not_there_is_said_in_one_line() -> None:
    error = await refused("unix:///nowhere/at-all.sock")
    assert str(error) == "no server at unix:///nowhere/at-all.sock: No such file or directory"


async def test_a_single_server_is_no_cluster() -> None:
    with Server(tcp=True) as single:
        error = await refused(single.url.replace("redis://", "redis+cluster://"))
        assert isinstance(error, Unavailable)
        assert str(error) == f"not a node of a cluster: {single.url} (redis:// is for a single server)"
        assert (error.executed, error.retryable) == ("no", False)


@pytest.fixture
def unused_port() -> int:
    """Nothing listens there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


# Servers that are no Redis 7: twenty lines that answer each command with the same bytes.


@asynccontextmanager
async def answering(answer: Callable[[list[bytes]], bytes]) -> AsyncIterator[str]:
    """The URL of something that answers every command so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = hiredis.Reader()
        while data := await reader.read(65536):
            parser.feed(data)
            while (command := parser.gets()) is not False:
                writer.write(answer(command))
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        await asyncio.sleep(10 * MS)


def hello_of(server: bytes, version: bytes) -> Callable[[list[bytes]], bytes]:
    def answer(command: list[bytes]) -> bytes:
        if command[0] == b"HELLO":
            parts = [b"server", server, b"version", version, b"proto", b"2"]
            return b"*8\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts) + b"$2\r\nid\r\n:7\r\n"
        if command[0] == b"TIME":
            return b"*2\r\n$1\r\n1\r\n$1\r\n1\r\n"
        return b"$11\r\nrole:master\r\n"

    return answer


@pytest.mark.parametrize(
    ("server", "version"), [(b"redis", b"6.2.14"), (b"valkey", b"7.1.9"), (b"redis", b"5.0"), (b"other", b"6.9")]
)
async def test_a_server_that_is_too_old_is_named_with_what_is_needed(server: bytes, version: bytes) -> None:
    async with answering(hello_of(server, version)) as url:
        error = await refused(url)
    assert isinstance(error, ConfigurationError)
    assert f"{server.decode()} {version.decode()} at {url} is too old" in str(error)
    assert "needs Redis 7.0 or Valkey 7.2" in str(error)


@pytest.mark.parametrize(("server", "version"), [(b"redis", b"7.0.0"), (b"redis", b"8.6"), (b"valkey", b"7.2.13")])
async def test_a_server_that_is_new_enough_is_taken(server: bytes, version: bytes) -> None:
    async with answering(hello_of(server, version)) as url, ServiceBus(url):
        pass


async def test_a_server_that_knows_no_hello_is_too_old() -> None:
    async with answering(lambda command: b"-ERR unknown command `HELLO`, with args beginning with: `2`,\r\n") as url:
        error = await refused(url)
    assert isinstance(error, ConfigurationError)
    assert "is too old" in str(error)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02", b"+OK\r\n", b":1\r\n"]
)
async def test_something_that_is_no_redis_at_all_is_unavailable(answer: bytes) -> None:
    async with answering(lambda command: answer) as url:
        error = await refused(url)
    assert str(url) in str(error)


async def test_a_server_that_closes_at_once_is_unavailable() -> None:
    listening = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    try:
        error = await refused(f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    finally:
        listening.close()
    assert "closed the connection" in str(error)


# Other things that only this layer has.


async def test_a_database_of_the_url_is_selected(server: Server) -> None:
    async with ServiceBus(f"{server.url}?db=3") as bus:
        await bus.send(CHANNEL, {"type": "x"})
        assert server.frames(CHANNEL) == []
    server.run("SELECT", 3)
    assert len(server.frames(CHANNEL)) == 1
    server.run("SELECT", 0)


async def test_two_prefixes_on_one_server_never_meet(server: Server) -> None:
    layers = [RedisLayer(Address(path=server.path), prefix, Limits()) for prefix in ("one", "other")]
    for layer in layers:
        await layer.open()
    one, other = layers
    await Reader(one, CHANNEL, worker_id="w1").consumer.ready()
    assert await outcomes(push(other, CHANNEL, [1], needs_worker=True)) == {NoWorkers: 1}
    await outcomes(push(other, CHANNEL, [2]))
    assert await left_in(other, CHANNEL) == [2]
    for layer in layers:
        await layer.close()


async def test_a_leaving_worker_does_not_prolong_a_dead_workers_registration(server: Server) -> None:
    ends = server_ms(server) + 400
    server.run("ZADD", f"{KEY}:workers", ends, "died-silently")
    server.run("PEXPIRE", f"{KEY}:workers", 400)
    async with calling(server.url, Service("shop")):
        pass
    async with ServiceBus(server.url) as bus:
        while server_ms(server) <= ends:
            await asyncio.sleep(10 * MS)
        with pytest.raises(NoWorkers):
            await bus.call(CHANNEL, {"type": "x"}, timeout=10.0)


def server_ms(server: Server) -> int:
    seconds, micros = server.run("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


async def test_frames_of_several_ticks_are_sent_before_the_layer_closes(server: Server, patient: Timing) -> None:
    async with proxied(server.path) as proxy:
        layer = RedisLayer(Address(port=proxy.port), "asgi", Limits(timing=patient))
        await layer.open()
        proxy.delay = MS
        deliveries = []
        for tick in range(30):
            deliveries += push(layer, CHANNEL, [[tick, "x" * 100_000] for _ in range(5)])
            await asyncio.sleep(0)
        await layer.close()
    assert await outcomes(deliveries) == {None: 150}


async def test_a_process_has_two_connections_and_one_for_each_served_channel(server: Server) -> None:
    service = Service("shop")

    @service.handler("echo")
    async def echo(message: dict[str, Any]) -> dict[str, Any]:
        return message

    @service.on("orders.placed")
    async def on_placed(event: dict[str, Any]) -> None: ...

    async with ServiceBus(server.url) as bus, bus.serving(service):
        await bus.gather(*((CHANNEL, {"type": "echo", "n": n}) for n in range(3000)))
        assert len(server.clients()) == 4


async def test_an_event_that_some_subscribers_have_got_and_others_not_is_unknown(server: Server) -> None:
    async with ServiceBus(server.url) as bus:
        for channel in ("a.events", "b.events"):
            server.run("ZADD", "asgi:group:{orders.placed}", server_ms(server) + 10_000, channel)
        server.run("PEXPIRE", "asgi:group:{orders.placed}", 10_000)
        server.run("SET", "asgi:{b.events}", "x", "PX", 10_000)
        with pytest.raises(SendUnknown, match="some subscribers have it"):
            await bus.publish("orders.placed", {"n": 1})
        assert len(server.frames("a.events")) == 1
        server.run("ZREM", "asgi:group:{orders.placed}", "a.events")
        with pytest.raises(Unavailable, match="WRONGTYPE"):
            await bus.publish("orders.placed", {"n": 1})
