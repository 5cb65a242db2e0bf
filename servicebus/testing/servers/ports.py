"""TCP ports of the loopback interface that no other program uses."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

HOST = "127.0.0.1"
PORTS = range(15_000, 32_000)
"""Ports to choose from. They lie below those that the kernel gives to clients: otherwise a client of another test could
hold the port of a server that is to be restarted."""
ATTEMPTS = 1000
"""How many ports are tried before there are too few free ones."""


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports of 127.0.0.1 that were free a moment ago.

    Raises:
        OSError: there are too few free ports.
    """
    # SystemRandom, not the shared generator: programs that seed that generator alike would try the same ports.
    draw = random.SystemRandom()
    found: dict[int, socket.socket] = {}
    with ExitStack() as stack:
        for _ in range(ATTEMPTS):
            if len(found) == count:
                return list(found)
            holder = stack.enter_context(socket.socket())
            port = draw.choice(PORTS)
            if holder.connect_ex((HOST, port)) and _could_bind(holder, port):
                found[port] = holder
    raise OSError(f"fewer than {count} free ports on {HOST}")


def _could_bind(holder: socket.socket, port: int) -> bool:
    try:
        holder.bind((HOST, port))
    except OSError:
        return False
    return True
