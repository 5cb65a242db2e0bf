"""The lifespan protocol of ASGI: the server opens the gateway before the first request and closes it after the last."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..foundation.text import printable
from .body import Receive, Send


async def serve_lifespan(
    receive: Receive, send: Send, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
) -> None:
    """Start the gateway and stop it when the server says so. Cancelling is safe, but leaves the gateway started.

    An error of ``start`` is reported to the ASGI server, which then ends.
    """
    await receive()
    try:
        await start()
    except Exception as error:  # noqa: BLE001 - the ASGI server gets every error
        await send({"type": "lifespan.startup.failed", "message": printable(str(error))})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await stop()
    await send({"type": "lifespan.shutdown.complete"})
