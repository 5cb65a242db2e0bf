"""One real server that a test inspects, kills, pauses, and starts again at the same address."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from urllib.parse import quote

import hiredis

from ...errors import Unavailable
from ...layers.redis.embedded import find_server
from ..waiting import wait_until
from .admin import Administered
from .block_scoped import BlockScoped
from .files import ServerFiles
from .ports import HOST, free_ports
from .process import Controlled, Process

START_WITHIN = 10.0
"""Seconds within which a started server must answer, also on a busy machine."""
PORT_ATTEMPTS = 5
"""How many ports are tried when another program takes the chosen port first."""


class Server(Controlled, Administered, BlockScoped):
    """``with Server() as server:`` starts a server; ``server.url`` reaches it from any process of this machine.

    The server listens on a unix socket, which the connection behind ``run`` always uses. A subclass overrides
    ``_choose_ports``, ``_command`` and ``_launch``.

    Args:
        options: options of the server's command line.
        tcp: also listen on a port of 127.0.0.1, and name that port in ``url``.
        password: what clients have to send, "" for none.

    Attributes:
        port: with ``tcp`` the port, which stays the same through restarts; else 0.
        password: as given.
    """

    def __init__(self, *options: str, tcp: bool = False, password: str = "") -> None:
        super().__init__()
        self._options = options
        self._tcp = tcp
        self._files = ServerFiles()
        self.password = password
        self.port = 0

    @property
    def path(self) -> str:
        """The path of the unix socket."""
        return self._files.socket

    @property
    def url(self) -> str:
        """The URL for a bus: with ``tcp`` the port, else the unix socket."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{login}{HOST}:{self.port}" if self._tcp else f"unix://{login}{self.path}"

    def start(self) -> None:
        """Start the server, and return when it answers.

        Raises:
            Unavailable: the server ended at once, or does not answer; the error has the last line of its log.
        """
        self._files.create()
        try:
            self._launch_on_free_port()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the server and remove its directory. Idempotent."""
        self.disconnect()
        if self._process is not None:
            self._process.end()
        self._files.remove()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the server process with a signal and wait until it has ended. ``restart`` starts the server again.

        Raises:
            TimeoutError: the process still runs after 10 s.
        """
        self.disconnect()
        super().kill(number)

    async def restart(self, *more_options: str) -> None:
        """End the server process if it runs, and start it again at the same address.

        Cancelling is safe: it ends the wait, not the restart.

        Args:
            more_options: options in addition to those of the first start.

        Raises:
            Unavailable: the server ended at once, or does not answer.
        """
        await asyncio.to_thread(self.start_again, *more_options)

    def start_again(self, *more_options: str) -> None:
        """Do what ``restart`` does, in code without an event loop.

        Raises:
            Unavailable: the server ended at once, or does not answer.
        """
        self._end_process()
        self._launch(*more_options)

    def _launch_on_free_port(self) -> None:
        for attempts_left in reversed(range(PORT_ATTEMPTS if self._tcp else 1)):
            self._choose_ports()
            try:
                self._launch()
                return
            except Unavailable:
                # The port was free when it was chosen; another program may have taken it since.
                if not attempts_left or "already in use" not in self._files.log_text():
                    raise
                self._end_process()

    def _end_process(self) -> None:
        """End the process if it runs, and keep the directory for the next process."""
        self.disconnect()
        if self._process is not None:
            self._process.end(keep=True)
        self._files.remove_socket()

    def _choose_ports(self) -> None:
        """Choose the ports of the server before its first launch."""
        self.port = free_ports(1)[0] if self._tcp else 0

    def _command(self) -> list[str]:
        """Return the program of the server and its arguments."""
        secret = ["--requirepass", self.password, "--masterauth", self.password] if self.password else []
        address = ["--port", str(self.port), "--bind", HOST, "--unixsocket", self.path, "--unixsocketperm", "700"]
        disk = ["--save", "", "--appendonly", "no", "--dir", self._files.directory, "--logfile", self._files.log]
        return [find_server(), *address, *disk, *secret, *self._options]

    def _launch(self, *more_options: str) -> None:
        """Start a process, and return when it answers."""
        self._process = Process(self._files.directory, [*self._command(), *more_options])
        try:
            wait_until(self._is_up, START_WITHIN, "the server answers")
        except TimeoutError as error:
            raise Unavailable(f"the server did not start: {self._files.last_log_line() or error}") from error

    def _is_up(self) -> bool:
        if not self.running:
            raise Unavailable(f"the server ended at once: {self._files.last_log_line()}")
        with suppress(OSError, hiredis.ReplyError):
            self.connect()
            return bool(self.run("PING") == b"PONG")
        return False


def follows(replica: Server) -> bool:
    """Return whether a replica has received everything that its primary had."""
    return replica.role == "slave" and replica.info("replication")["master_link_status"] == "up"
