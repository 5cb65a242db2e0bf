"""The targets of the project for one run: ratios to systems that were measured beside ours, and a few bounds.

An echo body crosses the server four times: in and out as a request, in and out as a reply. The bound on bytes counts
request and reply body together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .report.text import figure, table

Metrics = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Target:
    """A target: ``value`` of the metrics of a whole run must be at least, or at most, ``bound``."""

    text: str
    unit: str
    value: Callable[[Metrics], float]
    at_least: bool
    bound: float


def median_of(name: str) -> Callable[[Metrics], float]:
    """Return a function that reads the median of a metric."""
    return lambda metrics: float(metrics[name]["median"])


def inverse_of(name: str) -> Callable[[Metrics], float]:
    """Return a function that reads the inverse of the median of a metric."""
    return lambda metrics: 1 / float(metrics[name]["median"])


def grown(metrics: Metrics) -> float:
    """Return the growth of the client or of the worker, whichever is larger, in megabytes."""
    return max(float(metrics[f"soak: {role}: growth"]["median"]) for role in ("client", "worker"))


def _peer(name: str, in_flight: int, key: str) -> str:
    return f"peers: servicebus / {name}, {in_flight} in flight: {key}"


RATE = "calls_per_second"
P50 = "p50_ms"
BYTES = 2.2 * (100 + 100) + 200
"""Bytes per call in and out of the server: bodies of 100 bytes cross it twice each, and 200 bytes are for the rest."""
TARGETS = (
    Target("throughput, 256 in flight / nats-py", "x", median_of(_peer("nats-py", 256, RATE)), True, 2.5),
    Target("throughput, 256 in flight / grpc.aio", "x", median_of(_peer("grpc.aio", 256, RATE)), True, 12),
    Target("throughput, 256 in flight / channels_redis", "x", median_of(_peer("channels_redis", 256, RATE)), True, 50),
    Target("throughput, 256 in flight / floor", "x", median_of(_peer("floor", 256, RATE)), True, 0.65),
    Target("p50, one in flight / nats-py", "x", median_of(_peer("nats-py", 1, P50)), False, 0.55),
    Target("p50, one in flight / blocking floor", "x", median_of(_peer("floor-blocking", 1, P50)), False, 1.35),
    Target(
        "p99, open loop at half of saturation",
        "ms",
        median_of("sweep: servicebus, 0.5 of saturation: p99_ms"),
        False,
        3,
    ),
    Target("dispatch / bare task", "x", median_of("dispatch: dispatch / bare task"), False, 2.5),
    Target(
        "commands per call, one in flight", "", median_of("peers: servicebus, 1 in flight: commands_sent"), False, 4.01
    ),
    Target(
        "commands per call, 256 in flight", "", median_of("peers: servicebus, 256 in flight: commands_sent"), False, 0.2
    ),
    Target(
        "bytes per call, 256 in flight, bodies of 100",
        "B",
        median_of("peers: servicebus, 256 in flight: net_bytes"),
        False,
        BYTES,
    ),
    Target("two workers / one, 1 ms of work", "x", median_of("scale: work 2 / 1: calls_per_second"), True, 1.8),
    Target("time per call, 100 channels / one", "x", inverse_of("scale: channels 100 / 1: calls_per_second"), False, 2),
    Target("growth of client or worker, 1,000,000 calls", "MB", grown, False, 5),
)


def judged(metrics: Metrics) -> list[dict[str, Any]]:
    """Return every target with its value; ``passed`` is None for a target that this run did not measure."""
    return [_judged(target, metrics) for target in TARGETS]


def _judged(target: Target, metrics: Metrics) -> dict[str, Any]:
    bound = {"target": target.text, "unit": target.unit, "at_least": target.at_least, "bound": target.bound}
    try:
        value = target.value(metrics)
    except KeyError:
        return bound | {"value": None, "passed": None}
    passed = value >= target.bound if target.at_least else value <= target.bound
    return bound | {"value": value, "passed": passed}


def as_table(judgements: list[dict[str, Any]]) -> str:
    """Return a table with a line per target."""
    return table(("target", "value", "wanted", ""), [_line(one) for one in judgements])


def _line(one: Mapping[str, Any]) -> list[str]:
    wanted = f"{'>=' if one['at_least'] else '<='} {one['bound']:g} {one['unit']}".rstrip()
    if one["passed"] is None:
        return [one["target"], "-", wanted, "not measured"]
    return [one["target"], figure(one["value"]), wanted, "pass" if one["passed"] else "FAIL"]
