"""Numbers that a settings module takes from the environment."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

from servicebus import ConfigurationError


class EnvironmentVariableError(ConfigurationError, ImproperlyConfigured):
    """An environment variable does not hold what its setting needs."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(variable, problem)
        self.variable, self.problem = variable, problem

    def __str__(self) -> str:
        return f"{self.variable}: {self.problem}"


def seconds(variable: str, default: float, environ: Mapping[str, str] = os.environ) -> float:
    """Return a positive duration in seconds.

    Raises:
        EnvironmentVariableError: the variable holds something else.
    """
    text = environ.get(variable) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise EnvironmentVariableError(variable, f"{text!r} is not a positive number of seconds")
    return value
