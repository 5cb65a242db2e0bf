"""servicebus in a Django project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["database_connections"]


@contextmanager
def database_connections() -> Iterator[None]:
    """Around each plain ``def`` handler: drop database connections that have died or lived too long.

    Give it to ``Service(around_sync=database_connections)``. It runs in the handler's thread.
    """
    from django.db import close_old_connections

    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
