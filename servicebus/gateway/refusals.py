"""Why a request never became a call. Nothing has run."""

from __future__ import annotations

from ..errors import Executed, ServiceBusError


class Refused(ServiceBusError):
    """Base of what HTTP itself has a word for."""

    executed: Executed = "no"


class NotExposed(Refused):
    """No such operation, or one that was not exposed: which of the two is nobody's business."""


class MethodNotAllowed(Refused):
    """``allow`` says which methods are."""

    def __init__(self, allow: str) -> None:
        super().__init__(allow)
        self.allow = allow

    def _text(self) -> str:
        return f"the method must be {self.allow}"


class RequestTimeout(Refused):
    """The request was not there in time."""


class UnsupportedMediaType(Refused):
    """The body is something else than plain JSON."""


class HeadersTooLarge(Refused):
    """A line of the head, or all of them, are longer than the server reads."""


class Disconnected(Exception):
    """The client went away: there is nobody to answer."""
