"""The three services as they are deployed: a database and a supervised worker each."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote

import services

from .children import Child

SERVICES = ("inventory", "pricing", "orders")
CHANNELS = tuple(f"{name}.request" for name in SERVICES)
PROVIDER = "services.replay.payments.EverythingGoes"
ROOT = Path(services.__file__).parents[1]

T = TypeVar("T")


class Fleet:
    """Databases and logs live in ``directory``; the workers of each service, ``processes`` of them, meet at ``url``."""

    def __init__(self, directory: Path, url: str, processes: int = 1) -> None:
        self.url = url
        self._directory = directory
        self._options = ("--processes", str(processes), "--drain", "2")
        self._children: list[Child] = []
        self.workers: dict[str, Child] = {}

    async def migrate(self) -> None:
        """Bring the databases up to date, all at once. Raises ChildFailed."""
        command = ("-m", "django", "migrate", "--verbosity", "0")
        migrations = [await self._start(name, "migration", *command) for name in SERVICES]
        await asyncio.gather(*(migration.check() for migration in migrations))

    async def start(self, *names: str) -> None:
        """Start the worker of these services, of all when none is named."""
        for name in names or SERVICES:
            worker = ("-m", "servicebus", "worker", f"services.{name}.handlers", *self._options)
            self.workers[name] = await self._start(name, "worker", *worker)

    async def watch(self) -> NoReturn:
        """Wait until a worker ends, which it never should, and raise ChildFailed. Cancelling it is safe."""
        tasks = {asyncio.create_task(child.wait()): child for child in self.workers.values()}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = done.pop()
            raise tasks[ended].failed(ended.result())
        finally:
            for task in tasks:
                task.cancel()

    async def stop(self) -> None:
        """Drain and end the workers, and end all else that was started. Idempotent.

        Orders first: to finish what it holds it needs the other two.
        """
        try:
            if "orders" in self.workers:
                await self.workers["orders"].stop()
        finally:
            await asyncio.gather(*(child.stop() for child in self._children))

    def logs(self) -> str:
        """The end of the log of each worker."""
        return "\n".join(f"--- {name}\n{child.tail()}" for name, child in self.workers.items())

    async def _start(self, name: str, role: str, *arguments: str) -> Child:
        log = self._directory / f"{name}.log"
        child = await Child.start(f"{name} {role}", log, (sys.executable, *arguments), self._env(name))
        self._children.append(child)
        return child

    def _env(self, name: str) -> dict[str, str]:
        path = quote(str(self._directory / f"{name}.sqlite3"))
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return os.environ | {
            "DATABASE_URL": f"sqlite:///{path}?synchronous=normal",
            "DJANGO_SETTINGS_MODULE": f"services.{name}.settings",
            "PAYMENT_PROVIDER": os.environ.get("PAYMENT_PROVIDER") or PROVIDER,
            "PYTHONPATH": os.pathsep.join(paths),
            "SERVICEBUS_URL": self.url,
        }


async def unless_failed(fleet: Fleet, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when a worker ends. Raises ChildFailed then.

    Cancelling it cancels ``work``.
    """
    watch, task = asyncio.create_task(fleet.watch()), asyncio.create_task(work)
    try:
        await asyncio.wait({watch, task}, return_when=asyncio.FIRST_COMPLETED)
        return await (task if task.done() else watch)
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.gather(watch, task, return_exceptions=True)
