"""What is remembered of a request under a key, and what a store of that must do."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec


class Claim(NamedTuple):
    """One request under a key. Its caller, operation and key identify it; ``digest`` says what it asked for.

    ``caller`` is the name that the sender gave itself.
    """

    caller: str
    operation: str
    key: str
    digest: bytes

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.caller, self.operation, self.key


class Outcome(msgspec.Struct, frozen=True):
    """What became of a request: a reply, or an error when there is a ``code``.

    Attributes:
        digest: that of the request, for telling another request under the same key.
        body: the reply, in msgpack; of an error its details.
        code, message: of an error, as its caller is told.
    """

    digest: bytes
    body: bytes
    code: str = ""
    message: str = ""


class OutcomeStore(Protocol):
    """Where outcomes are kept, by ``Claim.identity``. All workers of a service should share one.

    Guarantee to be given: between ``begin`` that returned None and the end of the claim's lifetime, no other ``begin``
    of the same identity returns None, unless ``abandon`` came in between.
    """

    async def begin(self, claim: Claim) -> Outcome | None:
        """The outcome of the first request, awaited if that is running. None: this is the first, run it.

        Raises Overloaded when there is no room to remember another. Cancelling must be safe: a claim that was not
        handed out is not held.
        """

    async def finish(self, claim: Claim, outcome: Outcome) -> None:
        """Remember it for the lifetime, from now, and hand it to those who wait. Must be safe to cancel."""

    async def abandon(self, claim: Claim) -> None:
        """It certainly did not run: forget it, and let the next one run. Must be safe to cancel."""
