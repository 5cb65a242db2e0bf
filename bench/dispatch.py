"""The dispatch loop alone, in process: frame in, decode, validate, route, handler, encode, frame out.

The baseline is what any asyncio worker must do: a task per message that decodes a typed request and encodes a typed
reply with the same msgspec codecs. The ratio of the two is what all the rest costs: frame, fence, deadline, context,
credit.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from servicebus import Context, Request, Service, ServiceBus
from servicebus.dispatch import Dispatcher
from servicebus.layers.base import Limits, Ticket
from servicebus.layers.memory import MemoryLayer
from servicebus.protocol.codec import DEFAULT_MAX_SIZE, encode_frame
from servicebus.protocol.credit import Credit
from servicebus.protocol.envelope import OutgoingRequest

from .stats import median

BATCH = 64


class Line(msgspec.Struct):
    sku: str
    quantity: int


class Reserved(msgspec.Struct):
    order_id: str
    units: int


class Reserve(Request[Reserved], tag="reserve"):
    order_id: str
    lines: list[Line]


service = Service("bench")


@service.handler
async def reserve(request: Reserve, context: Context) -> Reserved:
    return Reserved(request.order_id, len(request.lines))


class Sink(MemoryLayer):
    """A layer that takes replies and forgets them, so that only dispatch is measured."""

    def push(self, ticket: Ticket) -> None:
        self.pushed = getattr(self, "pushed", 0) + 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--messages", type=int, default=100_000, help="per repeat (default 100000)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Nanoseconds per message of the dispatcher and of the baseline, interleaved; the medians and their ratio."""
    layer = Sink("bench-dispatch", Limits())
    await layer.open()
    request = Reserve("o-1", [Line("85123A", 6), Line("71053", 6)])
    async with ServiceBus("memory://bench-dispatch") as bus:
        credit = Credit(BATCH)
        dispatcher = Dispatcher(service, service.operations, bus, layer, credit)
        deadline = layer.now_ms() + 3_600_000
        message = OutgoingRequest("reserve", request, "response.orders.0123456789abcdef!fedcba98", deadline)
        frame = encode_frame(0, deadline, "", message, DEFAULT_MAX_SIZE)
        body = msgspec.msgpack.encode(request)

        def deliver() -> None:
            credit.take(BATCH)
            dispatcher.deliver([frame] * BATCH, 0)

        ours: list[float] = []
        bare: list[float] = []
        for repeat in range(options.repeats):
            print(f"repeat {repeat + 1} of {options.repeats}", file=sys.stderr)
            ours.append(await _timed(options.messages, deliver))
            bare.append(await _timed(options.messages, lambda: _bare_batch(body)))
        await dispatcher.finish(1.0)
    return {"scenario": "dispatch", "dispatch_ns": ours, "bare_task_ns": bare, "ratio": median(ours) / median(bare)}


async def _timed(messages: int, deliver: Callable[[], None]) -> float:
    batches = max(1, messages // BATCH)
    started = time.perf_counter_ns()
    for _ in range(batches):
        deliver()
        await asyncio.sleep(0)
    return (time.perf_counter_ns() - started) / (batches * BATCH)


_decode = msgspec.msgpack.Decoder(Reserve).decode
_encode = msgspec.msgpack.Encoder().encode


async def _bare(body: bytes) -> None:
    request = _decode(body)
    _encode(await reserve(request, Context()))


def _bare_batch(body: bytes) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(BATCH):
        _task(_bare(body), loop)


def _task(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None]:
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    return loop.create_task(work)


def table(report: dict[str, Any]) -> str:
    """The medians and the ratio."""
    return (
        f"dispatch   {median(report['dispatch_ns']):8,.0f} ns per message\n"
        f"bare task  {median(report['bare_task_ns']):8,.0f} ns per message\n"
        f"ratio      {report['ratio']:8.2f}"
    )
