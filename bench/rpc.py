"""Closed loop: an echo call with a number in flight, ours and the peers interleaved in one run."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from typing import Any

from .peers import PEERS, Call, PeerAbsent
from .stats import median, percentile

WARM_UP = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 256], metavar="N")
    parser.add_argument("--seconds", type=float, default=2.0, help="per measurement (default 2)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--body", type=int, default=100, metavar="BYTES")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--json", action="store_true")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Calls per second and latency of each peer at each concurrency: every repeat, and the medians."""
    body = "x" * options.body
    results: dict[str, dict[int, list[dict[str, float]]]] = {}
    absent: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        calls: dict[str, Call] = {}
        for name in options.peers:
            try:
                calls[name] = await stack.enter_async_context(PEERS[name]())
                results[name] = {count: [] for count in options.in_flight}
            except PeerAbsent as reason:
                absent[name] = str(reason)
        for repeat in range(options.repeats):
            for count in options.in_flight:
                for name, call in calls.items():
                    print(f"repeat {repeat + 1}: {name}, {count} in flight", file=sys.stderr)
                    await closed_loop(call, body, count, WARM_UP)
                    results[name][count].append(await closed_loop(call, body, count, options.seconds))
    return {"scenario": "rpc", "body_bytes": options.body, "absent": absent, "results": results}


async def closed_loop(call: Call, body: str, in_flight: int, seconds: float) -> dict[str, float]:
    """``in_flight`` callers, each with one call at a time, for ``seconds``. Latencies in milliseconds."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (before := time.perf_counter()) < end:
            await call(body)
            latencies.append(time.perf_counter() - before)

    started = time.perf_counter()
    callers: list[Awaitable[None]] = [caller() for _ in range(in_flight)]
    await asyncio.gather(*callers)
    elapsed = time.perf_counter() - started
    return {
        "calls_per_second": len(latencies) / elapsed,
        "p50_ms": percentile(latencies, 0.5) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
    }


def table(report: dict[str, Any]) -> str:
    """The medians, a line per peer and concurrency, and who was left out."""
    lines = [f"{'':14}{'in flight':>10}{'calls/s':>12}{'p50 ms':>10}{'p99 ms':>10}"]
    for name, by_count in report["results"].items():
        for count, repeats in by_count.items():
            rate, p50, p99 = (median([one[key] for one in repeats]) for key in ("calls_per_second", "p50_ms", "p99_ms"))
            lines.append(f"{name:14}{count:>10}{rate:>12,.0f}{p50:>10.3f}{p99:>10.3f}")
    lines += [f"{name:14}left out: {reason}" for name, reason in report["absent"].items()]
    return "\n".join(lines)
