"""Idempotency keys, by which a service recognizes a repeated request, and which requests may be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..api.context import Context, context, current, enter
from ..api.middleware import Endpoint
from ..contract.request import idempotency_of
from ..errors import InvalidRequest

HEADER = "idempotency_key"
"""The header that carries the key."""
MAX_KEY = 128
"""Characters of a key: enough for two UUIDs and a name, and small in a store of many keys."""


@contextmanager
def idempotent(key: str) -> Iterator[Context]:
    """Let the calls inside the block carry an idempotency key, retries included.

    A key belongs to one request. Choose a key that a later attempt of the same request gives again, even in another
    process, such as the number of the order that is charged.

    Args:
        key: 1 to 128 characters, none of them a control character.

    Raises:
        InvalidRequest: the key is not such a str.
    """
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY:
        raise InvalidRequest(f"an idempotency key is a str of 1 to {MAX_KEY} characters, not {key!r}", HEADER)
    with context(headers={HEADER: key}) as inner:
        yield inner


def repeatable(message: Any) -> bool:
    """Return whether the contract allows to run ``message`` again, if it is sent in the current context."""
    promised = idempotency_of(message)
    if promised == "keyed":
        here = current()
        return here is not None and HEADER in here.headers
    return promised


def take_key(context: Context) -> tuple[str | None, Context]:
    """Return the key of a message, and its context without the key, which becomes the current one.

    So nested calls do not inherit the key.
    """
    key = context.headers.get(HEADER)
    if key is not None:
        context = context.without_header(HEADER)
        enter(context)
    return key, context


async def without_key(request: Any, context: Context, call_next: Endpoint) -> Any:
    """Remove the idempotency key from a request, so that nested calls do not inherit it.

    This is middleware for a service that does not remember outcomes. Cancelling is as safe as for the handler.
    """
    _, context = take_key(context)
    return await call_next(request, context)
