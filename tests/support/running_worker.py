"""``runworker`` in this process, so that a test sees into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from channels.routing import ChannelNameRouter, ProtocolTypeRouter
from channels.worker import Worker


class InThisProcess(Worker):  # type: ignore[misc] # channels has no types
    """Channels' own worker; it knows the tasks that it leaves behind when it is cancelled."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tasks: list[asyncio.Task[Any]] = []

    async def listener(self, channel: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        await super().listener(channel)

    async def end_instances(self) -> None:
        """As it ends the oldest of them when they are too many."""
        instances = [details["future"] for details in self.application_instances.values()]
        for name in list(self.application_instances):
            self.delete_application_instance(name)
        await asyncio.gather(*instances, return_exceptions=True)


@asynccontextmanager
async def runworker(layer: Any, applications: Mapping[str, Any]) -> AsyncIterator[InThisProcess]:
    """Run each application on its channel."""
    routes = ProtocolTypeRouter({"channel": ChannelNameRouter(dict(applications))})
    worker = InThisProcess(routes, list(applications), layer)
    running = asyncio.create_task(worker.arun())
    try:
        yield worker
    finally:
        for task in [running, *worker.tasks]:
            task.cancel()
        await asyncio.gather(running, *worker.tasks, return_exceptions=True)
        await worker.end_instances()
