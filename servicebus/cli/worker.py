"""Serve a service until SIGTERM, then drain."""

from __future__ import annotations

import argparse

from ..config import WorkerConfig
from ..worker.process import run as run_worker
from .options import add_keys, add_max_message_size, add_prefix, add_url, positive_int, positive_seconds, url_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``servicebus worker``."""
    parser.add_argument("target", metavar="MODULE[:ATTR]", help="where the Service is")
    parser.add_argument("--processes", type=positive_int, default=1, help="worker processes (default 1)")
    parser.add_argument("--concurrency", type=positive_int, default=256, help="messages a process may hold at once")
    parser.add_argument("--drain", type=positive_seconds, default=25.0, help="seconds to finish in after SIGTERM")
    add_prefix(parser, "callers")
    add_max_message_size(parser)
    parser.add_argument("--supervisor", type=positive_int, default=0, help=argparse.SUPPRESS)
    add_url(parser)
    add_keys(parser)


def run(options: argparse.Namespace) -> int:
    """Serve; 0 after a clean drain."""
    return run_worker(
        WorkerConfig(
            options.target,
            url_of(options),
            options.processes,
            options.concurrency,
            options.drain,
            options.prefix,
            options.max_message_size,
            options.supervisor,
            options.keys,
        )
    )
