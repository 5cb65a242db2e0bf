"""The errors of requests that never became a call. Nothing has run."""

from __future__ import annotations

from ..errors import Executed, ServiceBusError


class Refused(ServiceBusError):
    """Base of the refusals that HTTP has a status for."""

    executed: Executed = "no"


class NotExposed(Refused):
    """The operation does not exist or is not exposed. An outsider must not learn which of the two."""


class MethodNotAllowed(Refused):
    """The HTTP method is wrong.

    Attributes:
        allow: the methods that are allowed, as in the header ``Allow``.
    """

    def __init__(self, allow: str) -> None:
        super().__init__(allow)
        self.allow = allow

    def _text(self) -> str:
        return f"the method must be {self.allow}"


class RequestTimeout(Refused):
    """The request did not arrive in time."""


class UnsupportedMediaType(Refused):
    """The body is not plain JSON."""


class HeadersTooLarge(Refused):
    """A header line, or all headers together, are longer than the server reads."""


class Disconnected(Exception):
    """The client has closed the connection, so that no answer can reach it."""
