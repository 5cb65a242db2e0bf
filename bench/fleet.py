"""The systems of a run: each has a server, a worker and a client process, and is measured from outside."""

from __future__ import annotations

from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from .peers import Peer
from .pipes import ChildFailed, answer, ask
from .processes import cpu_seconds, process
from .progress import say
from .quiet import Quiet
from .server_info import Observer, difference

STARTS_WITHIN = 30.0
"""Seconds until a driver is ready: its own ten for the first answer, and the start of three processes."""
ANSWER_MARGIN = 60.0
"""Seconds that a driver may take beyond the load itself: overtime, and encoding the result on a busy machine."""
WARM_UP = 0.5
"""Seconds of load before a measurement at most, so that connections and caches exist."""
WARM_UP_SHARE = 0.2
"""The share of a measurement's time that its warm-up takes at most: short measurements stay short."""


def warm_up(seconds: float) -> float:
    """Return the seconds of load before a measurement of ``seconds``."""
    return min(WARM_UP, seconds * WARM_UP_SHARE)


class System:
    """One running system. ``load`` makes its client process produce load, and measures it."""

    def __init__(
        self, peer: Peer, driver: Process, pids: dict[str, list[int]], observer: Observer | None, quiet: Quiet
    ) -> None:
        self.peer = peer
        self.pids = pids
        """The process IDs of each role: client, worker and server."""
        self.quiet = quiet
        self.observer = observer
        """Counts the server's commands and bytes; None if the system has no Redis server."""
        self._driver = driver

    async def load(self, **request: Any) -> dict[str, Any]:
        """Return the driver's result, with processor time, commands and bytes per call.

        Cancelling is not safe: the system must be ended.

        Raises:
            ChildFailed: the driver failed or did not answer in time.
        """
        before, look = self._cpu(), self.observer and self.observer.look()
        result = await ask(self._driver, request, request.get("seconds", 0.0) + request.get("within", ANSWER_MARGIN))
        after = self._cpu()
        calls = max(1, result["calls"])
        result["cpu_us"] = {role: (after[role] - before[role]) / calls * 1e6 for role in before}
        if self.observer and look:
            result |= difference(look, self.observer.look(), calls)
        return result

    async def closed(self, in_flight: int, seconds: float, body: int) -> dict[str, Any]:
        """Keep ``in_flight`` calls going, and measure them after a warm-up.

        Cancelling is not safe: the system must be ended.

        Raises:
            ChildFailed: the driver failed or did not answer in time.
        """
        await self.quiet.wait()
        await self.load(kind="closed", in_flight=in_flight, seconds=warm_up(seconds), body=body)
        return await self.load(kind="closed", in_flight=in_flight, seconds=seconds, body=body)

    def _cpu(self) -> dict[str, float]:
        return {role: sum(map(cpu_seconds, pids)) for role, pids in self.pids.items()}


@asynccontextmanager
async def system(peer: Peer, quiet: Quiet) -> AsyncIterator[System]:
    """Start a system, and end it with the block.

    Raises:
        ChildFailed: the system did not start.
    """
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(peer.server())
        workers = [await stack.enter_async_context(process(*peer.worker(server.address))) for _ in range(peer.workers)]
        driver = await stack.enter_async_context(process(*peer.driver(server.address), talks=True))
        await answer(driver, STARTS_WITHIN)
        pids = {"client": [driver.pid], "worker": [worker.pid for worker in workers]}
        pids |= {"server": [server.pid]} if server.pid else {}
        observer = Observer(server.address) if server.address.startswith("unix://") else None
        if observer:
            stack.callback(observer.close)
        yield System(peer, driver, pids, observer, quiet)


@asynccontextmanager
async def fleet(wanted: Sequence[Peer], quiet: Quiet) -> AsyncIterator[tuple[dict[str, System], dict[str, str]]]:
    """Start every system that can run here. Yield them by name, and why the others are absent."""
    running: dict[str, System] = {}
    absent: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for peer in wanted:
            reason = peer.missing()
            if not reason:
                try:
                    running[peer.name] = await stack.enter_async_context(system(peer, quiet))
                    continue
                except ChildFailed as error:
                    reason = f"did not start: {error}"
            absent[peer.name] = reason
            say(f"{peer.name} is left out: {reason}")
        yield running, absent


Measured = dict[str, dict[int, list[dict[str, Any]]]]


async def interleaved(
    systems: dict[str, System],
    in_flight: Sequence[int],
    repeats: int,
    measure: Callable[[System, int], Awaitable[dict[str, Any]]],
) -> tuple[Measured, dict[str, str]]:
    """Measure every system at every concurrency it takes, in turn, ``repeats`` times, so that all share the noise.

    A system that fails is left out from then on; the second value names it and the reason. Cancelling is not safe:
    the systems must be ended.
    """
    results: Measured = {
        name: {count: [] for count in in_flight if count <= one.peer.most_in_flight} for name, one in systems.items()
    }
    failed: dict[str, str] = {}
    for repeat in range(repeats):
        for count in in_flight:
            for name in [name for name in results if count in results[name]]:
                try:
                    results[name][count].append(await measure(systems[name], count))
                except ChildFailed as error:
                    # The system may still work and answer later: its later figures cannot be trusted.
                    del results[name]
                    failed[name] = f"failed at {count} in flight: {error}"
                    say(f"{name} {failed[name]}")
        say(f"repeat {repeat + 1} of {repeats}: {_rates(results)}")
    return results, failed


def _rates(results: Measured) -> str:
    latest = ((name, count, one[-1]) for name, counts in results.items() for count, one in counts.items() if one)
    return ", ".join(f"{name}/{count} {row['calls_per_second']:,.0f}/s" for name, count, row in latest)
