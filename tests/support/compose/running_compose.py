"""The commands of docker-compose.yml as processes of this machine: what stands for a network is replaced, no more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.support.services import postgresql

from .deployment import (
    ROOT,
    image_environment,
    probe,
    services,
)

WITHIN = 60.0
"""Seconds to wait for an event that takes one or two on an idle machine."""


@dataclass(frozen=True, slots=True)
class Here:
    """Where this machine has what the containers are given.

    Attributes:
        app: stands for /app, the services as they are in the image.
        server: URL of a real server.
        databases: URL with ``{}`` for the name of a database on a real PostgreSQL server.
    """

    app: Path
    server: str
    databases: str

    def environment(self, name: str) -> dict[str, str]:
        """What the container ``name`` has, and nothing of ours."""
        image = image_environment()
        programs = f"{Path(sys.executable).parent}:{postgresql.binaries()}:{os.defpath}"
        settings = {**services()[name]["environment"]}
        if "SERVICEBUS_URL" in settings:
            settings["SERVICEBUS_URL"] = replaced(settings["SERVICEBUS_URL"], "redis://valkey:6379/0", self.server)
        if "DATABASE_URL" in settings:
            data = name.removesuffix("-migrate")
            query = urlsplit(self.databases).query
            settings["DATABASE_URL"] = replaced(
                settings["DATABASE_URL"], f"@{data}-db:5432/{data}", f"@/{data}?{query}"
            )
        return {**image, "PATH": programs, "PYTHONPATH": str(self.app), "HOME": "/nonexistent", **settings}

    def run(self, name: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in the container ``name`` to its end."""
        return subprocess.run(
            command, env=self.environment(name), cwd=self.app, capture_output=True, text=True, timeout=60, check=False
        )

    def probe(self, name: str) -> int:
        """The exit status of the health check of ``name``."""
        return self.run(name, probe(services()[name])).returncode

    @contextmanager
    def started(self, *names: str) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
        """Run the commands of these containers; what is left of them at the end is killed."""
        with ExitStack() as stack:
            yield {name: stack.enter_context(self._one(name)) for name in names}

    @contextmanager
    def _one(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        with log_of(self.app, name).open("wb") as log:
            process = subprocess.Popen(
                services()[name]["command"], env=self.environment(name), cwd=self.app, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        """What the container ``name`` has printed."""
        return log_of(self.app, name).read_text()


def log_of(app: Path, name: str) -> Path:
    """Return the file with the output of the container ``name``."""
    return app.with_name(f"{name}.log")


def replaced(text: str, old: str, new: str) -> str:
    """Return ``text`` with ``new`` for ``old``, which must be in it."""
    assert old in text, (old, text)
    return text.replace(old, new)


def image_of_services(directory: Path) -> Path:
    """A directory like /app of the image."""
    ignored = shutil.ignore_patterns("__pycache__", "*.sqlite3*")
    shutil.copytree(ROOT / "services", directory / "app" / "services", ignore=ignored)
    return directory / "app"


def create_owners(databases: str) -> None:
    """Each database belongs to the user that its container would be made with."""
    for name, service in services().items():
        made: Mapping[str, str] = service.get("environment", {})
        if "POSTGRES_USER" in made:
            user, password, data = made["POSTGRES_USER"], made["POSTGRES_PASSWORD"], made["POSTGRES_DB"]
            assert name == f"{data}-db"
            with psycopg.connect(databases.format(data), autocommit=True) as connection:
                connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'".encode())
                connection.execute(f"ALTER DATABASE {data} OWNER TO {user}".encode())


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until ``holds`` returns True."""
    end = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < end, f"not within {WITHIN:.0f} s: {what}"
        time.sleep(0.05)
