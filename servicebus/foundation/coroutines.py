"""Plain functions that return coroutines, marked so that others take them for coroutine functions."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 12):
    from inspect import markcoroutinefunction
else:
    from asgiref.sync import markcoroutinefunction

__all__ = ["markcoroutinefunction"]
