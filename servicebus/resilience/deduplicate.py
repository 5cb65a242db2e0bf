"""Deduplication: a service runs a request once, however often it comes under the same idempotency key."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec

from ..api.context import Context
from ..api.middleware import Endpoint
from ..contract.request import (
    Request,
    idempotency_of,
    operation_of,
    reply_type,
)
from ..errors import InvalidRequest, RemoteError
from ..protocol import error_codes
from ..protocol.codec import encode, encode_sorted
from .counters import DeduplicateCounters
from .idempotency import HEADER, take_key
from .outcome import Claim, Outcome, OutcomeStore

LONGEST_WAIT = 60.0
"""Seconds that a repetition without a deadline waits for the first request: sends have no deadline, and must end."""

CUT_SHORT = "interrupted", "the first request with this idempotency key was cut short; what it did is not known"
RUNNING = "in_progress", "the first request with this idempotency key is still running"


class Deduplicate:
    """Middleware of a service. A request whose contract says ``idempotent="keyed"`` runs once under one key.

    Guarantee: for one caller, operation and key the handler starts at most once while the store remembers the request.
    A repetition gets the first outcome, error or value. A repetition that comes while the first request runs waits for
    that outcome until its own deadline. A request that certainly did not start is not remembered. A cancelled request
    is remembered as the error ``interrupted``, because it may have done a part. The same key with another request is
    InvalidRequest.

    The guarantee is as strong as the store: workers that do not share one store do not know what the others ran, and a
    store in a worker's memory ends with that worker. Store and handler do not share a transaction: a worker killed
    between the handler's commit and ``finish`` leaves a claim without an outcome.

    Nested calls do not inherit the key. Put this policy outside of every other middleware that may refuse requests.
    """

    def __init__(self, store: OutcomeStore) -> None:
        self.counters = DeduplicateCounters()
        self._store = store

    async def __call__(self, request: Any, context: Context, call_next: Endpoint) -> Any:
        """Run the request, or return its first outcome.

        Cancelling is safe: a request that runs is remembered as interrupted, and a wait for another request ends.

        Raises:
            InvalidRequest: the key came with another request before.
            RemoteError: the first request failed, was cut short, or still runs at the deadline.
        """
        key, context = take_key(context)
        if key is None or idempotency_of(request) != "keyed":
            return await call_next(request, context)
        claim = Claim(context.caller, operation_of(request), key, _digest(request))
        outcome = await self._begin(claim, context)
        if outcome is None:
            return await self._run(claim, request, context, call_next)
        if outcome.digest != claim.digest:
            self.counters.mismatched += 1
            raise InvalidRequest("this idempotency key came with another request before", f"headers.{HEADER}")
        self.counters.repeated += 1
        return _again(request, outcome)

    async def _begin(self, claim: Claim, context: Context) -> Outcome | None:
        remaining = context.remaining()
        try:
            async with asyncio.timeout(LONGEST_WAIT if remaining is None else remaining):
                return await self._store.begin(claim)
        except TimeoutError:
            # An error of a handler: a refusal would report executed "no", but the first request is running.
            raise RemoteError(*RUNNING) from None

    async def _run(self, claim: Claim, request: Any, context: Context, call_next: Endpoint) -> Any:
        self.counters.run += 1
        try:
            result = await call_next(request, context)
            outcome = Outcome(claim.digest, encode(result))
        except asyncio.CancelledError:
            # Also when the handler has not started: a plain def may be starting in its thread at this moment.
            await self._store.finish(claim, _failure(claim, RemoteError(*CUT_SHORT)))
            raise
        except BaseException as error:
            if context.started:
                await self._store.finish(claim, _failure(claim, error))
            else:
                await self._store.abandon(claim)
            raise
        await self._store.finish(claim, outcome)
        return result


def _again(request: Request[Any], outcome: Outcome) -> Any:
    if outcome.code:
        raise RemoteError(outcome.code, outcome.message, msgspec.msgpack.decode(outcome.body))
    return msgspec.msgpack.decode(outcome.body, type=reply_type(type(request)))


def _failure(claim: Claim, error: BaseException) -> Outcome:
    """Return the outcome for an error, as the caller of the first request got it."""
    reply = error_codes.failed(error)
    try:
        details = encode(reply.details)
    except Exception:  # noqa: BLE001 - details may be anything, and the claim needs an outcome
        details = encode(None)
    return Outcome(claim.digest, details, reply.code, reply.message)


def _digest(request: Any) -> bytes:
    return hashlib.blake2b(encode_sorted(request), digest_size=16).digest()
