"""What waits to be sent to one server, in order: batches of frames, and commands between them. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from ...delivery import Delivery
from .batch import Batch, Command


class SendQueue:
    """Frames of one tick to one channel join one batch. Batches and commands leave in the order in which they came.

    Attributes:
        waiting: the batches and commands, oldest first. Others only read it.
        waiting_bytes: of all frames and commands in the queue.
        max_bytes: from so many waiting bytes on, nothing more is taken.
    """

    __slots__ = ("_open", "max_bytes", "waiting", "waiting_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.waiting_bytes = 0
        self.waiting: deque[Batch | Command] = deque()
        # By channel: the batch that the next delivery joins.
        self._open: dict[str, Batch] = {}

    def add(self, delivery: Delivery) -> int:
        """Queue a delivery.

        Returns:
            How many deliveries are in its batch now: 1 for a new batch. 0: the queue is full, and did not take it.
        """
        if self.waiting_bytes >= self.max_bytes:
            return 0
        size = len(delivery.frame)
        self.waiting_bytes += size
        batch = self._open.get(delivery.channel)
        if batch is not None and (count := batch.join(delivery, size)):
            return count
        batch = self._open[delivery.channel] = Batch(delivery)
        self.waiting.append(batch)
        return 1

    def add_command(self, command: Command) -> None:
        """Queue a command. Frames that come after it do not join batches before it."""
        self.waiting.append(command)
        self.waiting_bytes += command.size
        self._open.clear()

    def put_back(self, batches: list[Batch]) -> None:
        """Put batches that have left back to the head, in their order."""
        for batch in reversed(batches):
            self.waiting.appendleft(batch)
            self.waiting_bytes += batch.size

    def take_next(self) -> Batch | Command:
        """Take the oldest batch or command out; deliveries that come after this begin new batches.

        A batch may be empty when all its frames were removed.
        """
        self._open.clear()
        waiting = self.waiting.popleft()
        self.waiting_bytes -= waiting.size
        return waiting

    def remove(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Take deliveries out, in one pass over the queue however many they are. Returns those that were here."""
        unwanted, removed = set(map(id, deliveries)), list[Delivery]()
        for batch in self.batches():
            found = [delivery for delivery in batch.deliveries if id(delivery) in unwanted]
            if found:
                batch.deliveries[:] = [delivery for delivery in batch.deliveries if id(delivery) not in unwanted]
                size = sum(len(delivery.frame) for delivery in found)
                batch.size -= size
                self.waiting_bytes -= size
                removed += found
        return removed

    def take_deliveries(self, channel: str | None = None) -> list[Delivery]:
        """Take all deliveries out, in order; those of one channel, or of every channel."""
        taken = [batch for batch in self.batches() if channel in (None, batch.channel)]
        gone = set(map(id, taken))
        self._keep(waiting for waiting in self.waiting if id(waiting) not in gone)
        for batch in taken:
            self.waiting_bytes -= batch.size
            self._open.pop(batch.channel, None)
        return [delivery for batch in taken for delivery in batch.deliveries]

    def take_commands(self) -> list[Command]:
        """Take all commands out, in order."""
        commands = [waiting for waiting in self.waiting if isinstance(waiting, Command)]
        self._keep(waiting for waiting in self.waiting if isinstance(waiting, Batch))
        self.waiting_bytes -= sum(command.size for command in commands)
        return commands

    def batches(self) -> Iterator[Batch]:
        """The batches that wait, oldest first."""
        return (waiting for waiting in list(self.waiting) if isinstance(waiting, Batch))

    def _keep(self, rest: Iterable[Batch | Command]) -> None:
        self.waiting = deque(rest)
