"""Values as the builtin values that they are: a ``str`` of a derived class, or one behind a proxy, is a str."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

_combine, _day = datetime.combine, date.fromordinal

EXACT: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (bytes, bytes.__bytes__),
    (bytearray, bytes),
    (datetime, lambda value: _combine(datetime.date(value), datetime.timetz(value))),
    (date, lambda value: _day(date.toordinal(value))),
    (timedelta, timedelta.__pos__),
    (Decimal, Decimal),
)
"""Each class, and what makes the builtin value of an object of a derived class, whatever methods that overrides."""

_LAZY = ("django.utils.functional", "Promise")


def plain(value: Any) -> Any:
    """``value`` as a builtin value, when it is of a derived class, behind a proxy, or a mapping that is no dict.

    Raises:
        TypeError: it is none of these.
    """
    kind = type(value)
    for base, exact in EXACT:
        if issubclass(kind, base):
            return exact(value)
    if isinstance(value, Mapping):
        return dict(value)
    # Django's lazy translations have no other mark.
    if any((base.__module__, base.__name__) == _LAZY for base in kind.__mro__):
        return str.__str__(str(value))
    if isinstance(value, str):  # a proxy, which says that it is of the class of what it stands for
        return str.__str__(str(value))
    raise TypeError(f"objects of type {kind.__name__!r} are nothing that msgpack knows")
