"""The outcome of a request under an idempotency key, and the protocol of a store of outcomes."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec


class Claim(NamedTuple):
    """One request under a key. Its caller, operation and key identify it.

    Attributes:
        caller: the service that sent the request, by the name that it gave.
        operation: the operation that is called.
        key: the idempotency key.
        digest: of the request, to recognize another request under the same key.
    """

    caller: str
    operation: str
    key: str
    digest: bytes

    @property
    def identity(self) -> tuple[str, str, str]:
        """The key in a store."""
        return self.caller, self.operation, self.key


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of a request: a reply, or an error when there is a ``code``.

    Attributes:
        digest: of the request, to recognize another request under the same key.
        body: the reply in msgpack, or the details of the error.
        code: of the error, as the caller gets it.
        message: of the error, as the caller gets it.
    """

    digest: bytes
    body: bytes
    code: str = ""
    message: str = ""


class OutcomeStore(Protocol):
    """Where outcomes are kept, by ``Claim.identity``. All workers of a service should share one.

    A store must guarantee: from a ``begin`` that returned None to the end of the claim's lifetime, no other ``begin``
    of the same identity returns None, unless ``abandon`` was called in between.
    """

    async def begin(self, claim: Claim) -> Outcome | None:
        """Return the outcome of the first request, after waiting for it if it runs; None when this is the first.

        Cancelling must be safe: a claim that was not handed out is not held.

        Raises:
            Overloaded: there is no room to remember another request.
        """

    async def finish(self, claim: Claim, outcome: Outcome) -> None:
        """Remember an outcome for the lifetime, from now, and give it to those who wait. Cancelling must be safe."""

    async def abandon(self, claim: Claim) -> None:
        """Forget a request that certainly did not run, and let the next one run. Cancelling must be safe."""
