"""Calls that are repeated until a service answers, refuses for good, or the time is over.

``servicebus.resilience.Retry`` decides what is safe to repeat. The contracts of the services promise that their
operations are idempotent, so ``Retry`` also repeats a call of which nobody knows whether it ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from servicebus import DeadlineExceeded, RemoteError, Request, ServiceBusError
from servicebus.api.middleware import Invocation

if TYPE_CHECKING:
    from servicebus import Bus
    from servicebus.resilience import Retry

UNLIMITED_ATTEMPTS = 1_000_000
"""Attempts of one call. No call reaches so many: its time ends first."""

Reply = TypeVar("Reply")


class RetryingCalls:
    """Makes calls over ``bus``, and repeats them as ``retry`` decides.

    Args:
        bus: makes each attempt.
        retry: decides what is repeated, and pauses between attempts.
        timeout: seconds for one attempt.
    """

    def __init__(self, bus: Bus, retry: Retry, timeout: float) -> None:
        self._bus = bus
        self._retry = retry
        self._timeout = timeout
        self.attempts = 0
        """Attempts so far, first attempts and retries."""

    async def call(self, channel: str, request: Request[Reply], patience: float) -> Reply:
        """Return the reply to ``request``. All attempts and pauses together take at most ``patience`` seconds.

        Cancelling is safe: the service may have carried out the request, and the caller may make it again.

        Raises:
            ServiceBusError: of the attempt that came furthest, when a retry cannot help or the time is over.
        """
        invocation = Invocation("call", channel, request, patience)
        return cast(Reply, await self._retry(invocation, self._attempt))

    async def _attempt(self, invocation: Invocation) -> object:
        self.attempts += 1
        timeout = min(self._timeout, invocation.timeout)
        try:
            return await self._bus.call(invocation.channel, invocation.message, timeout=timeout)
        except ServiceBusError as error:
            _describe_attempt(error)
            raise


def _describe_attempt(error: ServiceBusError) -> None:
    """Change the error of one attempt so that ``Retry``, which knows whole calls only, judges it rightly.

    - A deadline that passed was that of the attempt. ``Retry`` keeps the deadline of the call, and stops there.
    - An error of a contract that is retryable left the request half done, and repeating the request resumes it. So the
      request may or may not have taken effect.
    """
    if isinstance(error, DeadlineExceeded) and error.executed == "no":
        error.retryable = True
    elif isinstance(error, RemoteError) and error.retryable:
        error.executed = "maybe"
