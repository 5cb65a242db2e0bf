"""The base of servers and groups of servers: a ``with`` block starts and ends them."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class BlockScoped:
    """Something that runs as long as a ``with`` block does."""

    def start(self) -> None:
        """Start, and return when everything answers.

        Raises:
            Unavailable: a server ended at once, or does not answer.
            TimeoutError: the servers did not agree in time.
        """
        raise NotImplementedError

    def end(self) -> None:
        """End all processes and remove their files. Idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
