"""What travels with a message through the whole stack: correlation ID, headers, flags and the deadline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

import msgspec

from ..errors import ConfigurationError, InvalidRequest
from ..foundation.text import CONTROL
from .bus import Bus

FLAG_PREFIX = "flag-"
"""What the header of a feature flag starts with (docs/spec.md, section 6)."""
MAX_ID = 128
"""Characters of a correlation ID: room for any ID in use, and short enough for every log line."""
MAX_HEADERS = 64
"""Headers of one message: they travel with every nested call, so they must stay few."""
MAX_HEADER_BYTES = 8192
"""Bytes of all header names and values of one message: the limit of common HTTP servers."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}\Z")
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Progress:
    """How far the handling of one message has come. Its context and every copy of that context share one.

    Attributes:
        started: the handler itself has begun to run; middleware that refuses before that did not execute anything.
        abandoned: the caller has gone away while the handler runs in a thread, which cannot be stopped. The handler's
            further calls are refused.
    """

    __slots__ = ("abandoned", "started")

    def __init__(self, *, started: bool = False) -> None:
        self.started = started
        self.abandoned = False


STARTED = Progress(started=True)
"""Shared by all messages whose handlers start at once and run on the event loop. Never changed."""


class Context(msgspec.Struct, eq=False, frozen=True):
    """The message at hand, as its handler sees it, and what nested calls inherit from it. Read-only.

    Attributes:
        correlation_id: copied unchanged through every nested call and event.
        headers: str to str, propagated to nested calls and events.
        deadline_ms: the instant, on the server's clock in milliseconds, when the caller stops waiting; 0 for none.
        caller: the name of the service that sent the message, "" when it gave none.
    """

    correlation_id: str = ""
    headers: Mapping[str, str] = NO_HEADERS
    deadline_ms: int = 0
    caller: str = ""
    _bus: Bus | None = None
    _progress: Progress = STARTED

    @property
    def bus(self) -> Bus:
        """The bus that serves this message: what a handler makes its nested calls with.

        Raises:
            ConfigurationError: this context belongs to no message.
        """
        if self._bus is None:
            raise ConfigurationError("this context belongs to no message: there is no bus in it")
        return self._bus

    @property
    def started(self) -> bool:
        """Whether the handler has begun to run. Middleware sees False until then."""
        return self._progress.started

    @property
    def abandoned(self) -> bool:
        """Whether the caller went away while the handler runs in a thread."""
        return self._progress.abandoned

    def remaining(self) -> float | None:
        """Seconds until the deadline, never negative; None when the message has none. 0 once it is abandoned."""
        if self._progress.abandoned:
            return 0.0
        if not self.deadline_ms:
            return None
        return max(0.0, (self.deadline_ms - self.bus.now_ms()) / 1000)

    def flag(self, name: str, default: bool = False) -> bool:
        """The feature flag ``name`` as the first caller set it, or ``default`` when nobody set it."""
        value = self.headers.get(FLAG_PREFIX + name)
        return default if value is None else value == "true"

    def without_header(self, name: str) -> Context:
        """The same context without one header. Make it the current one with ``enter``; handlers get it as argument."""
        headers = MappingProxyType({key: value for key, value in self.headers.items() if key != name})
        return Context(self.correlation_id, headers, self.deadline_ms, self.caller, self._bus, self._progress)


_current: ContextVar[Context | None] = ContextVar("servicebus_context", default=None)

current = _current.get
"""The context in force here: the handler's, or the one that ``servicebus.context`` set; None outside of both."""

enter = _current.set
"""Make a context the current one for the rest of the running task or thread call."""


class ContextSetter:
    """``with servicebus.context(correlation_id=..., flags=..., headers=...):`` sets what calls inside the block carry.

    ``servicebus.context.current()`` returns the context in force, None outside of one.
    """

    @staticmethod
    def current() -> Context | None:
        """The context in force here: the handler's, or the one that a ``with servicebus.context(...)`` block set."""
        return _current.get()

    @contextmanager
    def __call__(
        self,
        *,
        correlation_id: str = "",
        flags: Mapping[str, bool] | None = None,
        headers: Mapping[str, str] | None = None,
        detached: bool = False,
    ) -> Iterator[Context]:
        """Set what the calls inside the block carry, on top of what is already in force.

        With ``detached`` they carry no deadline, and go on when the message at hand is done or its caller has gone
        away: for tasks and threads that a handler leaves behind, which are started inside the block.

        Raises:
            InvalidRequest: a header or flag that the wire does not take. Names are lower-case ``[a-z0-9_.-]``, values
                are str without control characters, at most 64 headers and 8 KiB in all.
        """
        outer = _current.get() or Context()
        added = {**(headers or {}), **{FLAG_PREFIX + name: _flag_value(name, on) for name, on in (flags or {}).items()}}
        inner = Context(
            _checked_id(correlation_id) or outer.correlation_id,
            _checked_headers({**outer.headers, **added}),
            0 if detached else outer.deadline_ms,
            outer.caller,
            outer._bus,
            STARTED if detached else outer._progress,
        )
        token = _current.set(inner)
        try:
            yield inner
        finally:
            _current.reset(token)


context = ContextSetter()


def check_received(context: Context) -> None:
    """Check the correlation ID, headers and caller that a message brought along.

    They go into logs and into further protocols, so control characters and excess are refused.

    Raises:
        InvalidRequest: it names the field.
    """
    if len(context.correlation_id) > MAX_ID or not context.correlation_id.isprintable():
        _checked_id(context.correlation_id)
    if not context.caller.isprintable() and CONTROL.search(context.caller):
        raise InvalidRequest("the name of a caller has no control characters", "caller")
    if context.headers:
        for name, value in context.headers.items():
            _check_header(name, value)
        _check_size(context.headers)


def _flag_value(name: str, on: Any) -> str:
    if not isinstance(on, bool):
        raise InvalidRequest(f"a flag is True or False, not {on!r}", f"flags.{name}")
    return "true" if on else "false"


def _checked_id(correlation_id: Any) -> str:
    if not isinstance(correlation_id, str) or len(correlation_id) > MAX_ID or CONTROL.search(correlation_id):
        raise InvalidRequest(
            f"a correlation ID is a str of at most {MAX_ID} characters, none of them control characters",
            "correlation_id",
        )
    return correlation_id


def _checked_headers(headers: dict[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise InvalidRequest(
                f"header name {name!r} is not lower-case [a-z0-9_.-], at most 64 characters", "headers"
            )
        _check_header(name, value)
    _check_size(headers)
    return MappingProxyType(headers)


def _check_header(name: str, value: Any) -> None:
    if not isinstance(value, str) or CONTROL.search(value) or CONTROL.search(name):
        raise InvalidRequest("a header is a name and a value, both str without control characters", f"headers.{name}")


def _check_size(headers: Mapping[str, str]) -> None:
    size = sum(len(name) + len(value.encode()) for name, value in headers.items())
    if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise InvalidRequest(
            f"{len(headers)} headers of {size} bytes: at most {MAX_HEADERS} of {MAX_HEADER_BYTES}", "headers"
        )
