"""A server that is busy with a script and refuses every other command with BUSY."""

from __future__ import annotations

import socket

import hiredis

from servicebus.testing.servers import Server


def is_busy(server: Server) -> bool:
    """Return whether the server refuses commands because a script runs."""
    try:
        server.run("PING")
    except hiredis.ReplyError as error:
        return str(error).startswith("BUSY")
    return False


def never_ending_script(path: str) -> None:
    """Run a script that ends only with SCRIPT KILL, on the server behind a unix socket. Blocks until then."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(hiredis.pack_command(("EVAL", "while true do end", 0)))  # type: ignore[arg-type]
        connection.recv(1000)
