"""Text from other programs, made safe to print: in a log or on a terminal it must not look like another line."""

from __future__ import annotations

import re
from collections.abc import Callable

# Control characters, line separators, characters that change the direction of text, and lone surrogates.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Return ``text`` in one line, with an escape for every character that controls a terminal or a log."""
    return text if text.isprintable() else CONTROL.sub(_escaped, text)


def as_text(value: object) -> str:
    """``value`` as a plain str, "" for None. It does not raise: what has no text is named by its type."""
    if issubclass(type(value), str):
        return str.__str__(value)
    return "" if value is None else _text_by(str, value)


def as_repr(value: object) -> str:
    """``repr(value)``. It does not raise: what has none is named by its type."""
    return _text_by(repr, value)


def _text_by(form: Callable[[object], str], value: object) -> str:
    try:
        return str.__str__(form(value))  # it may return an object of a derived class
    except Exception:  # noqa: BLE001 - whatever the methods of the value do
        return f"a {type(value).__name__}"


def encodable(value: object) -> str:
    """``as_text(value)``, with an escape for every lone surrogate, which UTF-8 cannot hold."""
    text = as_text(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
