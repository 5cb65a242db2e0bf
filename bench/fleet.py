"""The systems of a run: each with its server, worker and client process, asked in turn and looked at from outside."""

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
MARGIN = 60.0
WARM_UP = 0.5


class System:
    """One running system: ``load`` makes its client process do something and says what that took."""

    def __init__(
        self, peer: Peer, driver: Process, pids: dict[str, list[int]], observer: Observer | None, quiet: Quiet
    ) -> None:
        self.peer, self.pids, self.quiet = peer, pids, quiet
        self.observer = observer
        self._driver = driver

    async def load(self, **request: Any) -> dict[str, Any]:
        """The driver's result, with processor time, commands and bytes per call.

        Raises ChildFailed. After a cancel the system must be ended.
        """
        before, look = self._cpu(), self.observer and self.observer.look()
        result = await ask(self._driver, request, request.get("seconds", 0.0) + request.get("within", MARGIN))
        after = self._cpu()
        calls = max(1, result["calls"])
        result["cpu_us"] = {role: (after[role] - before[role]) / calls * 1e6 for role in before}
        if self.observer and look:
            result |= difference(look, self.observer.look(), calls)
        return result

    async def closed(self, in_flight: int, seconds: float, body: int) -> dict[str, Any]:
        """Keep ``in_flight`` calls going; the first half second, or a fifth when that is less, is not measured.

        Raises ChildFailed. After a cancel the system must be ended.
        """
        await self.quiet.wait()
        await self.load(kind="closed", in_flight=in_flight, seconds=min(WARM_UP, seconds / 5), body=body)
        return await self.load(kind="closed", in_flight=in_flight, seconds=seconds, body=body)

    def _cpu(self) -> dict[str, float]:
        return {role: sum(map(cpu_seconds, pids)) for role, pids in self.pids.items()}


@asynccontextmanager
async def system(peer: Peer, quiet: Quiet) -> AsyncIterator[System]:
    """A system from start to end. Raises ChildFailed when it does not start."""
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
    """Every system that can run here by name, and why the others cannot."""
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
    """Every system at every concurrency it takes, in turn, ``repeats`` times: all share what the machine does.

    A system that fails is left out from then on; the second value says which did, and why. After a cancel the systems
    must be ended.
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
                    # It may still be at it, and answer later: nothing it says can be trusted any more.
                    del results[name]
                    failed[name] = f"failed at {count} in flight: {error}"
                    say(f"{name} {failed[name]}")
        say(f"repeat {repeat + 1} of {repeats}: {_rates(results)}")
    return results, failed


def _rates(results: Measured) -> str:
    latest = ((name, count, one[-1]) for name, counts in results.items() for count, one in counts.items() if one)
    return ", ".join(f"{name}/{count} {row['calls_per_second']:,.0f}/s" for name, count, row in latest)
