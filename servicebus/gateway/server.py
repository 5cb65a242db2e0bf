"""``servicebus gateway``: the application under daphne in this process, until SIGTERM, then drained."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

# The first import makes the reactor, and the event loop that all of this runs in.
from daphne.server import Server as Daphne
from daphne.server import twisted_loop
from twisted.internet import reactor as _reactor
from twisted.internet.error import CannotListenError

from ..errors import ConfigurationError
from ..foundation.signals import handle_ending_signals
from ..foundation.tasks import Once
from .app import Gateway
from .bounded_http import Factory

ANSWER_WITHIN = 1.0
"""Seconds to write an answer after its call has ended: the client is on the other side of a healthy network."""

logger = logging.getLogger(__name__)
reactor: Any = _reactor  # its methods depend on the platform, so it has no useful type


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 means a free port."""

    host: str
    port: int


class Server(Daphne):  # type: ignore[misc] # daphne has no types
    """Daphne, with bounded connections and a drain before its end."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway, endpoints=["made by listen"], server_name="")
        self.connections: dict[Any, dict[str, Any]] = {}
        self._gateway = gateway
        self._factory = Factory(self, gateway.limits)
        self._port: Any = None
        """What listens, once ``listen`` was called."""
        self._draining: Once[[], None] = Once(self._drain)

    def protocol_disconnected(self, protocol: Any) -> None:
        """Called by daphne when a request has been answered or its client has gone.

        Daphne keeps what it knows of the request until it looks for such requests, once a second. Thousands may end in
        a second, so here each is forgotten when its application has ended.
        """
        details = self.connections.get(protocol)
        if details is None:
            return
        super().protocol_disconnected(protocol)
        application = details.get("application_instance")
        if application is None:
            del self.connections[protocol]
        else:
            application.add_done_callback(partial(self._forget, protocol))

    def _forget(self, protocol: Any, application: asyncio.Future[None]) -> None:
        """Forget a request whose application has ended. What failed stays, so that daphne logs it."""
        if not application.cancelled() and application.exception() is None:
            self.connections.pop(protocol, None)

    def handle_signals(self) -> None:
        """Drain on SIGTERM and SIGINT from now on. Call ``listen`` before the event loop runs."""
        handle_ending_signals(twisted_loop, self._end)

    def listen(self, address: Address) -> str:
        """Listen, and return the URL.

        Raises:
            ConfigurationError: the address is taken or does not exist.
        """
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
        if self._draining.task is not None:
            os._exit(128 + number)
        self._draining.start()

    async def _drain(self) -> None:
        logger.info("draining")
        self._port.stopListening()
        # A call ends by its timeout, and its answer is written a moment later.
        await self._gateway.drain(self._gateway.limits.timeout + ANSWER_WITHIN)
        await self._end_applications()
        await self._close_connections()
        reactor.stop()

    async def _end_applications(self) -> None:
        """Cancel the requests that outlasted the drain, and wait for their end."""
        found = [details.get("application_instance") for details in self.connections.values()]
        tasks = [task for task in found if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _close_connections(self) -> None:
        """Close the connections once the answers are written."""
        channels = list(self._factory.connections)
        for channel in channels:
            channel.loseConnection()  # type: ignore[no-untyped-call]
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_WITHIN):
                for channel in channels:
                    await channel.closed.wait()


def serve(gateway: Gateway, address: Address, what: str) -> None:
    """Serve until a signal comes, then drain.

    Args:
        gateway: the application.
        address: where to listen.
        what: the exposed names, for the log.

    Raises:
        Unavailable: the server of the bus refuses this process, and waiting does not help.
        ConfigurationError: the address cannot be used.
    """
    try:
        twisted_loop.run_until_complete(gateway.open())
        server = Server(gateway)
        server.handle_signals()  # before the log line, after which others may send a signal
        logger.info("serving %s at %s", what, server.listen(address))
        server.run()
    finally:
        twisted_loop.run_until_complete(gateway.close())
    logger.info("stopped")
