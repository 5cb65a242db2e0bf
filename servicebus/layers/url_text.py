"""What is wrong with the text of a URL, before anybody asks what it means. No text of an error shows a password."""

from __future__ import annotations

import re

from ..errors import ConfigurationError

_SCHEME = re.compile(r"[a-zA-Z+]*")
_QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


def check_text(url: str) -> None:
    """Check what a settings file or a shell may add to a URL.

    Raises:
        ConfigurationError: it has blanks in it, or stands in quotes.
    """
    if fault := text_fault(url):
        raise ConfigurationError(f"not a server URL: {shown(url)} ({fault})")


def text_fault(url: str) -> str:
    """What is wrong with the text of a URL, "" for nothing."""
    if url and (url[0] in _QUOTES or url[-1] in _QUOTES):
        return "it stands in quotes: take them out of its value"
    return "it has a blank or a line end in it: take it out, or write %20 in a password" if _BLANK.search(url) else ""


def shown(url: str) -> str:
    """The URL without blanks, quotes and password."""
    return without_password(_BLANK.sub("", url).strip(_QUOTES))


def without_password(url: str) -> str:
    """The URL as it may be shown: without its query, where passwords may stand too."""
    scheme, mark, rest = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):  # none: what stands there may be a piece of a password
        scheme, mark, rest = "", "", url
    where, _, query = rest.partition("?")
    # With an "@" behind it, the "?" may be part of a password.
    return f"{scheme}{mark}{'...' if '@' in query else where.rpartition('@')[2]}"


def scheme_hint(scheme: str, known: set[str]) -> str:
    """What to write instead of a scheme that nobody knows, "" when nothing comes near."""
    if scheme.lower() in known:
        return f"write it in lower case: {scheme.lower()}://"
    instead = scheme.lower().replace("valkeys", "rediss").replace("valkey", "redis")
    return f"Valkey speaks the protocol of Redis: write {instead}://" if instead in known else ""
