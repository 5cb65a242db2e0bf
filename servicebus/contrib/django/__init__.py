"""Tools for handlers in a Django project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["database_connections"]


@contextmanager
def database_connections() -> Iterator[None]:
    """Close database connections that are broken or too old, before and after a plain ``def`` handler.

    Pass it as ``Service(around_sync=database_connections)``. It runs in the handler's thread.
    """
    from django.db import close_old_connections

    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
