"""What a gateway takes from anybody, and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ..errors import LARGEST_MESSAGE, ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one gateway. Raises ConfigurationError for a number that bounds nothing.

    Attributes:
        timeout: seconds for a call; a client may ask for less.
        max_body: bytes of a request's body, at most those of the largest message of the bus.
        body_within: seconds in which a request must be there.
        max_requests: calls that may be in progress at once.
    """

    timeout: float = 5.0
    max_body: int = 65_536
    body_within: float = 10.0
    max_requests: int = 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name), whole=field.name.startswith("max_"))
        if self.max_body > LARGEST_MESSAGE:
            raise ConfigurationError(f"max_body is {self.max_body}: the bus moves at most {LARGEST_MESSAGE} bytes")


def _check(name: str, value: object, *, whole: bool) -> None:
    kind = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
        raise ConfigurationError(f"{name} is {value!r}: give a {'whole ' if whole else ''}number above 0")
