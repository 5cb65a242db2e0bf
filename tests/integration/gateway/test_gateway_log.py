"""What an operator reads in the log of a gateway, and how often."""

from __future__ import annotations

import logging

import pytest

from servicebus import NoWorkers, Service, ServiceBus, Unavailable, UnknownOperation
from servicebus.gateway import Gateway
from servicebus.gateway.exposure import Target
from servicebus.gateway.log import MAX_UNKNOWN, REPEAT_INTERVAL, RequestLog
from servicebus.security.acl import ServiceUser, rules
from servicebus.testing.servers import Server

from ...support.gateway_client import closing, get, post

PASSWORD = "long-enough-for-a-test"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings of the gateway since the last time."""
    found = [(one.name, one.levelno, one.getMessage()) for one in caplog.records]
    caplog.clear()
    return [text for name, level, text in found if name == "servicebus.gateway.log" and level >= logging.WARNING]


async def test_a_server_without_the_scripts_is_reported_once(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with closing(Gateway(own_server.url, expose=["shop"])) as app:
        assert (await post(app, "/shop/echo")).code == "no_workers"
        own_server.run("ACL", "SETUSER", "default", "-script|load")
        own_server.run("SCRIPT", "FLUSH")
        assert {(await post(app, "/shop/echo")).code for _ in range(5)} == {"unavailable"}
        (warning,) = said(caplog)
        assert warning.startswith("shop.request is unavailable: the server does not have the scripts of the bus")
        own_server.run("ACL", "SETUSER", "default", "+script|load")
        assert {(await post(app, "/shop/echo")).code for _ in range(5)} == {"no_workers"}
        assert said(caplog) == ["shop.request is available again"]


async def test_each_channel_has_its_own_outage(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    async with ServiceBus(own_server.url):  # which loads the scripts
        pass
    own_server.run("ACL", "SETUSER", "gateway", *rules(ServiceUser("gateway", False, ("shop.request",)), PASSWORD))
    url = f"unix://gateway:{PASSWORD}@{own_server.path}"
    async with closing(Gateway(url, expose=["shop", "stock"])) as app:
        for _ in range(3):
            assert (await post(app, "/shop/echo")).code == "no_workers"
            assert (await post(app, "/stock/count")).code == "unavailable"
        (warning,) = said(caplog)
    assert warning.startswith("stock.request is unavailable: the server refused: NOPERM")


async def test_the_user_gateway_is_who_may_call_as_the_gateway(own_server: Server) -> None:
    service = Service("shop")

    @service.handler("echo")
    async def echo(message: dict[str, str]) -> dict[str, str]:
        return message

    async with ServiceBus(own_server.url) as bus, bus.serving(service):
        own_server.run("ACL", "SETUSER", "gateway", *rules(ServiceUser("gateway", False, ("shop.request",)), PASSWORD))
        async with closing(Gateway(f"unix://gateway:{PASSWORD}@{own_server.path}", expose=["shop"])) as app:
            assert (await get(app, "/readyz")).status == 200
            assert (await post(app, "/shop/echo")).status == 200


async def test_a_probe_says_once_that_the_server_does_not_answer(
    own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async with closing(Gateway(own_server.url, expose=["shop"])) as app:
        assert (await get(app, "/readyz")).status == 200
        own_server.kill()
        assert {(await get(app, "/readyz")).status for _ in range(3)} == {503}
        (warning,) = said(caplog)
        assert warning.startswith("the server is unavailable: ")


async def test_an_exposed_operation_that_no_worker_knows_is_logged_once(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with ServiceBus(url) as bus, bus.serving(Service("shop")):
        app = Gateway(bus, expose=["shop.ehco"])
        for _ in range(3):
            assert (await post(app, "/shop/ehco")).code == "unknown_operation"
        await post(app, "/shop/not-exposed")
    assert said(caplog) == ["shop.ehco is exposed, but: unknown operation 'ehco'; this service knows: none"]


def ask(log: RequestLog, operation: str) -> None:
    with pytest.raises(UnknownOperation), log.call_of(Target("shop", operation)):
        raise UnknownOperation(operation)


def test_an_unknown_operation_is_logged_again_after_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = [1000.0]
    log = RequestLog(lambda: clock[0])
    for seconds in (0.0, REPEAT_INTERVAL - 1, 1.0, REPEAT_INTERVAL):
        clock[0] += seconds
        ask(log, "ehco")
    assert len(said(caplog)) == 3


def test_outsiders_cannot_fill_the_log_or_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    clock = [1000.0]
    log = RequestLog(lambda: clock[0])
    for number in range(2 * MAX_UNKNOWN):
        ask(log, f"guess-{number}")
    assert len(said(caplog)) == MAX_UNKNOWN
    clock[0] += REPEAT_INTERVAL
    ask(log, "guess")
    assert len(said(caplog)) == 1


def test_a_channel_without_workers_is_not_an_outage_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    log = RequestLog()
    for error in (NoWorkers("shop.request"), Unavailable("gone"), NoWorkers("shop.request"), Unavailable("gone")):
        with pytest.raises(type(error)), log.outages_of("shop.request"):
            raise error
    assert said(caplog) == [
        "shop.request is unavailable: gone",
        "shop.request is available again",
        "shop.request is unavailable: gone",
    ]
