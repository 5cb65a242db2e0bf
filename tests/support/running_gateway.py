"""``servicebus gateway`` in a process, and HTTP by hand: what a well-behaved client would never send."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .processes import ROOT, end, environment
from .timing import LONG, eventually_sync

READY = re.compile(r"serving .* at http://127\.0\.0\.1:(\d+)")


class Reply(NamedTuple):
    """One answer as it came over the socket."""

    status: int
    head: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class GatewayProcess:
    """``servicebus gateway`` on a port of its own choice."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "servicebus", "gateway", "--port", "0", *arguments],
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env=environment(),
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def port(self) -> int:
        """Where it listens, 0 as long as it does not."""
        assert self.process.poll() is None, self.log
        found = READY.search(self.log)
        return int(found[1]) if found else 0

    @property
    def peak_kib(self) -> int:
        """The most memory that it has had since ``fresh_peak_kib``."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1])

    def fresh_peak_kib(self) -> int:
        """The memory that it has now, from which on the peak is measured."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return self.peak_kib

    @property
    def cpu_seconds(self) -> float:
        """The processor time that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def files(self) -> int:
        """Files and sockets that it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20.0)

    def ask(self, request: bytes) -> Reply:
        """Send bytes on a connection of their own, and read one answer."""
        with self.connect() as link:
            link.sendall(request)
            return read_reply(link)

    def post(self, path: str, body: bytes = b"{}", head: bytes = b"") -> Reply:
        return self.ask(posting(path, body, head))

    def ended(self, within: float = LONG) -> int:
        """Its exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)


@contextmanager
def gateway(directory: Path, url: str, *arguments: str) -> Iterator[GatewayProcess]:
    """A gateway that serves; its process is ended at the end, whatever happens."""
    started = GatewayProcess(directory / "gateway.log", "--url", url, *arguments)
    try:
        eventually_sync(lambda: started.port > 0, within=LONG)
        yield started
    finally:
        end(started.process.pid)
        started.process.wait(10)


def posting(path: str, body: bytes = b"{}", head: bytes = b"") -> bytes:
    """A POST with a JSON body; ``head`` is more lines of it, each with its end."""
    lines = b"host: here\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
    return f"POST {path} HTTP/1.1\r\n".encode() + lines + head + b"\r\n" + body


def read_reply(link: socket.socket) -> Reply:
    """One answer, up to its content length or the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(link)
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)content-length: (\d+)", head)
    while found and len(body) < int(found[1]):
        body += received(link)
    text = head.decode("latin-1")
    return Reply(int(text.split(" ", 2)[1]), text, body)


def received(link: socket.socket) -> bytes:
    data = link.recv(65_536)
    assert data, "the connection was closed before the answer was complete"
    return data
