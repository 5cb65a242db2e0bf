"""The Channels layer beside that of channels_redis, in one process, on one server, over the same interface.

Each step is what a site does: a consumer that sends, a worker that works off a backlog, two consumers that answer each
other, a room of a thousand sockets, a view that sends to a group. A step takes a fraction of a second.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync

from servicebus.foundation.event_loop import loop_factory
from servicebus.layers.redis import RedisChannelLayer
from servicebus.layers.redis.embedded import EmbeddedServer

from ..options import positive_int
from ..peers.channels_redis_layer import host
from ..processes import free_port
from ..progress import say
from ..report.charts import Bars, Chart
from ..report.document import Better, Report, metric, ratio_metric
from ..report.text import figure
from ..report.text import table as as_table
from ..stats import median, percentile

MESSAGE = {"type": "chat.message", "text": "x" * 100}
"""The message of every step: a usual chat line."""
SENDS_AT_ONCE = 1000
"""Sends at once, for which the connections that a layer opens are counted."""
CAPACITY = 100_000
"""Messages per channel: more than any step leaves unread."""
SETTLE = 0.3
"""Seconds for the members of a group to begin to receive, before the measurement starts."""
Measure = Callable[[Any, argparse.Namespace], Awaitable[float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the scenario."""
    parser.add_argument("--messages", type=positive_int, default=1000, help="per step (default 1000)")
    parser.add_argument("--members", type=positive_int, default=1000, help="of the group that fans out (default 1000)")
    parser.add_argument("--repeats", type=positive_int, default=5)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio", help="daphne has that of asyncio")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every step on both layers, interleaved. Cancelling is safe: the server is ended."""
    results: dict[str, dict[str, list[float]]] = {step: {name: [] for name in LAYERS} for step in STEPS}
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    async with EmbeddedServer("--port", str(port), "--bind", "127.0.0.1"):
        for repeat in range(options.repeats):
            for step, (measure, _, _) in STEPS.items():
                say(f"repeat {repeat + 1} of {options.repeats}: {step}")
                for name, make in LAYERS.items():
                    results[step][name].append(await asyncio.to_thread(_in_a_loop, make, url, measure, options))
        connections = {name: await _connections(make, url) for name, make in LAYERS.items()}
    ratios = {step: median(ours["servicebus"]) / median(ours["channels_redis"]) for step, ours in results.items()}
    measured = {"results": results, "ratios": ratios, "connections": connections, "metrics": _metrics(results)}
    return {"scenario": "layers", "loop": options.loop, **measured}


def _metrics(results: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for step, (_, unit, _) in STEPS.items():
        better: Better = "lower" if unit == "ms" else "higher"
        by_layer = results[step]
        found |= {f"{name}, {step}": metric(values, unit, better) for name, values in by_layer.items()}
        found[f"ratio, {step}"] = ratio_metric(by_layer["servicebus"], by_layer["channels_redis"], better)
    return found


def _in_a_loop(make: Callable[[str], Any], url: str, measure: Measure, options: argparse.Namespace) -> float:
    with asyncio.Runner(loop_factory=loop_factory() if options.loop == "uvloop" else None) as runner:
        return runner.run(_on_fresh_layer(make(url), measure, options))


async def _on_fresh_layer(layer: Any, measure: Measure, options: argparse.Namespace) -> float:
    try:
        await layer.flush()
        return await measure(layer, options)
    finally:
        await layer.flush()
        await layer.close_pools()


async def send(layer: Any, options: argparse.Namespace) -> float:
    """Return messages per second, sent one after the other. Cancelling is safe: the layer is flushed and closed."""
    await layer.send("work", MESSAGE)
    started = time.perf_counter()
    for _ in range(options.messages):
        await layer.send("work", MESSAGE)
    return float(options.messages / (time.perf_counter() - started))


async def receive(layer: Any, options: argparse.Namespace) -> float:
    """Return messages per second from a backlog, received one after the other.

    Cancelling is safe: the layer is flushed and closed.
    """
    for _ in range(options.messages):
        await layer.send("work", MESSAGE)
    started = time.perf_counter()
    for _ in range(options.messages):
        await layer.receive("work")
    return float(options.messages / (time.perf_counter() - started))


async def ping_pong(layer: Any, options: argparse.Namespace) -> float:
    """Return the median milliseconds until a waiting consumer's answer arrives.

    Cancelling is safe: the layer is flushed and closed.
    """
    there, back = await layer.new_channel(), await layer.new_channel()
    rounds = max(1, options.messages // 2)

    async def answer() -> None:
        for _ in range(rounds):
            await layer.send(back, await layer.receive(there))

    answering = asyncio.ensure_future(answer())
    times = []
    for _ in range(rounds):
        before = time.perf_counter()
        await layer.send(there, MESSAGE)
        await layer.receive(back)
        times.append(time.perf_counter() - before)
    await answering
    return percentile(times, 0.5) * 1000


async def fan_out(layer: Any, options: argparse.Namespace) -> float:
    """Return deliveries per second to a group of consumers in this process.

    Cancelling is safe: the layer is flushed and closed.
    """
    sends, members = 10, [await layer.new_channel() for _ in range(options.members)]
    for channel in members:
        await layer.group_add("room", channel)

    async def listen(channel: str) -> None:
        for _ in range(sends):
            await layer.receive(channel)

    await layer.group_send("room", MESSAGE)
    await asyncio.gather(*(layer.receive(channel) for channel in members))
    listening = [asyncio.ensure_future(listen(channel)) for channel in members]
    await asyncio.sleep(SETTLE)
    started = time.perf_counter()
    for _ in range(sends):
        await layer.group_send("room", MESSAGE)
    await asyncio.gather(*listening)
    return float(sends * options.members / (time.perf_counter() - started))


async def from_sync_code(layer: Any, options: argparse.Namespace) -> float:
    """Return ``async_to_sync(layer.group_send)`` per second, in a thread without a loop, as a view calls it.

    Cancelling is safe: the layer is flushed and closed.
    """
    calls = max(1, options.messages // 5)
    await layer.group_add("room", await layer.new_channel())

    def work() -> float:
        send = async_to_sync(layer.group_send)
        started = time.perf_counter()
        for _ in range(calls):
            send("room", MESSAGE)
        return float(calls / (time.perf_counter() - started))

    calls_per_second: float = await asyncio.to_thread(work)
    return calls_per_second


async def _connections(make: Callable[[str], Any], url: str) -> int:
    """Return how many connections a thousand sends at once open."""
    from redis.asyncio import Redis

    layer, admin = make(url), Redis.from_url(url)
    try:
        before = (await admin.info("stats"))["total_connections_received"]
        await asyncio.gather(*(layer.send(f"c{n}", MESSAGE) for n in range(SENDS_AT_ONCE)))
        return int((await admin.info("stats"))["total_connections_received"] - before)
    finally:
        await layer.flush()
        await layer.close_pools()
        await admin.aclose()


def _ours(url: str) -> Any:
    return RedisChannelLayer(hosts=[url], capacity=CAPACITY)


def _theirs(url: str) -> Any:
    from channels_redis.core import RedisChannelLayer as Core

    return Core(hosts=[host(url)], capacity=CAPACITY)


LAYERS: dict[str, Callable[[str], Any]] = {"servicebus": _ours, "channels_redis": _theirs}
STEPS: dict[str, tuple[Measure, str, str]] = {
    "send": (send, "messages/s", ">= 5"),
    "receive from a backlog": (receive, "messages/s", ">= 20"),
    "ping-pong, p50": (ping_pong, "ms", "<= 0.25"),
    "fan-out": (fan_out, "deliveries/s", ">= 6"),
    "async_to_sync(group_send)": (from_sync_code, "calls/s", ">= 8"),
}


def table(report: Report) -> str:
    """Return the medians, their ratio, and the goal of the ratio."""
    rows = [
        [
            step,
            *(figure(median(report["results"][step][name])) for name in LAYERS),
            f"{report['ratios'][step]:.2f}",
            *rest,
        ]
        for step, (_, *rest) in STEPS.items()
    ]
    ours, theirs = (report["connections"][name] for name in LAYERS)
    rows.append(["connections, 1,000 sends", f"{ours:,}", f"{theirs:,}", f"{ours / theirs:.3f}", "connections", "1"])
    return as_table(("", *LAYERS, "ratio", "unit", "goal"), rows)


def charts(report: Report) -> list[Chart]:
    """Return a chart per step: their units differ."""
    metrics = report["metrics"]
    return [
        Bars(step, unit, {name: _bar(metrics[f"{name}, {step}"]) for name in LAYERS})
        for step, (_, unit, _) in STEPS.items()
    ]


def _bar(found: dict[str, float]) -> tuple[float, float, float]:
    return found["median"], found["low"], found["high"]
