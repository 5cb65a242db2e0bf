"""What a policy's numbers must be. Checked when the policy is made, long before it would matter."""

from __future__ import annotations

import math
from typing import Any

from ..errors import ConfigurationError


def check_numbers(**numbers: Any) -> None:
    """Raises ConfigurationError for what is no finite number above 0."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ConfigurationError(f"{name} is {value!r}: give a number above 0")


def check_whole(*, at_least: int = 1, **numbers: Any) -> None:
    """Raises ConfigurationError for what is no int of at least ``at_least``."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise ConfigurationError(f"{name} is {value!r}: give a whole number, at least {at_least}")


def check_share(**numbers: Any) -> None:
    """Raises ConfigurationError for what is not above 0 and at most 1."""
    check_numbers(**numbers)
    for name, value in numbers.items():
        if value > 1:
            raise ConfigurationError(f"{name} is {value!r}: it is a share, at most 1")
