"""A shell that runs a server for its owner: when the owner ends, however it ends, the shell ends the server."""

from __future__ import annotations

import subprocess

# The shell prints the process ID of the server, then waits for one line from its owner, or for the end of its standard
# input, which comes when the owner ends. Then it kills the server and removes the directory, unless the line is "keep".
# Until the shell has waited for the server, the kernel gives the server's process ID to no other process.
_GUARD = """
directory=$1; shift; "$@" >/dev/null 2>&1 & server=$!; echo $server; trap "" INT TERM; read -r line
kill -9 $server 2>/dev/null; wait $server 2>/dev/null; [ "$line" = keep ] || rm -rf "$directory"
"""


def start_guarded(directory: str, command: list[str], *, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a server under a guard.

    Args:
        directory: what the guard removes after it has killed the server.
        command: the program of the server and its arguments.
        stdout: where the guard writes the process ID of the server, on one line; ``subprocess.PIPE`` to read it.

    Returns:
        The guard. Close its standard input, or write a line to it, to end the server; the line ``keep`` keeps the
        directory.
    """
    # In a new session: Ctrl-C interrupts only the owner, which may need its server until it has drained.
    return subprocess.Popen(
        ["sh", "-c", _GUARD, "sh", directory, *command],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
