"""A bus belongs to one event loop: who else may use it, and who may not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import pytest

from servicebus import ConfigurationError, ServiceBus
from servicebus.testing.servers import Server

from ...support.shop import (
    CHANNEL,
    Count,
    calling,
    counter,
)
from ...support.timing import MS, PROGRAM_WITHIN

ANOTHER_LOOP = "belongs to the event loop that opened it"


def test_another_loop_of_the_same_thread_may_not_use_it() -> None:
    bus, loop = ServiceBus("memory://"), asyncio.new_event_loop()
    loop.run_until_complete(bus.open())
    with pytest.raises(ConfigurationError, match=ANOTHER_LOOP):
        asyncio.run(bus.send(CHANNEL, Count()))
    loop.run_until_complete(bus.send(CHANNEL, Count()))
    loop.run_until_complete(bus.close())
    loop.close()


def test_its_loop_may_go_on_in_another_thread(server: Server) -> None:
    bus, loop = ServiceBus(server.url, service="shop"), asyncio.new_event_loop()
    loop.run_until_complete(bus.open())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def work() -> int:
        async with calling(server.url, counter()):
            return await bus.call(CHANNEL, Count())

    try:
        assert asyncio.run_coroutine_threadsafe(work(), loop).result(10) == 0
        bus.sync.send(CHANNEL, Count())
        asyncio.run_coroutine_threadsafe(bus.close(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_a_fork_uses_neither_connections_nor_call_ids_of_its_parent(server: Server) -> None:
    code = f"""
import asyncio, os, sys, servicebus

echo = servicebus.Service("echo")

@echo.handler("echo")
async def answer(message: dict) -> int:
    return message["n"]

async def main():
    async with servicebus.ServiceBus(sys.argv[1], service="echo") as serving, serving.serving(echo):
        async with servicebus.ServiceBus(sys.argv[1]) as bus:
            assert await bus.call("echo.request", {{"type": "echo", "n": 0}}) == 0
            child = os.fork()
            if child == 0:
                for use in (bus.call, bus.send):
                    try:
                        asyncio.run(asyncio.wait_for(use("echo.request", {{"type": "echo", "n": 666}}), 1.0))
                    except BaseException as error:
                        print(type(error).__name__, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            print([await bus.call("echo.request", {{"type": "echo", "n": n}}) for n in range(3)])
            await asyncio.sleep({100 * MS})
            print(serving.counters.handled, bus.counters.late_replies)

asyncio.run(main())
"""
    command = [sys.executable, "-W", "ignore", "-c", code, server.url]
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=PROGRAM_WITHIN, check=True, env={**os.environ}
    )
    assert said.stdout.splitlines() == ["ConfigurationError"] * 2 + ["[0, 1, 2]", "4 0"], said.stderr
