"""The credit of a worker: how many more messages it may receive. It is taken before a message is received.

It counts whole messages. It says nothing of the parts of one reply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Budget(Protocol):
    """How many messages a receiver may ask for. ``Credit`` is the usual one.

    The receiver reads ``available``, asks its server for as many, calls ``expect``, and calls ``take`` when messages
    have come. Not thread-safe: a budget belongs to one event loop.
    """

    @property
    def available(self) -> int:
        """How many more messages the receiver may ask for now."""
        ...

    def expect(self, count: int) -> None:
        """The receiver has asked for ``count`` messages. Its subscription ends: until these have come it asks no more.

        A receiver that wants its callback called at every change subscribes once, and never calls this method.
        """
        ...

    def take(self, count: int) -> None:
        """Count ``count`` messages that have come. The receiver never takes more than were ``available``."""
        ...

    def release(self, count: int = 1) -> None:
        """``count`` messages have been dealt with."""
        ...

    def subscribe(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` whenever there is room again. It replaces the callback that was subscribed before."""
        ...


class Credit:
    """``limit`` messages are held at once. See ``Budget``.

    The limit may be changed, up to ``most``, the one of the start. What had been asked for by then still comes, so that
    for a moment more messages than a lowered limit may be held. They are never more than ``most``.

    Attributes:
        limit: how many messages may be held now.
        most: the limit of the start, which ``limit`` never exceeds.
        held: how many messages have been taken and not released.
    """

    __slots__ = ("_on_room", "held", "limit", "most")

    def __init__(self, limit: int) -> None:
        self.limit = self.most = limit
        self.held = 0
        # What is called when there is room again; None while nobody is subscribed.
        self._on_room: Callable[[], object] | None = None

    @property
    def available(self) -> int:
        left = self.limit - self.held
        return left if left > 0 else 0

    def change(self, limit: int) -> None:
        """Hold ``limit`` messages from now on, 1 or more and no more than ``most``."""
        assert 1 <= limit <= self.most, (limit, self.most)
        raised, self.limit = limit > self.limit, limit
        if raised and self._on_room is not None:
            self._on_room()

    def expect(self, count: int) -> None:
        self._on_room = None

    def take(self, count: int) -> None:
        assert 0 <= count <= self.most - self.held, (count, self.held, self.most)
        self.held += count

    def release(self, count: int = 1) -> None:
        self.held -= count
        assert self.held >= 0
        if self._on_room is not None:
            self._on_room()

    def subscribe(self, callback: Callable[[], object]) -> None:
        self._on_room = callback


class ThreadCredit(Credit):
    """Credit where messages need a thread each, or some of them do: no more are taken than there are idle threads.

    Until a message is known to need none, it counts as one that needs a thread. Where some need none, one message more
    may be taken while all threads are busy, because it may be one of those. When it is not, it waits here.

    Args:
        limit: as for ``Credit``.
        threads: how many messages can run in threads at once.
        mixed: some messages need no thread.
    """

    __slots__ = ("_in_threads", "_mixed", "_threads")

    def __init__(self, limit: int, threads: int, *, mixed: bool) -> None:
        super().__init__(limit)
        self._threads = threads
        self._mixed = mixed
        # Messages that are in a thread, wait for one, or are not known to need none.
        self._in_threads = 0

    @property
    def available(self) -> int:
        idle = self._threads - self._in_threads
        if idle <= 0 and self._mixed:
            idle += 1
        left = min(self.limit - self.held, idle)
        return left if left > 0 else 0

    def take(self, count: int) -> None:
        super().take(count)
        self._in_threads += count

    def release(self, count: int = 1) -> None:
        self._in_threads -= count
        super().release(count)

    def leave_thread(self) -> None:
        """A message that was taken needs no thread, from now on."""
        self._in_threads -= 1
        if self._on_room is not None:
            self._on_room()

    def claim_thread(self) -> None:
        """Such a message is done and about to be released."""
        self._in_threads += 1
