"""Which operations clients of the gateway may call: those that were named, and no others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

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
        """The channel of the service."""
        return request_channel(self.service)


class Exposure:
    """The services and operations that are exposed.

    Args:
        expose: names of services, such as ``"orders"``, and of operations, such as ``"inventory.stock"``.

    Raises:
        ConfigurationError: a name is not valid. The text quotes the name.
    """

    def __init__(self, expose: Sequence[str]) -> None:
        if isinstance(expose, str) or not expose:
            raise ConfigurationError(
                f'expose is {expose!r}: name what may be called, such as ("inventory.stock", "orders")'
            )
        pairs = [_checked(entry) for entry in expose]
        self._services = {service for service, operation in pairs if not operation}
        self._targets = {Target(service, operation) for service, operation in pairs if operation}
        self.some_channel = request_channel(pairs[0][0])
        """The channel of an exposed service, for probes."""

    def target(self, path: str) -> Target:
        """Return the operation that a path such as ``/<service>/<operation>`` names.

        Raises:
            NotExposed: the path is malformed, or names an operation that is not exposed.
        """
        slash, _, rest = path.partition("/")
        service, _, operation = rest.partition("/")
        found = Target(service, operation)
        if slash or not _OPERATION.match(operation):
            raise NotExposed
        if service not in self._services and found not in self._targets:
            raise NotExposed
        return found


def path_of(scope: Mapping[str, Any]) -> str:
    """The path of a request below the root path of the application.

    Raises:
        NotExposed: it has escapes. No name here needs one, and a proxy that allows requests by their path may have
            read another one.
    """
    if b"%" in (scope.get("raw_path") or b""):
        raise NotExposed
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


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
