"""Serve a service until SIGTERM, then drain."""

from __future__ import annotations

import argparse

from ..config import DEFAULT_CONCURRENCY, DEFAULT_DRAIN, WorkerConfig
from ..worker.process import run as run_worker
from .options import add_keys, add_max_message_size, add_prefix, add_url, positive_int, positive_seconds, url_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``servicebus worker``."""
    parser.add_argument("target", metavar="MODULE[:ATTR]", help="module that holds the service, and its name there")
    parser.add_argument(
        "--processes", type=positive_int, default=1, metavar="N", help="worker processes (default %(default)s)"
    )
    parser.add_argument(
        "--concurrency",
        type=positive_int,
        default=DEFAULT_CONCURRENCY,
        metavar="N",
        help="messages that one process handles at once (default %(default)s)",
    )
    parser.add_argument(
        "--drain",
        type=positive_seconds,
        default=DEFAULT_DRAIN,
        metavar="SECONDS",
        help="time for handlers to finish after SIGTERM (default %(default)s)",
    )
    add_prefix(parser, "callers")
    add_max_message_size(parser)
    parser.add_argument("--supervisor", type=positive_int, default=0, help=argparse.SUPPRESS)
    add_url(parser)
    add_keys(parser)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes, and return 0 after a clean drain.

    Raises:
        ConfigurationError: the service or a setting cannot be used.
        Unavailable: the server cannot be reached.
    """
    return run_worker(
        WorkerConfig(
            target=options.target,
            url=url_of(options),
            processes=options.processes,
            concurrency=options.concurrency,
            drain=options.drain,
            prefix=options.prefix,
            max_message_size=options.max_message_size,
            supervisor=options.supervisor,
            keys=options.keys,
        )
    )
