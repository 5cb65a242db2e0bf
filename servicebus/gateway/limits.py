"""The bounds of a gateway: how much it takes from a client, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import (
    DEFAULT_BODY_WITHIN,
    DEFAULT_MAX_MESSAGE_SIZE,
    DEFAULT_MAX_REQUESTS,
    DEFAULT_TIMEOUT,
    check_numbers,
    check_whole,
)
from ..errors import LARGEST_MESSAGE, ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one gateway.

    Attributes:
        timeout: seconds for a call; a client may ask for less.
        max_body: bytes of a request's body, at most the size of the largest message of the bus.
        body_within: seconds in which a request must have arrived.
        max_requests: requests that may be in progress at once.

    Raises:
        ConfigurationError: a number is out of range. The text names the attribute.
    """

    timeout: float = DEFAULT_TIMEOUT
    max_body: int = DEFAULT_MAX_MESSAGE_SIZE
    body_within: float = DEFAULT_BODY_WITHIN
    max_requests: int = DEFAULT_MAX_REQUESTS

    def __post_init__(self) -> None:
        check_numbers(timeout=self.timeout, body_within=self.body_within)
        check_whole(max_body=self.max_body, max_requests=self.max_requests)
        if self.max_body > LARGEST_MESSAGE:
            raise ConfigurationError(f"max_body is {self.max_body}: the bus moves at most {LARGEST_MESSAGE} bytes")
