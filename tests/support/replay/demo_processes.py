"""Runs ``servicebus demo`` as a user does, and finds what it left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
MARK = "SERVICEBUS_TEST_RUN"


class Demo:
    """One run of the command. Everything it starts carries a mark in its environment."""

    def __init__(self, *arguments: str, stderr: int = subprocess.PIPE, **environment: str) -> None:
        self.mark = uuid.uuid4().hex
        self.directory = tempfile.TemporaryDirectory(prefix="servicebus-test-")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "servicebus", "demo", *arguments],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": self.directory.name} | environment | {MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.directory.cleanup()

    def finish(self) -> tuple[int, str, str]:
        """Exit status, standard output and standard error."""
        output, errors = self.process.communicate(timeout=60)
        return self.process.returncode, output, errors

    def read_progress(self) -> str:
        """The next line of standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def left_behind(self) -> list[str]:
        """Command lines of processes, and files."""
        return [*self.processes(), *os.listdir(self.directory.name)]

    def processes(self) -> list[str]:
        """Return the command lines of the processes that the command started."""
        return [_command(pid) for pid in _marked(f"{MARK}={self.mark}".encode()) if pid != self.process.pid]

    def worker(self, service: str) -> int:
        """Return the process ID of the worker of a service."""
        target = f"services.{service}.handlers"
        pids = _marked(f"{MARK}={self.mark}".encode())
        (pid,) = (pid for pid in pids if target in _command(pid) and not _command(pid).startswith("sh "))
        return pid


def demo(*arguments: str, stderr: int = subprocess.PIPE, **environment: str) -> tuple[int, str, str]:
    """Run the command to its end, check that it leaves nothing behind, and return status and output."""
    with Demo(*arguments, stderr=stderr, **environment) as run:
        finished = run.finish()
        assert run.left_behind() == []
        return finished


def summary_of(*arguments: str) -> dict[str, Any]:
    """Run the command with ``--json`` and return the summary."""
    status, output, errors = demo("--json", *arguments)
    assert status == 0, errors
    assert output.count("\n") == 1
    found: dict[str, Any] = json.loads(output)
    return found


def eventually(condition: Callable[[], bool], within: float = 10.0) -> bool:
    """Return whether the condition came true within so many seconds."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def _marked(mark: bytes) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark in environment.split(b"\0"):
                found.append(int(entry.name))
    return found


def _command(pid: int) -> str:
    try:
        return (Path("/proc", str(pid)) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""
