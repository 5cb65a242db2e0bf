"""Users who may do what their service does: it works as before, and everything else is refused, said and logged."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

import hiredis
import pytest

from servicebus import ChannelFull, DeadlineExceeded, ServiceBus, ServiceBusError, Unavailable
from servicebus.protocol.addresses import inbox_mark
from servicebus.security.acl import ServiceUser
from servicebus.testing.servers import Admin, Cluster, SentinelGroup, Server
from services.inventory.contract import CHANNEL as INVENTORY
from services.orders import contract as orders
from services.pricing.contract import CHANNEL as PRICING
from services.replay.audit import audit
from services.replay.client import Client
from services.replay.driver import replay
from services.replay.fleet import CHANNELS, Fleet
from services.replay.plan import make_plan
from services.replay.sample import sample_orders

from ...support.faults.probes import (
    LOW,
    OWN,
    PLACED,
    PROBES,
    SERVED_BY,
    STOCKED_BY,
    TO_ORDERS,
    TO_STOCK,
    WITHIN_A_SCRIPT,
)
from ...support.faults.record import Figures
from ...support.faults.shops import (
    ORDERS,
    REGISTERED,
    STOCK,
    WEB,
    Shop,
    opened,
)
from ...support.faults.users import (
    add_users,
    connection_of,
    denials,
    known_to,
    load_scripts,
    lock,
    password_of,
    url_of,
)
from ...support.timing import LONG, MS, eventually

CALLS = 200
WITHDRAWN = 40
CAPACITY = 3
FLUSHES = 10

ASK_SENTINEL = ("-@all", "+ping", "+client|setinfo", "+sentinel|masters")


@pytest.fixture
def locked() -> Iterator[Server]:
    """With the DEBUG command, which a server refuses by itself otherwise."""
    with Server("--enable-debug-command", "yes") as server:
        lock(server, STOCK, ORDERS, WEB)
        yield server


@pytest.mark.row(33)
async def test_a_user_may_do_all_that_its_service_does(locked: Server, figures: Figures) -> None:
    shop = Shop()
    async with opened(partial(url_of, locked), shop) as web:
        await place(web, CALLS)
        await web.send("orders.request", {"type": "place", "n": 0})
        await eventually(lambda: shop.seen["placed"] == CALLS + 1)
        await cancelled_at_both(web, shop)
        await asyncio.sleep(1.1 * REGISTERED)  # kept up meanwhile
        await reconnected(locked, web)
        await place(web, CALLS)
    assert await web_alone(locked) == []
    assert denials(locked) == []
    figures(33, f"{2 * CALLS} orders of three users, events, cancellation, reconnecting, drain: 0 denials")


async def place(web: ServiceBus, number: int) -> None:
    requests = [("orders.request", {"type": "place", "n": n}) for n in range(number)]
    assert await web.gather(*requests) == list(range(number))


async def cancelled_at_both(web: ServiceBus, shop: Shop) -> None:
    """A call that is cancelled ends in the service that it went to, and in the one that this has called."""
    calls = [asyncio.create_task(web.call("orders.request", {"type": "wait"}, timeout=30)) for _ in range(10)]
    await eventually(lambda: shop.seen["waiting"] == 10)
    for call in calls:
        call.cancel()
    await eventually(lambda: shop.seen["cancelled"] == 10)
    await asyncio.gather(*calls, return_exceptions=True)


async def reconnected(server: Server, web: ServiceBus) -> None:
    server.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await placed_again(web)


async def placed_again(web: ServiceBus) -> None:
    async with asyncio.timeout(LONG):
        while True:
            try:
                return await place(web, 1)
            except ServiceBusError:
                await asyncio.sleep(10 * MS)


async def web_alone(server: Server) -> list[str]:
    """After the drain no worker is registered: a call is refused at once."""
    async with ServiceBus(url_of(server, "web"), service="web") as web:
        assert await web.workers("orders.request") == 0
    return server.frames("orders.request")  # type: ignore[return-value]


@pytest.mark.row(33)
async def test_unread_calls_are_refused_above_the_capacity_and_else_withdrawn(
    locked: Server,
) -> None:
    locked.register("orders.request")
    async with ServiceBus(url_of(locked, "web"), service="web", capacity=WITHDRAWN - CAPACITY) as web:
        calls = [web.call("orders.request", {"type": "place", "n": n}, timeout=0.2) for n in range(WITHDRAWN)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert Counter(map(type, outcomes)) == {DeadlineExceeded: WITHDRAWN - CAPACITY, ChannelFull: CAPACITY}
    assert [type(outcome) for outcome in outcomes[-CAPACITY:]] == [ChannelFull] * CAPACITY
    assert {getattr(outcome, "executed", "") for outcome in outcomes} == {"no"}
    assert locked.frames("orders.request") == []
    assert denials(locked) == []


class LockedFleet(Fleet):
    """The workers of the three services, each with its own user."""

    def __init__(self, directory: Path, server: Server) -> None:
        super().__init__(directory, server.url)
        self._server = server

    def _env(self, name: str) -> dict[str, str]:
        return super()._env(name) | {"SERVICEBUS_URL": url_of(self._server, name)}


DEPLOYED = (
    ServiceUser("inventory", subscribes=(orders.REJECTED,)),
    ServiceUser("pricing"),
    ServiceUser("orders", calls=(INVENTORY, PRICING), publishes=(orders.PLACED, orders.CONFIRMED, orders.REJECTED)),
    ServiceUser("replay", serves=False, calls=CHANNELS),
)


@pytest.mark.row(33)
async def test_a_day_of_orders_runs_through_the_three_services_with_a_user_each(
    own_server: Server, tmp_path: Path, figures: Figures
) -> None:
    lock(own_server, *DEPLOYED)
    plan, fleet = make_plan(sample_orders(), Decimal("0.5")), LockedFleet(tmp_path, own_server)
    async with asyncio.timeout(120):
        try:
            await fleet.migrate()
            await fleet.start()
            async with ServiceBus(url_of(own_server, "replay"), service="replay") as bus:
                await bus.wait_for_workers(*CHANNELS, timeout=30.0)
                done = await replay(Client(bus), plan, 16)
        finally:
            await fleet.stop()
    audit(list(done.outcomes.values()), done.opening, done.closing)
    rejected = sum(each.reason != "" for each in done.outcomes.values())
    assert 0 < rejected < len(done.outcomes)  # so every kind of event was published
    assert denials(own_server) == []
    figures(33, f"{len(plan.steps)} orders through the real services, {rejected} of them rejected: 0 denials")


@pytest.mark.row(33)
async def test_users_of_a_cluster_do_what_their_services_do(cluster: Cluster) -> None:
    for node in cluster.nodes:
        add_users(node, (STOCK, ORDERS, WEB), cluster=True)
        load_scripts(node)
    try:
        shop = Shop()
        async with opened(partial(logged_in, cluster.url), shop) as web:
            await place(web, CALLS)
            await eventually(lambda: shop.seen["placed"] == CALLS)
            await cancelled_at_both(web, shop)
        assert [denials(node) for node in cluster.nodes] == [[]] * len(cluster.nodes)
    finally:
        for node in cluster.nodes:
            node.run("ACL", "DELUSER", "stock", "orders", "web")


@pytest.mark.row(33)
async def test_users_of_a_primary_are_those_of_the_replica_that_is_promoted(own_sentinel: SentinelGroup) -> None:
    for server in own_sentinel.servers:
        add_users(server, (STOCK, ORDERS, WEB))
        load_scripts(server)
    for sentinel in own_sentinel.sentinels:
        sentinel.run(
            "ACL", "SETUSER", "bus", "reset", "on", f">{password_of('bus')}", *known_to(sentinel, ASK_SENTINEL)
        )
    asking = f"?sentinel_username=bus&sentinel_password={password_of('bus')}"
    async with opened(partial(logged_in, own_sentinel.url + asking), Shop()) as web:
        await place(web, CALLS)
        promoted = await own_sentinel.failover()
        await placed_again(web)
        await place(web, CALLS)
    assert [denials(server) for server in (promoted, *own_sentinel.sentinels)] == [[]] * 4


def logged_in(url: str, name: str) -> str:
    return url.replace("://", f"://{name}:{password_of(name)}@")


@pytest.fixture
def stocked(locked: Server) -> Iterator[Server]:
    """Something lies in every key that is tried, and is still there afterwards."""
    for name in (TO_ORDERS, TO_STOCK, OWN):
        locked.run("RPUSH", name, "one", "two")
    for name in (SERVED_BY, STOCKED_BY, PLACED, LOW):
        locked.run("ZADD", name, 1, "by-hand")
    before = contents(locked)
    yield locked
    assert contents(locked) == before


def contents(server: Server) -> dict[str, bytes]:
    return {key: server.run("DUMP", key) for key in server.all_keys()}


@pytest.mark.row(33)
@pytest.mark.parametrize("wish", PROBES)
def test_a_user_who_wants_more_is_refused_and_the_server_notes_who_it_was(
    stocked: Server, figures: Figures, wish: str
) -> None:
    for user, command in PROBES[wish]:
        assert refusal(stocked, user, *command).startswith("NOPERM"), command
        assert [(user, True)] == [(one.user, one.reason in ("command", "key")) for one in denials(stocked)], command
    figures(33, f"to {wish}: {len(PROBES[wish])} of {len(PROBES[wish])} refused with NOPERM and logged")


@pytest.mark.row(33)
def test_scripts_do_nothing_that_their_user_may_not_do(stocked: Server, figures: Figures) -> None:
    for user, command in WITHIN_A_SCRIPT:
        assert refusal(stocked, user, *command).startswith("ERR"), command
        assert [(user, True)] == [(one.user, one.reason in ("command", "key")) for one in denials(stocked)], command
    figures(33, f"a script of the bus, misused: {len(WITHIN_A_SCRIPT)} of {len(WITHIN_A_SCRIPT)} refused and logged")


@pytest.mark.row(33)
def test_only_users_of_the_server_can_connect(stocked: Server, figures: Figures) -> None:
    logins = [("nobody", "x"), ("web", "wrong"), ("web", password_of("stock")), ("default", ""), ("web", "")]
    stranger = Admin(stocked.path)
    for name, password in logins:
        assert answer(stranger, "AUTH", name, password).startswith("WRONGPASS")
        assert [(one.user, one.reason) for one in denials(stocked)] == [(name, "auth")]
    commands = [("PING",), ("INFO",), ("RPUSH", TO_ORDERS, "frame"), ("BLMPOP", "0.01", 1, TO_ORDERS, "LEFT")]
    for command in commands:
        assert answer(stranger, *command).startswith("NOAUTH")
    stranger.close()
    figures(
        33, f"logins: {len(logins)} of {len(logins)} WRONGPASS and logged, {len(commands)} of {len(commands)} NOAUTH"
    )


def refusal(server: Server, user: str, *command: bytes | str | int) -> str:
    connection = connection_of(server, user)
    try:
        return answer(connection, *command)
    finally:
        connection.close()


def answer(connection: Admin, *command: bytes | str | int) -> str:
    """The text of an error, and of an answer that is none."""
    try:
        return repr(connection.run(*command))
    except hiredis.ReplyError as error:
        return str(error)


@pytest.mark.row(33)
async def test_a_caller_without_permission_gets_a_final_not_executed_error(locked: Server, figures: Figures) -> None:
    locked.register("stock.request")
    async with ServiceBus(url_of(locked, "web"), service="web") as web:
        tried = [web.call("stock.request", {"type": "reserve", "n": 1}) for _ in range(20)]
        tried += [web.send("stock.request", {"type": "reserve", "n": 1}), web.publish("orders.placed", {"n": 1})]
        outcomes = await asyncio.gather(*tried, return_exceptions=True)
    told = [(type(error), error.executed, error.retryable) for error in outcomes if isinstance(error, Unavailable)]
    assert told == [(Unavailable, "no", False)] * 22
    assert all("NOPERM" in str(error) for error in outcomes)
    assert locked.frames("stock.request") == []
    assert {one.user for one in denials(locked)} == {"web"}
    figures(33, f"refused by the server: {len(told)} of 22 Unavailable, executed no, retryable False")


@pytest.mark.row(33)
async def test_a_bus_with_a_foreign_name_logs_what_it_may_not_read(
    locked: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(partial(url_of, locked), Shop()), ServiceBus(url_of(locked, "web"), service="else") as bus:
        with pytest.raises(DeadlineExceeded) as caught:
            await bus.call("orders.request", {"type": "place", "n": 1}, timeout=0.3)
        assert caught.value.executed == "maybe"
        connected = locked.clients()
        assert "NOPERM" in caplog.text
        locked.run("ACL", "SETUSER", "web", f"(+blmpop ~asgi:{{{inbox_mark('else')}*!}})")
        async with asyncio.timeout(LONG):
            while await answered(bus) != 2:
                await asyncio.sleep(100 * MS)
        assert locked.clients() == connected


async def answered(bus: ServiceBus) -> object:
    try:
        return await bus.call("orders.request", {"type": "place", "n": 2}, timeout=0.3)
    except DeadlineExceeded:
        return None


@pytest.mark.row(33)
@pytest.mark.parametrize("login", ["web:wrong", "nobody:wrong", ""])
async def test_a_bus_with_a_wrong_login_is_refused_for_good(locked: Server, login: str) -> None:
    url = f"unix://{login}@{locked.path}" if login else locked.url
    with pytest.raises(Unavailable, match=r"WRONGPASS|NOAUTH") as caught:
        await ServiceBus(url, service="web").open()
    assert (caught.value.executed, caught.value.retryable) == ("no", False)


@pytest.mark.row(33)
async def test_callers_without_scripts_get_the_command_that_loads_them(locked: Server, figures: Figures) -> None:
    told: list[tuple[str, bool]] = []
    async with opened(partial(url_of, locked), Shop()) as web:
        for _ in range(FLUSHES):
            locked.run("SCRIPT", "FLUSH")
            calls = (web.call("orders.request", {"type": "place", "n": n}) for n in range(20))
            async with asyncio.timeout(LONG):  # nothing that the caller says of its own accord helps the last one along
                outcomes = await asyncio.gather(*calls, web.workers("orders.request"), return_exceptions=True)
            told += map(missing, outcomes)
            load_scripts(locked)
            await place(web, 20)
    assert told == [("no", True)] * (21 * FLUSHES)
    assert {one.object for one in denials(locked)} == {"script|load"}
    figures(
        33, f"scripts flushed {FLUSHES} times: {len(told)} of {21 * FLUSHES} Unavailable, executed no, with what to do"
    )


@pytest.mark.row(33)
async def test_a_server_without_scripts_is_unavailable_until_they_are_loaded(own_server: Server) -> None:
    add_users(own_server, [WEB])
    bus = ServiceBus(url_of(own_server, "web"), service="web")
    with pytest.raises(Unavailable) as caught:
        await bus.open()
    assert missing(caught.value) == ("no", True)
    load_scripts(own_server)
    async with bus:
        assert await bus.workers("orders.request") == 0


def missing(outcome: object) -> tuple[str, bool]:
    assert isinstance(outcome, Unavailable), outcome
    assert "run `servicebus acl load --url`" in str(outcome)
    return outcome.executed, outcome.retryable
