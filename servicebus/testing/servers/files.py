"""The temporary directory of one server: its socket and its log."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


class ServerFiles:
    """The files of a server, from ``create`` until ``remove``.

    Attributes:
        directory: the temporary directory, "" before ``create``.
    """

    def __init__(self) -> None:
        self.directory = ""

    @property
    def socket(self) -> str:
        """The path of the unix socket on which the server listens."""
        return str(Path(self.directory, "server.sock"))

    @property
    def log(self) -> str:
        """The path of the server's log."""
        return str(Path(self.directory, "server.log"))

    def create(self) -> None:
        """Make a new directory, which only this user can read."""
        self.directory = tempfile.mkdtemp(prefix="servicebus-")

    def remove(self) -> None:
        """Remove the directory and everything in it. Idempotent."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def remove_socket(self) -> None:
        """Remove the socket that an ended server left. Idempotent."""
        with suppress(FileNotFoundError):
            Path(self.socket).unlink()

    def log_text(self) -> str:
        """Return what the server has logged so far."""
        with suppress(FileNotFoundError):
            return Path(self.log).read_text(errors="replace")
        return ""

    def last_log_line(self) -> str:
        """Return the last line of the log: a server that cannot start states the reason there."""
        return self.log_text().strip().rpartition("\n")[2]
