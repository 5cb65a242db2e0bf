"""Django in library mode, set up once for all tests of a process: it cannot be set up twice."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import django
from django.conf import settings

LABELS = ("inventory", "pricing", "orders")
"""The services that have a database."""


def urls(template: str) -> dict[str, str]:
    """The environment variables that name the database of each service."""
    return {f"{label.upper()}_DATABASE_URL": template.format(label) for label in LABELS}


def set_up_django() -> None:
    """Set Django up on SQLite files, unless that was done. The environment stays: other tests start processes in it."""
    if settings.configured:
        return
    added = {"DJANGO_SETTINGS_MODULE": "services.settings", **urls(sqlite_template())}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        django.setup()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_directories: list[str] = []


def sqlite_template() -> str:
    """The URL of a service's SQLite file, with ``{}`` for its label. The directory is removed when the process ends."""
    if not _directories:
        _directories.append(tempfile.mkdtemp(prefix="servicebus-sqlite-"))
        atexit.register(shutil.rmtree, _directories[0])
    return f"sqlite:///{_directories[0]}/{{}}.sqlite3"
