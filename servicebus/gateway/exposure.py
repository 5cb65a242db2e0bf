"""What outsiders may call: what was named, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..contract.names import checked_service, request_channel
from ..errors import ConfigurationError
from .refusals import NotExposed

_OPERATION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")


class Target(NamedTuple):
    """One operation of one service."""

    service: str
    operation: str

    @property
    def channel(self) -> str:
        return request_channel(self.service)


class Exposure:
    """The services and operations that have been named. Raises ConfigurationError for a name that cannot be one."""

    def __init__(self, expose: Sequence[str]) -> None:
        if isinstance(expose, str) or not expose:
            raise ConfigurationError(
                f'expose is {expose!r}: name what may be called, such as ("inventory.stock", "orders")'
            )
        pairs = [_checked(entry) for entry in expose]
        self._services = {service for service, operation in pairs if not operation}
        self._targets = {Target(service, operation) for service, operation in pairs if operation}
        self.some_channel = request_channel(pairs[0][0])

    def target(self, path: str) -> Target:
        """What ``/<service>/<operation>`` asks for. Raises NotExposed, whatever is wrong with it."""
        slash, _, rest = path.partition("/")
        service, _, operation = rest.partition("/")
        found = Target(service, operation)
        if slash or not _OPERATION.match(operation):
            raise NotExposed
        if service not in self._services and found not in self._targets:
            raise NotExposed
        return found


def _checked(entry: object) -> tuple[str, str]:
    if not isinstance(entry, str):
        raise ConfigurationError(f"expose has {entry!r} in it: only names, such as 'inventory.stock'")
    service, dot, operation = entry.partition(".")
    try:
        checked_service(service)
    except ConfigurationError as error:
        raise ConfigurationError(f"expose has {entry!r} in it: {error}") from error
    if dot and not _OPERATION.match(operation):
        raise ConfigurationError(
            f"expose has {entry!r} in it: an operation is letters, digits, '_', '.' and '-', at most 128 characters"
        )
    return service, operation
