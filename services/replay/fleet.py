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
from servicebus.config import DEFAULT_PREFIX

from .children import Child

SERVICES = ("inventory", "pricing", "orders")
CHANNELS = tuple(f"{name}.request" for name in SERVICES)
PROVIDER = "services.replay.payments.EverythingGoes"
"""The payment provider of the workers, unless the environment names another."""
ROOT = Path(services.__file__).parents[1]
"""The folder from which the workers import the services."""
DRAIN = 2.0
"""Seconds that a worker may take to finish its handlers: the client has its replies before the workers end."""

T = TypeVar("T")


class Fleet:
    """The workers of the three services, ``processes`` of each, on the server at ``url``.

    Databases and logs lie in ``directory``. ``prefix`` is that of the server's keys.
    """

    def __init__(self, directory: Path, url: str, processes: int = 1, prefix: str = DEFAULT_PREFIX) -> None:
        self.url = url
        self.prefix = prefix
        self._directory = directory
        self._options = ("--processes", str(processes), "--drain", str(DRAIN), "--prefix", prefix)
        self._children: list[Child] = []
        self.workers: dict[str, Child] = {}

    async def migrate(self) -> None:
        """Bring the databases up to date, all at once. Cancelling is safe: ``stop`` ends what was started.

        Raises:
            ChildFailed: a migration failed.
        """
        command = ("-m", "django", "migrate", "--verbosity", "0")
        migrations = [await self._start(name, "migration", *command) for name in SERVICES]
        await asyncio.gather(*(migration.check() for migration in migrations))

    async def start(self, *names: str) -> None:
        """Start the workers of the named services, of all if none is named.

        Cancelling is safe: ``stop`` ends what was started.
        """
        for name in names or SERVICES:
            worker = ("-m", "servicebus", "worker", f"services.{name}.handlers", *self._options)
            self.workers[name] = await self._start(name, "worker", *worker)

    async def watch(self) -> NoReturn:
        """Wait until a worker ends, which it never should. Cancelling is safe: the workers go on.

        Raises:
            ChildFailed: a worker ended.
        """
        tasks = {asyncio.create_task(child.wait()): child for child in self.workers.values()}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = done.pop()
            raise tasks[ended].failed(ended.result())
        finally:
            for task in tasks:
                task.cancel()

    async def stop(self) -> None:
        """Drain and end the workers, and end every other child. Idempotent.

        Orders ends first, because it needs the other two to finish its requests. Cancelling is safe: the process
        groups of the workers that are being stopped are killed.
        """
        try:
            if "orders" in self.workers:
                await self.workers["orders"].stop()
        finally:
            await asyncio.gather(*(child.stop() for child in self._children))

    def logs(self) -> str:
        """Return the end of the log of each worker."""
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
    """Return the result of ``work``, which is cancelled if a worker ends. Cancelling is safe: ``work`` is cancelled.

    Raises:
        ChildFailed: a worker ended.
    """
    watch, task = asyncio.create_task(fleet.watch()), asyncio.create_task(work)
    try:
        await asyncio.wait({watch, task}, return_when=asyncio.FIRST_COMPLETED)
        return await (task if task.done() else watch)
    finally:
        watch.cancel()
        task.cancel()
        await asyncio.gather(watch, task, return_exceptions=True)
