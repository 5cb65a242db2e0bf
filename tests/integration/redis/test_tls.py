"""TLS and passwords. The bundled server speaks no TLS, so a proxy ends it in front of the real one."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from servicebus import ServiceBus, Unavailable
from servicebus.config import Timing
from servicebus.layers.redis import RedisChannelLayer
from servicebus.testing.proxy import Proxy, proxied
from servicebus.testing.servers import Cluster, Server

from ...support.certificates import HOUR, Authority
from ...support.shop import CHANNEL, calling, echoing
from ...support.timing import LONG, eventually

Secured = Callable[[Path], AbstractAsyncContextManager[Proxy]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("tls"), "authority")


@pytest.fixture
def secured(server: Server) -> Secured:
    """The real server behind TLS, with a certificate."""
    return lambda certificate: proxied(server.path, tls=context(certificate))


def context(certificate: Path) -> ssl.SSLContext:
    found = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    found.load_cert_chain(certificate)
    return found


def url_of(proxy: Proxy, authority: Authority, host: str = "localhost") -> str:
    return f"rediss://{host}:{proxy.port}/0?ssl_ca_certs={authority.file}"


async def test_bus_and_channels_layer_speak_tls_to_a_certified_server(secured: Secured, authority: Authority) -> None:
    async with secured(authority.certify("localhost")) as proxy:
        url = url_of(proxy, authority)
        layers = [
            RedisChannelLayer([url]),
            RedisChannelLayer(
                [{"address": f"redis://localhost:{proxy.port}", "ssl": True, "ssl_ca_certs": str(authority.file)}]
            ),
        ]
        async with calling(url, echoing()) as bus:
            assert await bus.call(CHANNEL, {"type": "echo", "n": 1}) == {"type": "echo", "n": 1}
        for layer in layers:
            await layer.send("jobs", {"n": 1})
            assert await layer.receive("jobs") == {"n": 1}
            await layer.close_pools()


@pytest.mark.row(34)
@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("another authority", "TLS failed: unable to get local issuer certificate"),
        ("another host", "TLS failed: Hostname mismatch"),
        ("expired", "TLS failed: certificate has expired"),
    ],
)
async def test_a_server_that_is_not_vouched_for_gets_nothing(
    secured: Secured, authority: Authority, server: Server, fault: str, complaint: str, tmp_path: Path
) -> None:
    signer = Authority.made(tmp_path, "another") if fault == "another authority" else authority
    host = "elsewhere.invalid" if fault == "another host" else "localhost"
    certificate = signer.certify(host, -HOUR if fault == "expired" else HOUR)
    async with secured(certificate) as proxy:
        url = url_of(proxy, authority)
        await refused(url, server, complaint)
        layer, before = RedisChannelLayer([url]), commands(server)
        with pytest.raises(Unavailable, match=complaint):
            await layer.send("jobs", {"secret": "payload"})
        await layer.close_pools()
        assert commands(server) == before


@pytest.mark.row(34)
async def test_neither_side_of_tls_talks_to_the_plain_one(
    secured: Secured, authority: Authority, server: Server
) -> None:
    async with secured(authority.certify("localhost")) as proxy, proxied(server.path) as plain:
        await refused(f"redis://localhost:{proxy.port}/0", server, "no server at redis://localhost")
        await refused(url_of(plain, authority), server, r"no server at rediss://localhost.*if it speaks TLS")


async def refused(url: str, server: Server, complaint: str) -> None:
    """The bus does not open, and not even a log-in reaches the server."""
    before = commands(server)
    with pytest.raises(Unavailable, match=complaint) as caught:
        async with ServiceBus(url):
            pass
    assert caught.value.executed == "no"
    assert commands(server) == before


def commands(server: Server) -> dict[str, str]:
    """How often the server has run what logs in, sends, or looks around."""
    calls = server.info("commandstats")
    return {name: calls.get(f"cmdstat_{name}", "") for name in ("hello", "auth", "evalsha", "script|load", "rpush")}


async def test_a_cluster_is_spoken_to_under_tls_by_whichever_node_is_named(
    authority: Authority, patient: Timing
) -> None:
    with Cluster() as cluster:
        async with in_front_of(cluster, authority.certify("localhost")) as ports:
            url = f"rediss+cluster://localhost:{ports[1]}?ssl_ca_certs={authority.file}&ssl_check_hostname=false"
            services = [echoing(f"shop{number}") for number in range(6)]
            async with calling(url, *services, timing=patient) as bus:
                for service in services:
                    assert await bus.call(service.request_channel, {"type": "echo"}) == {"type": "echo"}


@asynccontextmanager
async def in_front_of(cluster: Cluster, certificate: Path) -> AsyncIterator[list[int]]:
    """A proxy before each node, whose port the nodes name instead of their own."""
    async with AsyncExitStack() as stack:
        proxies = []
        for node in cluster.nodes:
            proxies.append(await stack.enter_async_context(proxied(node.path, tls=context(certificate))))
            node.run("CONFIG", "SET", "cluster-announce-port", proxies[-1].port)
        ports = [proxy.port for proxy in proxies]
        await eventually(lambda: all(names_all(node, ports) for node in cluster.nodes), within=LONG)
        yield ports


def names_all(node: Server, ports: list[int]) -> bool:
    return all(f":{port}@".encode() in node.run("CLUSTER", "NODES") for port in ports)


@pytest.fixture
def guarded() -> Iterator[Server]:
    with Server(tcp=True, password="a secret") as server:
        server.run("ACL", "SETUSER", "shop", "on", ">another", "~asgi:*", "+@all")
        yield server


async def test_a_password_and_a_user_are_let_in_and_anybody_else_is_not(guarded: Server) -> None:
    where = f"127.0.0.1:{guarded.port}"
    for login in (":a%20secret@", "default:a%20secret@", "shop:another@"):
        async with ServiceBus(f"redis://{login}{where}") as bus:
            await bus.send(CHANNEL, {"type": "run"})
    for login, complaint in {"": "NOAUTH", ":wrong@": "WRONGPASS", "shop:wrong@": "WRONGPASS"}.items():
        with pytest.raises(Unavailable, match=complaint) as caught:
            async with ServiceBus(f"redis://{login}{where}"):
                pass
        assert not caught.value.retryable
        assert "wrong" not in str(caught.value)
    assert len(guarded.frames(CHANNEL)) == 3


async def test_a_cluster_has_one_password_for_all_its_nodes() -> None:
    with Cluster(password="secret") as cluster:
        async with ServiceBus(cluster.url) as bus:
            await asyncio.gather(*(bus.send(f"shop{number}.request", {"type": "run"}) for number in range(6)))
        for login in ("", ":wrong@"):
            with pytest.raises(Unavailable, match=r"no node answers|NOAUTH|WRONGPASS") as caught:
                async with ServiceBus(cluster.url.replace(":secret@", login)):
                    pass
            assert "wrong" not in str(caught.value)
