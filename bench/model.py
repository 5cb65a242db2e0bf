"""A model of many workers and many primaries, from what one call costs each process here.

Two parts, both small enough to check by hand:

- Operational bounds of a closed network of queues (client, workers, server): throughput lies between one call after
  the other and the busiest station, or the machine's cores, working all the time. `check` holds them against points
  that were measured.
- Where channels land: the slots of a Cluster are drawn for random names, and the busiest primary bounds the whole.

What a call costs a process is fitted as a part per call and a part per command. Calls that share commands (many in
flight at one caller) cost little more than the first part; calls that come alone pay four commands each.
"""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .stats import median

SLOTS = 16_384
"""Slots of a Redis Cluster."""
COMMANDS_ALONE = 4.0
"""Commands of a call that shares none with other calls: a push and a pop in each direction."""
IDLE_COMMANDS = 2.2
"""Commands per second and idle worker: a pop that ends by itself, and every 1.7 s a registration and a query of the
clock."""
TOLERANCE = 0.15
"""The share by which a measured throughput may lie outside its bounds: the noise of a repeat."""
NAMINGS = 25
"""Random namings of the channels, of whose speedups the median counts."""
ROLES = ("client", "worker", "server")


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor time of one process, in microseconds."""

    per_call: float
    per_command: float

    def at(self, commands: float) -> float:
        """Return the microseconds of a call that needs ``commands`` commands."""
        return self.per_call + commands * self.per_command


Costs = Mapping[str, Cost]


@dataclass(frozen=True, slots=True)
class Point:
    """A load, and the calls per second that were measured under it."""

    name: str
    in_flight: int
    workers: int
    commands: float
    handler_us: float
    measured: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """The lowest and highest calls per second, and the station that the upper bound comes from."""

    low: float
    high: float
    bottleneck: str

    def holds(self, measured: float) -> bool:
        """Return whether a measured throughput lies within the bounds, give or take TOLERANCE."""
        return self.low * (1 - TOLERANCE) <= measured <= self.high * (1 + TOLERANCE)


def fitted(alone: tuple[float, float], together: tuple[float, float]) -> Cost:
    """Return the cost through two points, each of commands per call and microseconds per call."""
    per_command = max(0.0, (alone[1] - together[1]) / (alone[0] - together[0]))
    return Cost(max(0.0, together[1] - together[0] * per_command), per_command)


def bounds(costs: Costs, point: Point, cores: float = float("inf")) -> Bounds:
    """Return the throughputs between which a closed loop must lie. Without ``cores`` every process has its own core."""
    client, worker, server = (costs[role].at(point.commands) for role in ROLES)
    worker += point.handler_us
    total = client + worker + server
    stations = {
        "client": _per_second(client),
        "workers": point.workers * _per_second(worker),
        "server": _per_second(server),
        "cores": cores * _per_second(total),
        "in flight": point.in_flight * _per_second(total),
    }
    bottleneck = min(stations, key=lambda name: stations[name])
    return Bounds(_per_second(total), stations[bottleneck], bottleneck)


def _per_second(microseconds: float) -> float:
    """Calls per second of what needs so long for one. A measurement that is too short for the clock found 0."""
    return 1e6 / microseconds if microseconds else float("inf")


def check(costs: Costs, points: Sequence[Point], cores: float) -> Iterator[tuple[Point, Bounds, bool]]:
    """Yield every measured point, its bounds, and whether the point lies within them."""
    for point in points:
        found = bounds(costs, point, cores)
        yield point, found, found.holds(point.measured)


@dataclass(frozen=True, slots=True)
class Projection:
    """The calls per second that ``workers`` on one primary can do."""

    workers: int
    handler_us: float
    commands: float
    by_workers: float
    by_server: float
    idle_share: float

    @property
    def bottleneck(self) -> str:
        """What limits the throughput: "workers" or "server"."""
        return "workers" if self.by_workers < self.by_server else "server"

    @property
    def primaries(self) -> float:
        """The number of primaries whose work the workers could do."""
        return self.by_workers / self.by_server


def projected(costs: Costs, workers: int, handler_us: float, commands: float) -> Projection:
    """Project the throughput of workers that each have a core, with as many callers as they need."""
    idle = workers * IDLE_COMMANDS * costs["server"].per_command / 1e6
    by_workers = workers * _per_second(costs["worker"].at(commands) + handler_us)
    by_server = max(0.0, 1 - idle) * _per_second(costs["server"].at(commands))
    return Projection(workers, handler_us, commands, by_workers, by_server, idle)


def slot_of(name: str) -> int:
    """Return the slot of a channel in a Cluster: its keys have the name as their hash tag."""
    return crc_hqx(name.encode(), 0) % SLOTS


def primary_of(name: str, primaries: int) -> int:
    """Return the primary that has the slot of ``name``; the slots are dealt out evenly and in order."""
    return slot_of(name) * primaries // SLOTS


def speedup(primaries: int, channels: int, callers: int = 1000) -> float:
    """Return how many primaries' work a Cluster does before its busiest primary is full.

    The result is the median of some random namings. Half of the load are requests, on their channels; half are
    replies, on the inboxes of the callers.
    """
    chance = random.Random(0)
    return median([1 / _busiest(primaries, channels, callers, chance) for _ in range(NAMINGS)])


def _busiest(primaries: int, channels: int, callers: int, chance: random.Random) -> float:
    load = [0.0] * primaries
    for kind, count in (("s{}.request", channels), ("{}!", callers)):
        for _ in range(count):
            load[primary_of(kind.format(chance.getrandbits(64)), primaries)] += 0.5 / count
    return max(load)
