"""How the application begins, is ready, has enough to do, and ends, with its bus and its server."""

from __future__ import annotations

import asyncio
from typing import Any

from servicebus import ServiceBus
from servicebus.gateway import Gateway
from servicebus.testing.servers import Server

from ...support.gateway_client import (
    begin,
    closing,
    get,
    post,
)
from ...support.gateway_desk import Desk
from ...support.timing import MS, eventually


async def test_more_than_may_be_in_progress_are_refused_and_probes_are_not(bus: ServiceBus, desk: Desk) -> None:
    app = Gateway(bus, expose=["shop"], max_requests=1)
    first = begin(app, "/shop/sleep")
    first.feed(b"{}")
    await eventually(lambda: desk.started == 1)
    answer = await post(app, "/shop/echo")
    assert (answer.status, answer.code, answer.json["executed"]) == (503, "overloaded", "no")
    assert answer.headers[b"retry-after"] == b"1"
    assert (await get(app, "/readyz")).status == 200
    first.disconnect()
    await first.task
    assert (await post(app, "/shop/echo")).status == 200


async def test_a_drain_waits_for_what_is_in_progress_and_refuses_what_comes(bus: ServiceBus, desk: Desk) -> None:
    app = Gateway(bus, expose=["shop"])
    first = begin(app, "/shop/sleep", (b"x-request-timeout", b"0.2"))
    first.feed(b"{}")
    await eventually(lambda: desk.started == 1)
    draining = asyncio.create_task(app.drain(10.0))
    await asyncio.sleep(0)
    late = await post(app, "/shop/echo")
    assert (late.status, late.code, late.json["executed"]) == (503, "unavailable", "no")
    assert ((await get(app, "/readyz")).status, (await get(app, "/livez")).status) == (503, 200)
    await draining
    assert (await first.answer()).status == 504


async def test_a_bus_that_was_open_stays_open(bus: ServiceBus) -> None:
    app = Gateway(bus, expose=["shop"])
    assert (await post(app, "/shop/echo")).status == 200
    await app.close()
    assert (await get(app, "/readyz")).status == 503
    assert await bus.call("shop.request", {"type": "echo"})


async def test_the_lifespan_opens_and_closes_the_bus(server: Server, desk: Desk) -> None:
    own = ServiceBus(server.url)
    app = Gateway(own, expose=["shop"])
    incoming: asyncio.Queue[Any] = asyncio.Queue()
    sent: asyncio.Queue[Any] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan"}, incoming.get, sent.put))
    incoming.put_nowait({"type": "lifespan.startup"})
    assert (await sent.get())["type"] == "lifespan.startup.complete"
    assert await own.workers("shop.request") == 0
    incoming.put_nowait({"type": "lifespan.shutdown"})
    assert (await sent.get())["type"] == "lifespan.shutdown.complete"
    await task
    assert own.loop is None


async def startup(url: str) -> list[Any]:
    """What a gateway answers to the first message of its lifespan, and to all that follow."""
    sent: list[Any] = []
    incoming = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Any:
        return {"type": next(incoming)}

    async def send(message: Any) -> None:
        sent.append(message)

    async with closing(Gateway(url, expose=["shop"])) as app:
        await app({"type": "lifespan"}, receive, send)
    return sent


async def test_a_site_starts_while_the_server_is_away() -> None:
    sent = await startup("redis://127.0.0.1:1")
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_site_does_not_start_where_waiting_does_not_help(own_server: Server) -> None:
    own_server.run("CONFIG", "SET", "requirepass", "open sesame")
    (message,) = await startup(own_server.url)
    assert message["type"] == "lifespan.startup.failed"
    assert "NOAUTH" in message["message"]


async def test_without_a_lifespan_the_first_requests_open_the_bus_once(server: Server, desk: Desk) -> None:
    async with ServiceBus(server.url) as bus, bus.serving(desk.service):
        async with closing(Gateway(server.url, expose=["shop"])) as app:
            answers = await asyncio.gather(*(post(app, "/shop/echo") for _ in range(10)))
            assert {answer.status for answer in answers} == {200}
            assert desk.seen[-1].caller == "gateway"


async def test_a_server_that_comes_late_is_found_by_the_next_request(own_server: Server, desk: Desk) -> None:
    own_server.kill()
    async with closing(Gateway(own_server.url, expose=["shop"])) as app:
        answer = await post(app, "/shop/echo")
        assert (answer.status, answer.code, answer.json["executed"]) == (503, "unavailable", "no")
        assert (await get(app, "/readyz")).status == 503
        assert (await get(app, "/livez")).status == 200
        own_server.start_again()
        assert (await get(app, "/readyz")).status == 200
        assert (await post(app, "/shop/echo")).code == "no_workers"


async def test_the_client_that_opened_the_bus_may_leave_without_harm_to_others(own_server: Server) -> None:
    async with closing(Gateway(own_server.url, expose=["shop"])) as app:
        with own_server.standing_still():
            first, second = begin(app, "/shop/echo"), begin(app, "/shop/echo")
            for exchange in (first, second):
                exchange.feed(b"{}")
            await asyncio.sleep(50 * MS)
            first.disconnect()
            await first.task
        assert first.sent == []
        assert (await second.answer()).code == "no_workers"


async def test_a_paused_server_makes_the_gateway_not_ready_in_bounded_time(own_server: Server) -> None:
    async with closing(Gateway(own_server.url, expose=["shop"])) as app:
        assert (await get(app, "/readyz")).status == 200
        with own_server.standing_still():
            assert (await get(app, "/readyz")).status == 503


async def test_a_server_lost_during_a_probe_makes_the_gateway_not_ready(own_server: Server) -> None:
    async with closing(Gateway(own_server.url, expose=["shop"])) as app:
        assert (await get(app, "/readyz")).status == 200
        with own_server.standing_still():
            probe = asyncio.create_task(get(app, "/readyz"))
            await asyncio.sleep(50 * MS)
            own_server.kill()
            answer = await probe
        assert (answer.status, answer.json["executed"]) == (503, "no")


OPENING = 300 * MS
"""Seconds that a slow bus takes to open."""


class SlowToOpen(ServiceBus):
    """A bus that takes a while to open."""

    async def open(self) -> None:
        await asyncio.sleep(OPENING)
        await super().open()


async def test_opening_and_calling_share_one_deadline(server: Server, desk: Desk) -> None:
    async with ServiceBus(server.url) as worker, worker.serving(desk.service):
        gateway = Gateway(SlowToOpen(server.url, service="gateway"), expose=["shop"], timeout=20.0)
        async with closing(gateway) as app:
            before_ms = worker.session.now_ms()
            assert (await post(app, "/shop/echo")).status == 200
    assert desk.seen[-1].deadline_ms < before_ms + 20_000 + OPENING * 500


async def test_a_bus_that_opens_too_late_leaves_no_call_behind(server: Server, desk: Desk) -> None:
    async with ServiceBus(server.url) as worker, worker.serving(desk.service):
        gateway = Gateway(SlowToOpen(server.url, service="gateway"), expose=["shop"], timeout=OPENING / 2)
        async with closing(gateway) as app:
            answer = await post(app, "/shop/echo")
    assert (answer.status, answer.json["executed"]) == (503, "no")
    assert desk.seen == []
