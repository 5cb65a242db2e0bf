"""One real server: looked into from outside, killed, stopped, and started again where it was."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import hiredis

from ...errors import Unavailable
from ...layers.redis.embedded import find_server
from ..waiting import wait_until
from .admin import Administered
from .owned import Owned
from .process import GONE, HOST, PAUSED, Process, free_ports, is_running, state_of

START_WITHIN = 10.0
PORT_ATTEMPTS = 5


class Server(Administered, Owned):
    """``with Server() as server:`` starts it; ``server.url`` reaches it from any process here.

    ``options`` are those of the server's command line. It listens on a unix socket, with ``tcp`` also on a port of
    127.0.0.1, which the URL then names. The administrator's connection, behind ``run``, always takes the socket.

    Attributes:
        port: with ``tcp`` the port, known from the start on and kept through restarts; else 0.
    """

    def __init__(self, *options: str, tcp: bool = False, password: str = "") -> None:
        super().__init__()
        self._options, self._tcp, self.password = options, tcp, password
        self.port = 0
        self._directory = ""
        self._process: Process | None = None

    @property
    def path(self) -> str:
        """The unix socket."""
        return str(Path(self._directory, "server.sock"))

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}{HOST}:{self.port}" if self._tcp else f"unix://{login}{self.path}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether there is a server process, paused or not."""
        return self._process is not None and is_running(self._process.pid)

    @property
    def answering(self) -> bool:
        """Whether there is one that is not paused."""
        return self._process is not None and state_of(self._process.pid) not in GONE + PAUSED

    def start(self) -> None:
        """Start a server that has none of its own yet, and wait until it answers. Raises Unavailable."""
        self._directory = tempfile.mkdtemp(prefix="servicebus-")
        try:
            for attempts_left in reversed(range(PORT_ATTEMPTS if self._tcp else 1)):
                self._choose_ports()
                try:
                    return self._launch()
                except Unavailable:
                    # Ports are free when they are chosen; somebody may have been quicker.
                    if not attempts_left or "already in use" not in self._log:
                        raise
                    self._bury()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the server and remove its directory. Idempotent."""
        self.disconnect()
        if self._process is not None:
            self._process.end()
        shutil.rmtree(self._directory, ignore_errors=True)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the server process and wait until it is gone. ``restart`` brings it back."""
        assert self._process is not None, "not started"
        self.disconnect()
        self._process.kill(number)

    def pause(self) -> None:
        """Let the server process stand still (SIGSTOP): connections stay, nobody answers."""
        assert self._process is not None, "not started"
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None, "not started"
        self._process.signal(signal.SIGCONT)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """The server process is paused for the duration of the block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    async def restart(self, *more_options: str) -> None:
        """Start a server where the last one was, with its options and more. Raises Unavailable."""
        await asyncio.to_thread(self.start_again, *more_options)

    def start_again(self, *more_options: str) -> None:
        """``restart`` for code without an event loop."""
        self._bury()
        self._launch(*more_options)

    def _bury(self) -> None:
        """End the process and keep the directory."""
        self.disconnect()
        if self._process is not None:
            self._process.end(keep=True)
        with suppress(FileNotFoundError):
            Path(self.path).unlink()

    def _choose_ports(self) -> None:
        self.port = free_ports(1)[0] if self._tcp else 0

    def _command(self) -> list[str]:
        secret = ["--requirepass", self.password, "--masterauth", self.password] if self.password else []
        where = ["--port", str(self.port), "--bind", HOST, "--unixsocket", self.path, "--unixsocketperm", "700"]
        disk = ["--save", "", "--appendonly", "no", "--dir", self._directory, "--logfile", self._log_path]
        return [find_server(), *where, *disk, *secret, *self._options]

    @property
    def _log_path(self) -> str:
        return str(Path(self._directory, "server.log"))

    @property
    def _log(self) -> str:
        with suppress(FileNotFoundError):
            return Path(self._log_path).read_text(errors="replace")
        return ""

    def _launch(self, *more_options: str) -> None:
        self._process = Process(self._directory, [*self._command(), *more_options])
        try:
            wait_until(self._is_up, START_WITHIN, "the server answers")
        except TimeoutError as error:
            raise Unavailable(f"the server did not start: {self._last_words() or error}") from error

    def _is_up(self) -> bool:
        if not self.running:
            raise Unavailable(f"the server ended at once: {self._last_words()}")
        with suppress(OSError, hiredis.ReplyError):
            self.connect()
            return bool(self.run("PING") == b"PONG")
        return False

    def _last_words(self) -> str:
        return self._log.strip().rpartition("\n")[2]


def follows(replica: Server) -> bool:
    """Whether it has all that its primary had."""
    return replica.role == "slave" and replica.info("replication")["master_link_status"] == "up"
