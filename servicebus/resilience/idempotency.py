"""Which requests may be repeated, and the key under which a service tells a repetition from a new request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from ..api.context import Context, context, current
from ..api.middleware import Endpoint
from ..contract.request import idempotency_of
from ..errors import InvalidRequest

HEADER = "idempotency_key"
MAX_KEY = 128


@contextmanager
def idempotent(key: str) -> Iterator[Context]:
    """Let the calls inside the block carry an idempotency key, retries included.

    A key belongs to one request: give each request its own, one that a later attempt of it, even by another process,
    gives again, such as the number of the order that is charged. Raises InvalidRequest unless it is a str of 1 to 128
    characters, none of them control characters.
    """
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
        raise InvalidRequest(f"an idempotency key is a str of 1 to {MAX_KEY} characters, not {key!r}", HEADER)
    with context(headers={HEADER: key}) as inner:
        yield inner


def repeatable(message: Any) -> bool:
    """Whether the contract allows to run ``message`` again, as it would be sent here and now."""
    promised = idempotency_of(message)
    if promised == "keyed":
        here = current()
        return here is not None and HEADER in here.headers
    return promised


def take_key(context: Context) -> str | None:
    """The key that came with a message, which from now on does not travel further."""
    key = context.headers.get(HEADER)
    if key is not None:
        # In place: the dispatcher and the nested calls look at this very object.
        context.headers = MappingProxyType({name: text for name, text in context.headers.items() if name != HEADER})
    return key


async def without_key(request: Any, context: Context, call_next: Endpoint) -> Any:
    """Middleware of a service that keeps no outcomes: its nested calls do not inherit the key of its caller.

    Cancelling is as safe as it is for the handler.
    """
    take_key(context)
    return await call_next(request, context)
