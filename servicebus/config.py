"""The one module that reads the environment. Precedence: argument, then ``SERVICEBUS_*``, then the default."""

from __future__ import annotations

import os
from dataclasses import dataclass

DEFAULT_URL = "memory://"


def default_url() -> str:
    """``SERVICEBUS_URL``, then ``memory://``."""
    return os.environ.get("SERVICEBUS_URL") or DEFAULT_URL


def default_keys() -> str:
    """``SERVICEBUS_KEYS``: the path of a key file, "" when nothing is to be signed."""
    return os.environ.get("SERVICEBUS_KEYS", "")


def password_of(service: str) -> str:
    """``SERVICEBUS_PASSWORD_<SERVICE>``: that of a service's user on the server, "" when none is given."""
    return os.environ.get(f"SERVICEBUS_PASSWORD_{service.upper().replace('-', '_')}", "")


def environment_with(url: str) -> dict[str, str]:
    """Of a child process that is to use ``url``."""
    return {**os.environ, "SERVICEBUS_URL": url}


def django_settings_named() -> bool:
    """Whether the environment names a Django settings module, so that a worker must set Django up first."""
    return bool(os.environ.get("DJANGO_SETTINGS_MODULE"))


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """How a worker runs.

    Attributes:
        drain: seconds that handlers may take to finish after SIGTERM.
        prefix: of every Redis key; that of the callers.
        max_message_size: bytes of an encoded message.
        keys: the path of a key file, "" for the default.
        supervisor: the process to end with, 0 for none.
    """

    target: str
    url: str
    processes: int = 1
    concurrency: int = 256
    drain: float = 25.0
    prefix: str = "asgi"
    max_message_size: int = 65_536
    supervisor: int = 0
    keys: str = ""
