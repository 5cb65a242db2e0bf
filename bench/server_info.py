"""The commands and bytes of a Redis or Valkey server, as the difference of two readings of INFO."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import redis

OWN_COMMANDS = {"info", "config|get", "client|setinfo", "hello"}
"""The commands of the observer itself."""


@dataclass(frozen=True, slots=True)
class Look:
    """The counters of a server since its start, at one instant."""

    commands: dict[str, int]
    net_bytes: int


class Observer:
    """A connection that reads the counters of a server, from outside the measured processes."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.Redis.from_url(url)

    def look(self) -> Look:
        """Read the counters."""
        stats = self._redis.info("stats")
        found = self._redis.info("commandstats")
        commands = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in found.items()}
        return Look(commands, stats["total_net_input_bytes"] + stats["total_net_output_bytes"])

    def description(self) -> dict[str, Any]:
        """Return the server's version, and some of its settings."""
        server = self._redis.info("server")
        wanted = ("save", "appendonly", "io-threads", "maxmemory", "port", "unixsocket")
        settings = {name: self._redis.config_get(name).get(name, "") for name in wanted}
        settings["unixsocket"] = bool(settings["unixsocket"])
        name = server.get("server_name", "redis")
        return {"server": name, "version": server.get(f"{name}_version", "unknown"), "settings": settings}

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()


def difference(before: Look, after: Look, calls: int) -> dict[str, Any]:
    """Return, per call: commands that clients sent, all commands by name, and bytes in and out of the server."""
    changes = {
        name: count - before.commands.get(name, 0)
        for name, count in after.commands.items()
        if name not in OWN_COMMANDS and count > before.commands.get(name, 0)
    }
    sent = sum(count for name, count in changes.items() if name not in commands_of_scripts())
    return {
        "commands_sent": sent / calls,
        "commands": {name: count / calls for name, count in sorted(changes.items())},
        "net_bytes": (after.net_bytes - before.net_bytes) / calls,
    }


@cache
def commands_of_scripts() -> frozenset[str]:
    """Return the commands that our scripts call inside the server.

    INFO counts them too, although no client sent them.
    """
    folder = files("servicebus.layers.redis") / "lua"
    scripts = [*folder.iterdir(), *(folder / "shared").iterdir()]
    sources = [script.read_text() for script in scripts if script.name.endswith(".lua")]
    return frozenset(name.lower() for source in sources for name in re.findall(r"redis\.p?call\('(\w+)'", source))
