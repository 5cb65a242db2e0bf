"""What goes wrong between a client and its bus, as bus middleware."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from servicebus.api.middleware import CallNext, Invocation

FOREVER = 1_000_000


class Faults:
    """Fails calls of a kind, before or after they were carried out, and writes down what was called.

    Attributes:
        seen: the requests, in order, those that failed too.
        most: how many calls were pending at once.
    """

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.most = 0
        self._pending = 0
        self._left: Counter[type] = Counter()
        self._errors: dict[type, tuple[Callable[[], Exception], bool]] = {}

    def fail(self, kind: type, error: Callable[[], Exception], times: int = FOREVER, after: bool = False) -> None:
        """Let the next calls of this type fail with a fresh error, before or after they were carried out."""
        self._left[kind], self._errors[kind] = times, (error, after)

    async def __call__(self, invocation: Invocation, call_next: CallNext) -> Any:
        self.seen.append(invocation.message)
        self._pending += 1
        self.most = max(self.most, self._pending)
        try:
            return await self._carried_out(invocation, call_next)
        finally:
            self._pending -= 1

    async def _carried_out(self, invocation: Invocation, call_next: CallNext) -> Any:
        kind = type(invocation.message)
        if not self._left[kind]:
            return await call_next(invocation)
        self._left[kind] -= 1
        error, after = self._errors[kind]
        if after:
            await call_next(invocation)
        raise error()
