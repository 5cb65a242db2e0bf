"""What each fault of the proxy does to plain connections to a real server."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from servicebus import ServiceBus
from servicebus.testing.proxy import Proxy, proxied
from servicebus.testing.servers import Server

from ...support.timing import LONG, MS, Stopwatch, eventually

PONG = b"+PONG\r\n"
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with proxied(server.path) as proxy:
        yield proxy


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    async with connected(proxy) as client:
        yield client


async def read_until_the_end(client: Client) -> bytes:
    found = b""
    async with asyncio.timeout(LONG):
        with suppress(ConnectionResetError):
            while data := await client[0].read(1):
                found += data
    return found


async def asked(client: Client, request: bytes = b"PING\r\n", size: int = len(PONG)) -> bytes:
    client[1].write(request)
    async with asyncio.timeout(LONG):
        return await client[0].readexactly(size)


async def test_without_faults_everything_passes(proxy: Proxy, client: Client) -> None:
    value = bytes(range(256)) * 4000
    answer = b"$%d\r\n%b\r\n" % (len(value), value)
    assert await asked(client, b"*2\r\n$4\r\nECHO\r\n" + answer, len(answer)) == answer
    assert proxy.connections == 1


async def test_the_delay_applies_in_each_direction_and_to_many_at_once(proxy: Proxy, client: Client) -> None:
    proxy.delay = 50 * MS
    with Stopwatch() as watch:
        for _ in range(20):
            client[1].write(b"PING\r\n")
            await asyncio.sleep(2 * MS)
        assert await client[0].readexactly(20 * len(PONG)) == 20 * PONG
    assert 100 * MS <= watch.seconds < 20 * 100 * MS


async def test_jitter_keeps_the_order(proxy: Proxy, client: Client) -> None:
    proxy.jitter = 20 * MS
    for number in range(50):
        client[1].write(b"ECHO %02d\r\n" % number)
        await asyncio.sleep(MS)
    async with asyncio.timeout(LONG):
        answers = [await client[0].readexactly(8) for _ in range(50)]
    assert answers == [b"$2\r\n%02d\r\n" % number for number in range(50)]


async def test_bandwidth_is_limited(proxy: Proxy, client: Client) -> None:
    proxy.bandwidth = 10_000
    with Stopwatch() as watch:
        await asked(client, b"ECHO " + b"x" * 1000 + b"\r\n", 1000)
    assert watch.seconds >= 0.19, "a tenth of a second each way"


async def test_bytes_can_pass_one_at_a_time(proxy: Proxy, client: Client) -> None:
    proxy.slices = 1
    assert await asked(client) == PONG


async def test_a_black_hole_withholds_bytes_until_it_ends(proxy: Proxy, client: Client) -> None:
    proxy.black_hole = True
    client[1].write(b"PING\r\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(50 * MS):
            await client[0].read(1)
    proxy.heal()
    async with asyncio.timeout(LONG):
        assert await client[0].readexactly(len(PONG)) == PONG


async def test_a_proxy_stops_during_a_black_hole(server: Server) -> None:
    proxy = Proxy(server.path)
    await proxy.start()
    async with connected(proxy) as client:
        proxy.black_hole = True
        client[1].write(b"PING\r\n")
        await eventually(lambda: proxy.connections == 1)
        async with asyncio.timeout(LONG):
            await proxy.stop()
        assert await read_until_the_end(client) == b""


async def test_a_connection_is_cut_after_a_number_of_answered_bytes(proxy: Proxy, client: Client) -> None:
    proxy.cut_after = len(PONG) + 3
    assert await asked(client) == PONG
    client[1].write(b"PING\r\n")
    assert await read_until_the_end(client) == PONG[:3]
    assert (proxy.cuts, proxy.cut_after) == (1, 0)


async def test_a_connection_is_cut_between_execution_and_answer(server: Server, proxy: Proxy, client: Client) -> None:
    proxy.cut_before_answer = b"counted"
    client[1].write(b"INCR cou")
    await asyncio.sleep(5 * MS)
    client[1].write(b"nted\r\n")
    assert await read_until_the_end(client) == b""
    assert server.run("GETDEL", "counted") == b"1"
    assert proxy.cuts == 1


async def test_cut_ends_open_connections_and_accepts_new_ones(proxy: Proxy, client: Client) -> None:
    await asked(client)
    proxy.cut()
    assert await read_until_the_end(client) == b""
    async with ServiceBus(proxy.url) as bus:
        await bus.send("shop.request", {"type": "x"})


async def test_refusing_cuts_new_connections_and_keeps_open_ones(proxy: Proxy, client: Client) -> None:
    await asked(client)
    proxy.refusing = True
    async with connected(proxy) as other:
        assert await read_until_the_end(other) == b""
    assert await asked(client) == PONG


async def test_a_connection_to_a_dead_server_is_cut(server: Server) -> None:
    async with proxied(f"{server.path}-not-there") as proxy, connected(proxy) as client:
        assert await read_until_the_end(client) == b""


async def test_the_url_keeps_the_login_and_the_database() -> None:
    with Server(tcp=True, password="secret") as server:
        async with proxied(f"{server.url}/3") as proxy:
            assert proxy.url == f"redis://:secret@127.0.0.1:{proxy.port}/3"
            async with ServiceBus(proxy.url) as bus:
                await bus.send("shop.request", {"type": "x"})
        server.run("SELECT", 3)
        assert len(server.frames("shop.request")) == 1


def certificate(directory: Path) -> Path:
    """Write a key and a self-signed certificate for loopback into a file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now, names = datetime.datetime.now(datetime.UTC), x509.SubjectAlternativeName([x509.DNSName("localhost")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(hours=1))
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    private = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = directory / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, *private) + signed.public_bytes(serialization.Encoding.PEM)
    )
    return file


async def test_clients_can_be_served_with_tls(server: Server, tmp_path: Path) -> None:
    file = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(file)
    async with proxied(server.path, tls=tls) as proxy:
        assert proxy.url.startswith("rediss://")
        url = proxy.url.replace("127.0.0.1", "localhost")
        async with ServiceBus(f"{url}?ssl_ca_certs={file}") as bus:
            await bus.send("shop.request", {"type": "x"})
    assert len(server.frames("shop.request")) == 1
