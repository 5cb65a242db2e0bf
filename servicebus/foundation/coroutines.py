"""Which callables are coroutine functions, and a mark for plain functions that return coroutines."""

from __future__ import annotations

import functools
import sys

if sys.version_info >= (3, 12):
    from inspect import iscoroutinefunction, markcoroutinefunction
else:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction

__all__ = ["is_async", "markcoroutinefunction"]


def is_async(target: object) -> bool:
    """Whether calling ``target`` gives a coroutine: an ``async def``, a partial of one, an object whose call is one."""
    while isinstance(target, functools.partial):
        target = target.func
    called = getattr(type(target), "__call__", None)  # noqa: B004 - the function, not whether there is one
    return iscoroutinefunction(target) or iscoroutinefunction(called)
