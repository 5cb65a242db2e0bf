"""The periodic tasks of a service: what ``@service.every`` has registered runs until the service stops."""

from __future__ import annotations

import asyncio
import logging

from ..api.bus import Bus
from ..api.service import Background, Service
from ..foundation.tasks import TaskSet, is_ended_by

logger = logging.getLogger(__name__)


class PeriodicTasks:
    """Runs the periodic tasks of one service. Nothing that one of them raises or swallows ends or keeps it."""

    def __init__(self, service: Service, bus: Bus) -> None:
        self._service = service
        self._bus = bus
        self._tasks = TaskSet()
        self._is_stopping = False

    def start(self) -> None:
        """Start them all."""
        for seconds, task in self._service.background:
            self._tasks.spawn(self._repeat(seconds, task), name=f"periodic task of {self._service.name}")

    async def end(self, within: float) -> None:
        """Cancel them, and once more those that have not ended ``within`` seconds; abandon what ignores both.

        Cancelling is safe: the tasks are cancelled already.
        """
        self._is_stopping = True
        await self._tasks.end(within)

    async def _repeat(self, seconds: float, task: Background) -> None:
        """Run a periodic task until the service stops.

        Each run is a task of its own: what cancels the run alone, as the run itself may, does not cancel this one.
        """
        name = getattr(task, "__qualname__", repr(task))
        while not self._is_stopping:
            await asyncio.sleep(seconds)
            run = self._tasks.spawn(self._run(task), name=f"periodic task {name}")
            await asyncio.wait({run})
            error = asyncio.CancelledError() if run.cancelled() else run.result()
            if error is not None:
                logger.error("periodic task %s failed; it runs again in %s s", name, seconds, exc_info=error)

    async def _run(self, task: Background) -> BaseException | None:
        """Run it once. What it raised is returned: raised by a task, a SystemExit would end the event loop."""
        try:
            await task(self._bus)
        except BaseException as error:
            if is_ended_by(error):
                raise
            return error
        return None
