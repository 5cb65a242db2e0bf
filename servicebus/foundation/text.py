"""Text from elsewhere, made fit to be shown: in a log or on a terminal it must not pass for anything but itself."""

from __future__ import annotations

import re

# Controls of both kinds, separators that some take for the end of a line, and those that turn the direction of text.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` in one line, with an escape for every character that is not to be shown."""
    return text if text.isprintable() else CONTROL.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
