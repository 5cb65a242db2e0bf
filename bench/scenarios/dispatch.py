"""The dispatch loop alone, in process: frame in, decode, validate, route, handler, encode, frame out.

The baseline is what any asyncio worker must do: a task per message that decodes a typed request and encodes a typed
reply with the same msgspec codecs. The ratio of the two is the price of everything else: frame, fence, deadline,
context, credit. Each stage is also measured alone; the time that the stages do not explain is "the rest".
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from servicebus import Context, Request, Service, ServiceBus
from servicebus.config import DEFAULT_MAX_MESSAGE_SIZE
from servicebus.errors import LARGEST_MESSAGE
from servicebus.layers.delivery import Delivery
from servicebus.layers.limits import Limits
from servicebus.layers.memory import Hub, MemoryLayer
from servicebus.protocol.codec import decode_request, encode_frame
from servicebus.protocol.credit import Credit
from servicebus.protocol.envelope import REPLY, OutgoingReply, OutgoingRequest
from servicebus.serving.dispatcher import Dispatcher

from ..options import positive_int
from ..progress import say
from ..report.charts import Bars, Chart
from ..report.document import Report, metric, ratio_metric
from ..report.text import figure
from ..report.text import table as as_table
from ..stats import median

BATCH = 64
"""Messages that the dispatcher gets at once: a usual batch of a busy reader."""
REST = "the rest"
Deliver = Callable[[], None]


class Line(msgspec.Struct):
    """A line of the request."""

    sku: str
    quantity: int


class Reserved(msgspec.Struct):
    """The reply."""

    order_id: str
    units: int


class Reserve(Request[Reserved], tag="reserve"):
    """The request: as large as a usual one."""

    order_id: str
    lines: list[Line]


service = Service("bench")


@service.handler
async def reserve(request: Reserve, context: Context) -> Reserved:
    """Return a reply, without any work. Cancelling is safe: it never waits."""
    return Reserved(request.order_id, len(request.lines))


class Sink(MemoryLayer):
    """A layer that counts replies and drops them, so that only dispatch is measured."""

    def push(self, delivery: Delivery) -> None:
        """Count a reply."""
        self.pushed = getattr(self, "pushed", 0) + 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    parser.add_argument("--messages", type=positive_int, default=100_000, help="per repeat (default 100000)")
    parser.add_argument("--repeats", type=positive_int, default=7)


async def run(options: argparse.Namespace) -> Report:
    """Measure nanoseconds per message of the dispatcher and of the baseline, interleaved.

    Cancelling is safe: the bus is closed.
    """
    layer = Sink(Hub(), Limits())
    await layer.open()
    async with ServiceBus("memory://bench-dispatch") as bus:
        bench = Bench(bus, layer)
        ours: list[float] = []
        bare: list[float] = []
        stages: dict[str, list[float]] = {name: [] for name in bench.stages}
        for repeat in range(options.repeats):
            ours.append(await _timed(options.messages, bench.deliver))
            bare.append(await _timed(options.messages, bench.bare))
            for name, stage in bench.stages.items():
                stages[name].append(await _timed(options.messages, stage))
            say(f"repeat {repeat + 1} of {options.repeats}: {ours[-1]:,.0f} ns, bare {bare[-1]:,.0f} ns")
        memory = await bench.memory()
        await bench.finish()
    stages[REST] = [one - sum(parts) for one, *parts in zip(ours, *stages.values(), strict=True)]
    measured = {"dispatch_ns": ours, "bare_task_ns": bare, "ratio": median(ours) / median(bare)}
    return {"scenario": "dispatch", **measured, "stages_ns": stages, **memory, "metrics": _metrics(ours, bare, stages)}


class Bench:
    """The dispatcher, its baseline, and its stages: each takes a batch of messages."""

    def __init__(self, bus: ServiceBus, layer: Sink) -> None:
        self._bus = bus
        self._layer = layer
        self._credit = Credit(BATCH)
        self._dispatcher = Dispatcher("bench.request", service, service.operations, bus, bus.wire, layer, self._credit)
        self._deadline = layer.now_ms() + 3_600_000
        lines = [Line("85123A", 6), Line("71053", 6)]
        self._frame = self._framed(Reserve("o-1", lines))
        self._body = msgspec.msgpack.encode(Reserve("o-1", lines))
        self.stages: dict[str, Deliver] = {
            "decode the frame": _batch(lambda: decode_request(self._frame, LARGEST_MESSAGE)),
            "decode the body": _batch(lambda: _decode(self._body)),
            "a task and the handler": self._tasks,
            "encode the reply": _batch(self._encode_reply),
        }

    def _framed(self, request: Reserve) -> bytes:
        message = OutgoingRequest("reserve", request, "response.orders.0123456789abcdef!fedcba98", self._deadline)
        return encode_frame(0, self._deadline, "", message, DEFAULT_MAX_MESSAGE_SIZE)

    def deliver(self) -> None:
        """Give a batch to the dispatcher."""
        self._credit.take(BATCH)
        self._dispatcher.deliver([self._frame] * BATCH, 0)

    def bare(self) -> None:
        """Give a batch to the baseline."""
        loop = asyncio.get_running_loop()
        for _ in range(BATCH):
            _task(_bare(self._body), loop)

    def _tasks(self) -> None:
        loop, request, context = asyncio.get_running_loop(), _decode(self._body), Context()
        for _ in range(BATCH):
            _task(reserve(request, context), loop)

    def _encode_reply(self) -> bytes:
        reply = OutgoingReply(REPLY, Reserved("o-1", 2))
        return encode_frame(0, self._deadline, "response.orders!fedcba98", reply, DEFAULT_MAX_MESSAGE_SIZE)

    async def memory(self) -> dict[str, float]:
        """Return what a message in flight holds: blocks of the allocator, and bytes.

        Cancelling is safe: the handlers are released when the dispatcher finishes.
        """
        blocks = await self._held_by_a_batch(sys.getallocatedblocks)
        tracemalloc.start()
        try:
            size = await self._held_by_a_batch(lambda: tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        return {"blocks_in_flight": blocks, "bytes_in_flight": size}

    async def _held_by_a_batch(self, held: Callable[[], int]) -> float:
        """Measure while all handlers of a batch wait; then release them."""
        released = asyncio.Event()
        waiting = Service("bench")

        async def wait(request: Reserve) -> Reserved:
            await released.wait()
            return Reserved(request.order_id, len(request.lines))

        waiting.handler(wait)
        credit = Credit(BATCH)
        bus, layer = self._bus, self._layer
        dispatcher = Dispatcher("bench.request", waiting, waiting.operations, bus, bus.wire, layer, credit)
        frames = [self._frame] * BATCH
        gc.collect()
        before = held()
        credit.take(BATCH)
        dispatcher.deliver(frames, 0)
        await asyncio.sleep(0)
        taken = held() - before
        released.set()
        await dispatcher.finish(1.0)
        return taken / BATCH

    async def finish(self) -> None:
        """Wait for the handlers. Cancelling is safe: handlers go on."""
        await self._dispatcher.finish(1.0)


def _batch(stage: Callable[[], object]) -> Deliver:
    def deliver() -> None:
        for _ in range(BATCH):
            stage()

    return deliver


async def _timed(messages: int, deliver: Deliver) -> float:
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


def _task(work: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> asyncio.Task[Any]:
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    return loop.create_task(work)


def _metrics(ours: list[float], bare: list[float], stages: dict[str, list[float]]) -> dict[str, Any]:
    found = {"dispatch": metric(ours, "ns", "lower"), "bare task": metric(bare, "ns", "lower")}
    found["dispatch / bare task"] = ratio_metric(ours, bare, "lower")
    return found | {f"stage: {name}": metric(values, "ns", "lower") for name, values in stages.items()}


def table(report: Report) -> str:
    """Return the medians, the ratio, the stages, and what a message in flight holds."""
    metrics = report["metrics"]
    rows = [[name, figure(one["median"]), one["unit"]] for name, one in metrics.items()]
    rows.append(["held by a message in flight", figure(report["blocks_in_flight"]), "blocks"])
    rows.append(["", figure(report["bytes_in_flight"]), "bytes"])
    return as_table(("per message", "median", ""), rows)


def charts(report: Report) -> list[Chart]:
    """Return the stages beside the whole and the baseline."""
    timed = {name: one for name, one in report["metrics"].items() if one["unit"] == "ns"}
    return [Bars("Dispatch by stage", "ns", {k: (one["median"], one["low"], one["high"]) for k, one in timed.items()})]
