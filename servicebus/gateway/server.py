"""``servicebus gateway``: the application under daphne in this process, until SIGTERM, then drained."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

# The first import makes the reactor, and the event loop that all of this runs in.
from daphne.server import Server as Daphne
from daphne.server import twisted_loop
from twisted.internet import reactor as _reactor
from twisted.internet.error import CannotListenError

from ..errors import ConfigurationError
from .app import Gateway
from .bounded_http import Factory

LAST_WORDS = 1.0

logger = logging.getLogger(__name__)
reactor: Any = _reactor  # its interfaces are known when it has been made only


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 is one that is free."""

    host: str
    port: int


class Server(Daphne):  # type: ignore[misc] # daphne has no types
    """Daphne, on connections that are bounded, with a drain before its end."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway, endpoints=["of its own"], server_name="")
        self.connections: dict[Any, dict[str, Any]] = {}
        self._gateway, self._factory = gateway, Factory(self, gateway.limits)
        self._port: Any = None
        self._ending: asyncio.Task[None] | None = None

    def heed_signals(self) -> None:
        """From now on a signal is an order to drain, once there is something to be drained."""
        for number in (signal.SIGTERM, signal.SIGINT):
            twisted_loop.add_signal_handler(number, self._end, number)

    def listen(self, address: Address) -> str:
        """Listen, and return the URL. Raises ConfigurationError when that cannot be."""
        try:
            self._port = reactor.listenTCP(address.port, self._factory, backlog=1024, interface=address.host)
        except CannotListenError as error:
            raise ConfigurationError(f"cannot listen on {address.host}:{address.port}: {error.socketError}") from error
        at = self._port.getHost()
        return f"http://[{at.host}]:{at.port}" if ":" in at.host else f"http://{at.host}:{at.port}"

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, and drain. A second signal ends the process at once."""
        reactor.callLater(1, self.application_checker)
        reactor.run(installSignalHandlers=False)

    def _end(self, number: int) -> None:
        if self._ending is not None:
            os._exit(128 + number)
        self._ending = twisted_loop.create_task(self._drained())

    async def _drained(self) -> None:
        logger.info("draining")
        self._port.stopListening()
        # A call ends by its timeout, and its answer a moment later.
        await self._gateway.drain(self._gateway.limits.timeout + LAST_WORDS)
        await self._end_applications()
        await self._close_connections()
        reactor.stop()

    async def _end_applications(self) -> None:
        """Those that outlasted the drain."""
        found = [details.get("application_instance") for details in self.connections.values()]
        tasks = [task for task in found if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _close_connections(self) -> None:
        """What has been answered is still to be written."""
        channels = list(self._factory.connections)
        for channel in channels:
            channel.loseConnection()  # type: ignore[no-untyped-call]
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS):
                for channel in channels:
                    await channel.closed.wait()


def serve(gateway: Gateway, address: Address, what: str) -> None:
    """Serve until a signal comes. Raises Unavailable or ConfigurationError when that cannot begin."""
    try:
        twisted_loop.run_until_complete(gateway.open())
        server = Server(gateway)
        server.heed_signals()  # before anybody is told that it serves
        logger.info("serving %s at %s", what, server.listen(address))
        server.run()
    finally:
        twisted_loop.run_until_complete(gateway.close())
    logger.info("stopped")
