"""A real server for the session, the bus's URL on every layer, and the check that a test leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator

import hypothesis
import pytest

from servicebus.config import Timing
from servicebus.layers.memory import hubs
from servicebus.testing.servers import Cluster, SentinelGroup, Server

from .support.spares import Spares
from .support.timing import LAG, PATIENT, eventually_sync

hypothesis.settings.register_profile("quick", deadline=None, max_examples=25)
hypothesis.settings.register_profile("default", deadline=None, max_examples=100)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=5000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

HOUSE = "tests/unit/house/"
"""Where the tests of the rules of the house are."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one process has to run when several share the tests: a file, the rules of the house, and all histories.

    Tests of the rules share the parsed sources; tests that leave or read a history share it.
    """
    if unstable := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        raise pytest.UsageError(f"give the cases names (ids=) that are the same in every process: {unstable[0]}")
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group_of(item)))


def _group_of(item: pytest.Item) -> str:
    file = item.nodeid.partition("::")[0]
    if "histories" in getattr(item, "fixturenames", ()):
        return "histories"
    return HOUSE if file.startswith(HOUSE) else file


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let programs that tests start be interrupted: background jobs of a shell ignore SIGINT, and hand that down."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def running_servers() -> list[Server]:
    """The session's server, once a test has asked for it."""
    return []


@pytest.fixture(scope="session")
def server(running_servers: list[Server]) -> Iterator[Server]:
    """The session's server. A test that changes its settings or ends it takes ``own_server``."""
    with Server() as started:
        running_servers.append(started)
        yield started
        running_servers.remove(started)


@pytest.fixture
def own_server() -> Iterator[Server]:
    with Server() as started:
        yield started


@pytest.fixture(scope="session")
def running_sentinels() -> list[Server]:
    """Those of the session's group, once a test has asked for it."""
    return []


@pytest.fixture(scope="session")
def sentinel(running_servers: list[Server], running_sentinels: list[Server]) -> Iterator[SentinelGroup]:
    """The session's primary, replica and sentinels. A test that lets one of them fail takes ``own_sentinel``."""
    # Slow to believe that one is down: no busy machine may move the primary.
    with SentinelGroup(down_after=10.0) as group:
        primary = group.primary
        running_servers.append(primary)
        running_sentinels.extend(group.sentinels)
        yield group
        running_servers.remove(primary)
        running_sentinels.clear()


@pytest.fixture
def own_sentinel() -> Iterator[SentinelGroup]:
    with SentinelGroup() as group:
        yield group


@pytest.fixture(scope="session")
def cluster(running_servers: list[Server]) -> Iterator[Cluster]:
    """The session's cluster of three primaries. A test that changes it or lets a node fail takes ``own_cluster``."""
    with Cluster(node_timeout=10.0) as started:
        running_servers.extend(started.nodes)
        yield started
        for node in started.nodes:
            running_servers.remove(node)


@pytest.fixture(scope="session")
def spare_clusters(request: pytest.FixtureRequest) -> Iterator[Spares]:
    spares = Spares(sum("own_cluster" in getattr(item, "fixturenames", ()) for item in request.session.items))
    yield spares
    spares.end()


@pytest.fixture
def own_cluster(spare_clusters: Spares) -> Iterator[Cluster]:
    """Three primaries with a replica each."""
    started = spare_clusters.take()
    yield started
    started.end()


@pytest.fixture
def fresh_hub() -> Iterator[str]:
    """The URL of a hub of its own, on which nobody may be left."""
    name = uuid.uuid4().hex
    yield f"memory://{name}"
    for hub in hubs.forget(name):
        assert not hub.read_channels(), f"left behind: consumers of {hub.read_channels()}"


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """A bus URL: of a fresh hub, then of the real server."""
    found: str = (
        request.getfixturevalue("server").url if request.param == "redis" else request.getfixturevalue("fresh_hub")
    )
    return found


@pytest.fixture
def patient() -> Timing:
    """Senders wait for as long as servers may take on a busy machine. Tests check that time on its own."""
    return PATIENT


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no server."""
    monkeypatch.delenv("SERVICEBUS_URL", raising=False)


@pytest.fixture(scope="session")
def reported_connections() -> set[tuple[str, int]]:
    """URL of the server and ID of each connection that a test left behind: the tests after it are not at fault."""
    return set()


@pytest.fixture(autouse=True)
def leaves_nothing_behind(
    request: pytest.FixtureRequest,
    running_servers: list[Server],
    running_sentinels: list[Server],
    reported_connections: set[tuple[str, int]],
) -> Iterator[None]:
    """No task, no connection to the session's servers, and no key without a TTL may outlive a test."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("leaves_no_task_behind")
    yield
    for server in running_servers:
        check_keys(server)
        check_connections(server, reported_connections)
    for watcher in running_sentinels:
        check_connections(watcher, reported_connections)


def check_keys(server: Server) -> None:
    keys = server.keys_without_ttl()
    server.run("FLUSHALL")
    assert not keys, f"left behind: keys without a TTL {keys}"


def check_connections(server: Server, reported: set[tuple[str, int]]) -> None:
    """Fail when connections stay open that no earlier test was reported for."""

    def left() -> dict[int, str]:
        return {id: name for id, name in server.clients().items() if (server.url, id) not in reported}

    with contextlib.suppress(AssertionError):
        eventually_sync(lambda: not left())
    found = left()
    reported.update((server.url, id) for id in found)
    assert not found, f"left behind: connections {found} to {server.url}"


@pytest.fixture
async def leaves_no_task_behind() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    LAG.start()
    yield
    LAG.stop()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"left behind: {left}"
