"""One Sentinel: a server that watches a primary and its replicas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...layers.redis.embedded import find_server
from .ports import HOST
from .server import Server

PRIMARY_NAME = "mymaster"
"""The name under which the Sentinels watch the primary."""
PERIODS_MS = {"publish-period": 200, "info-period": 1000, "ping-period": 400, "tilt-period": 1000}
"""Milliseconds between the actions of a Sentinel, shorter than its defaults, so that tests need not wait.

By default Sentinels search for one another every 2 s, ask servers for their role every 10 s, ping no more often than
``down_after``, and do nothing for 30 s after the machine stood still for a moment, as a machine that runs tests does.
The ping period must not be shorter: when the primary is down, a Sentinel asks each replica for its state every second,
and accepts an answer that is at most five ping periods old. With shorter periods there would often be no replica to
promote, and the failover would be tried again seconds later.
"""


@dataclass(frozen=True, slots=True)
class SentinelSettings:
    """What a Sentinel watches, and when it acts.

    Attributes:
        primary_port: the port of the primary at the start.
        quorum: how many Sentinels must consider the primary down before one of them starts a failover.
        down_after_ms: milliseconds without an answer after which a Sentinel considers a server down.
        failover_timeout_ms: a failed failover is tried again after twice as many milliseconds.
        password: of the watched servers, "" for none.
        sentinel_password: of the Sentinels, "" for none.
    """

    primary_port: int
    quorum: int
    down_after_ms: int
    failover_timeout_ms: int
    password: str
    sentinel_password: str

    def lines(self) -> list[str]:
        """Return the settings as lines of a configuration file."""
        lines = [
            f"sentinel monitor {PRIMARY_NAME} {HOST} {self.primary_port} {self.quorum}",
            f"sentinel down-after-milliseconds {PRIMARY_NAME} {self.down_after_ms}",
            f"sentinel failover-timeout {PRIMARY_NAME} {self.failover_timeout_ms}",
        ]
        if self.password:
            lines += [f"sentinel auth-pass {PRIMARY_NAME} {self.password}"]
        if self.sentinel_password:
            lines += [f"requirepass {self.sentinel_password}", f"sentinel sentinel-pass {self.sentinel_password}"]
        return lines


class SentinelServer(Server):
    """A Sentinel. It writes what it learns to its configuration file, and reads that again after a restart."""

    def __init__(self, settings: SentinelSettings) -> None:
        super().__init__(tcp=True, password=settings.sentinel_password)
        self._settings = settings

    @property
    def _configuration(self) -> Path:
        return Path(self._files.directory, "sentinel.conf")

    def _choose_ports(self) -> None:
        super()._choose_ports()
        lines = [f"port {self.port}", f"bind {HOST}", f"unixsocket {self.path}", "unixsocketperm 700"]
        lines += [f"dir {self._files.directory}", f"logfile {self._files.log}", *self._settings.lines()]
        self._configuration.write_text("\n".join([*lines, ""]))

    def _command(self) -> list[str]:
        return [find_server(), str(self._configuration), "--sentinel"]

    def _launch(self, *more_options: str) -> None:
        super()._launch(*more_options)
        for name, period in PERIODS_MS.items():
            self.run("SENTINEL", "DEBUG", name, period)
