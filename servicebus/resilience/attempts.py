"""What is left of a call's time, and what to say when several copies of it failed."""

from __future__ import annotations

from ..api.context import current
from ..api.middleware import Invocation

_SURENESS = {"no": 0, "maybe": 1, "yes": 2}


def time_left(invocation: Invocation, elapsed: float) -> float:
    """Seconds until its deadline, ``elapsed`` seconds after it came; not positive when that has passed.

    Inside a handler the handler's own deadline counts as well.
    """
    left = invocation.timeout - elapsed
    context = current()
    outer = context.remaining() if context is not None else None
    return left if outer is None else min(left, outer)


def most_executed(first: Exception, second: Exception) -> Exception:
    """Which of two copies' errors to raise, the first when they are equal.

    Whoever sends twice must not say "no" when one of them may have run.
    """
    return second if _sureness(second) > _sureness(first) else first


def _sureness(error: Exception) -> int:
    return _SURENESS[getattr(error, "executed", "maybe")]
