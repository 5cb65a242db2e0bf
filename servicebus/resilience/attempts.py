"""The time that is left for a call, and which error to raise when several copies of the call failed."""

from __future__ import annotations

from ..api.context import current
from ..api.middleware import Invocation

_PROGRESS = {"no": 0, "maybe": 1, "yes": 2}
"""How far a request came, by ``executed`` of its error."""


def time_left(invocation: Invocation, elapsed: float) -> float:
    """Return the seconds until a call's deadline, zero or less when the deadline has passed.

    Args:
        invocation: the call. Inside a handler, the deadline of that handler's message bounds its time as well.
        elapsed: seconds since the call began.
    """
    left = invocation.timeout - elapsed
    context = current()
    outer = context.remaining() if context is not None else None
    return left if outer is None else min(left, outer)


def furthest(first: Exception, second: Exception) -> Exception:
    """Return the error of the copy that came further, the first error when both came equally far.

    A caller that sends a request twice must not report ``executed == "no"`` when one of the copies may have run.
    """
    return second if _progress(second) > _progress(first) else first


def _progress(error: Exception) -> int:
    return _PROGRESS[getattr(error, "executed", "maybe")]
