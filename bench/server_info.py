"""What a Redis or Valkey server says it did: commands and bytes, as the difference of two looks at INFO."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import redis

LOOKING = {"info", "config|get", "client|setinfo", "hello"}


@dataclass(frozen=True, slots=True)
class Look:
    """Counters since the server started."""

    commands: dict[str, int]
    net_bytes: int


class Observer:
    """A connection that looks at a server now and then, from outside the processes that are measured."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.Redis.from_url(url)

    def look(self) -> Look:
        stats = self._redis.info("stats")
        found = self._redis.info("commandstats")
        commands = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in found.items()}
        return Look(commands, stats["total_net_input_bytes"] + stats["total_net_output_bytes"])

    def description(self) -> dict[str, Any]:
        """The server's version, and whatever of its configuration is not the default of a long list."""
        server = self._redis.info("server")
        wanted = ("save", "appendonly", "io-threads", "maxmemory", "port", "unixsocket")
        settings = {name: self._redis.config_get(name).get(name, "") for name in wanted}
        settings["unixsocket"] = bool(settings["unixsocket"])
        name = server.get("server_name", "redis")
        return {"server": name, "version": server.get(f"{name}_version", "unknown"), "settings": settings}

    def close(self) -> None:
        self._redis.close()


def difference(before: Look, after: Look, calls: int) -> dict[str, Any]:
    """Per call: commands that clients sent, all commands by name, and bytes in and out of the server."""
    changes = {
        name: count - before.commands.get(name, 0)
        for name, count in after.commands.items()
        if name not in LOOKING and count > before.commands.get(name, 0)
    }
    sent = sum(count for name, count in changes.items() if name not in commands_of_scripts())
    return {
        "commands_sent": sent / calls,
        "commands": {name: count / calls for name, count in sorted(changes.items())},
        "net_bytes": (after.net_bytes - before.net_bytes) / calls,
    }


@cache
def commands_of_scripts() -> frozenset[str]:
    """What our scripts call inside the server: INFO counts that too, though nobody sent it."""
    folder = files("servicebus.layers.redis") / "lua"
    sources = [script.read_text() for script in folder.iterdir() if script.name.endswith(".lua")]
    return frozenset(name.lower() for source in sources for name in re.findall(r"redis\.p?call\('(\w+)'", source))
