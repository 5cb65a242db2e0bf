"""What ``with`` starts and ends."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Owned:
    """Something that runs for as long as a block does."""

    def start(self) -> None:
        """Start it. Raises Unavailable or TimeoutError when it does not come up."""
        raise NotImplementedError

    def end(self) -> None:
        """End it. Idempotent."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
