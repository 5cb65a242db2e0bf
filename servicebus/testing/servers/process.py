"""A server process that cannot outlive its owner, and ports that nobody uses."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from contextlib import ExitStack, suppress

from ..waiting import wait_until

HOST = "127.0.0.1"
# Below the range from which clients are given their ports, or one of them might sit on the port of a server to restart.
PORTS = range(15_000, 32_000)
ATTEMPTS = 1000
END_WITHIN = 10.0
GONE, PAUSED = "XZ", "T"

# It says the server's ID, and waits for a word, which may be to keep the directory, or for the end of its owner. As
# long as the shell has not waited for the server, nobody else can get its process ID.
_GUARD = """
directory=$1; shift; "$@" >/dev/null 2>&1 & server=$!; echo $server; trap "" INT TERM; read -r word
kill -9 $server 2>/dev/null; wait $server 2>/dev/null; [ "$word" = keep ] || rm -rf "$directory"
"""


class Process:
    """A server, and the shell that ends it and removes ``directory`` when the owner ends."""

    def __init__(self, directory: str, command: list[str]) -> None:
        # A session of its own, so that Ctrl-C reaches the owner alone.
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", directory, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._guard.stdout is not None
        with self._guard.stdout as said:
            self.pid = int(said.readline())

    def signal(self, number: int) -> None:
        """Signal the server. Nothing happens when it has ended."""
        if self._guard.poll() is None:
            os.kill(self.pid, number)

    def kill(self, number: int) -> None:
        """Signal the server and wait until it has ended. Raises TimeoutError."""
        self.signal(number)
        wait_until(lambda: not is_running(self.pid), END_WITHIN, f"the server process {self.pid} has ended")

    def end(self, *, keep: bool = False) -> None:
        """End server and guard, and remove the directory unless it is to be kept. Idempotent."""
        said = self._guard.stdin
        if said is None or said.closed:
            return
        with suppress(BrokenPipeError), said:
            # A word in any case: a fork of the owner may hold the pipe open.
            said.write(b"keep\n" if keep else b"end\n")
        self._guard.wait(END_WITHIN)


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    return state_of(pid) not in GONE


def state_of(pid: int) -> str:
    """A letter, as proc(5) has them; X when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that were free a moment ago. Raises OSError when there are too few."""
    # Not the shared generator: programs that seed it alike would fight for the same ports.
    draw = random.SystemRandom()
    found: dict[int, socket.socket] = {}
    with ExitStack() as stack:
        for _ in range(ATTEMPTS):
            if len(found) == count:
                return list(found)
            holder = stack.enter_context(socket.socket())
            port = draw.choice(PORTS)
            if holder.connect_ex((HOST, port)) and _bound(holder, port):
                found[port] = holder
    raise OSError(f"no {count} free ports on {HOST}")


def _bound(holder: socket.socket, port: int) -> bool:
    try:
        holder.bind((HOST, port))
    except OSError:
        return False
    return True
