"""Where the services keep their data: each has one database URL, of a SQLite file by default."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.conf import settings
from django.core.management import call_command
from django.db import connections, models, router, transaction

from .environment import EnvironmentVariableError

Database = dict[str, Any]

BUSY_TIMEOUT = 20
"""Seconds that a SQLite writer of one process waits for a writer of another: many short transactions fit into it."""
KEEP_CONNECTION = 600
"""Seconds that a PostgreSQL connection is kept: connecting costs more than a query. It is checked before each use."""
SYNCHRONOUS = ("full", "normal")
"""What SQLite's ``synchronous`` may be: "full" syncs every commit, "normal" may lose the last ones in a power cut."""

_sqlite_writers: dict[str, RLock] = {}


def database(variable: str, default: str, environ: Mapping[str, str] = os.environ) -> Database:
    """Return one entry of Django's DATABASES, from the URL in the environment variable ``variable``.

    ``sqlite:///relative/path``, ``sqlite:////absolute/path`` (``?synchronous=normal`` trades the last commits before a
    power cut for speed), ``postgres://user:password@host:port/name`` or ``postgresql://…``. The query of the
    latter goes to psycopg; ``?host=/directory`` names a Unix socket.

    Raises:
        EnvironmentVariableError: the URL is wrong. The error names the variable and never the password.
    """
    try:
        url = urlsplit(environ.get(variable) or default)
        _ = url.port
    except ValueError as error:
        raise EnvironmentVariableError(variable, f"not a URL: {error}") from None
    if url.scheme not in _READERS:
        raise EnvironmentVariableError(
            variable, f"a database URL starts with sqlite:///, postgres:// or postgresql://, not {url.scheme!r}"
        )
    return _READERS[url.scheme](url, variable)


def _sqlite(url: SplitResult, variable: str) -> Database:
    path = unquote(url.path).removeprefix("/")
    if url.netloc or not path or path == ":memory:":
        raise EnvironmentVariableError(
            variable, "a SQLite URL is sqlite:///relative/path or sqlite:////absolute/path, of a file"
        )
    synchronous = dict(parse_qsl(url.query)).get("synchronous", "full")
    if synchronous not in SYNCHRONOUS:
        raise EnvironmentVariableError(variable, f"synchronous is full or normal, not {synchronous!r}")
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": BUSY_TIMEOUT,
            "transaction_mode": "IMMEDIATE",
            "init_command": f"PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};",
        },
    }


def _postgresql(url: SplitResult, variable: str) -> Database:
    name = unquote(url.path).removeprefix("/")
    if not name:
        raise EnvironmentVariableError(variable, "a PostgreSQL URL ends with the name of a database")
    options = dict(parse_qsl(url.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": options.pop("host", url.hostname or ""),
        "PORT": str(url.port or ""),
        "CONN_MAX_AGE": KEEP_CONNECTION,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


_READERS: Mapping[str, Callable[[SplitResult, str], Database]] = {
    "sqlite": _sqlite,
    "postgres": _postgresql,
    "postgresql": _postgresql,
}


class LabelRouter:
    """Library mode: the models of an app live in the database that is named like the app."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        label = model._meta.app_label
        return label if label in settings.DATABASES else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return db == app_label if app_label in settings.DATABASES else None


def alias(model: type[models.Model]) -> str:
    """Return the name of the database that holds ``model``: its app in library mode, else "default"."""
    return router.db_for_write(model)


@contextmanager
def unit_of_work(model: type[models.Model]) -> Iterator[None]:
    """Run the block in one durable transaction on the database of ``model``.

    The threads of a process queue here for a SQLite database, in order. SQLite itself would let them poll.
    """
    using = alias(model)
    if connections[using].vendor != "sqlite":
        with transaction.atomic(using=using, durable=True):
            yield
        return
    with _sqlite_writers.setdefault(using, RLock()), transaction.atomic(using=using, durable=True):
        yield


def migrate() -> None:
    """Bring every configured database up to date."""
    for using in connections:
        if connections[using].vendor != "unknown":
            call_command("migrate", database=using, verbosity=0, interactive=False)
