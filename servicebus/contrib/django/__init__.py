"""Tools for handlers in a Django project."""

from __future__ import annotations

__all__ = ["database_connections"]


class database_connections:  # noqa: N801 - it is used as a function is
    """Close database connections that are broken or too old, before and after a handler.

    Pass it as ``Service(around_sync=database_connections, around_async=database_connections)``. Around a plain ``def``
    handler it runs in the handler's thread, around an ``async def`` in the thread that Django's asynchronous ORM uses.
    """

    def __enter__(self) -> None:
        _close_old_connections()

    def __exit__(self, *error: object) -> None:
        _close_old_connections()

    async def __aenter__(self) -> None:
        """Cancelling is safe: the handler does not start."""
        await _close_those_of_async_handlers()

    async def __aexit__(self, *error: object) -> None:
        """Cancelling is safe: what was not closed is closed before the next handler."""
        await _close_those_of_async_handlers()


def _close_old_connections() -> None:
    from django import db

    db.close_old_connections()


async def _close_those_of_async_handlers() -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(_close_old_connections)()
