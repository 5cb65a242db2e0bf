"""One key, one run: what a service does about requests that come again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
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
from .counters import DeduplicateCounters
from .idempotency import HEADER, take_key
from .outcome import Claim, Outcome, OutcomeStore

LONGEST_WAIT = 60.0
"""Seconds that a repetition without a deadline waits for the first one."""

CUT_SHORT = "interrupted", "the first request with this idempotency key was cut short; what it did is not known"
RUNNING = "in_progress", "the first request with this idempotency key is still running"


class Deduplicate:
    """Middleware of a service. A request whose contract says ``idempotent="keyed"`` runs once under one key.

    Guarantee: for one caller, operation and key the handler starts at most once while the store remembers it. Who comes
    again gets the first outcome, error or value; who comes while it runs waits for it, no longer than its own deadline.
    What certainly did not start is not remembered. What was cancelled is, as the error ``interrupted``, for it may have
    done a part. The same key with another request is InvalidRequest.

    It is no more than its store: one that a worker takes with it when it dies, or does not share with the others,
    does not know what they ran. And it is not one transaction with the handler: a worker killed between the handler's
    commit and ``finish`` leaves a claim without an outcome.

    Nested calls do not inherit the key, from whichever operation. Put it outside of whatever else may refuse requests.
    """

    def __init__(self, store: OutcomeStore) -> None:
        self.counters = DeduplicateCounters()
        self._store = store

    async def __call__(self, request: Any, context: Context, call_next: Endpoint) -> Any:
        """Run it, or return what it returned before. Cancelling a run remembers it as interrupted; a wait just ends."""
        key = take_key(context)
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
            # Not a refusal, which would say that it was not executed: the first one is being.
            raise RemoteError(*RUNNING) from None

    async def _run(self, claim: Claim, request: Any, context: Context, call_next: Endpoint) -> Any:
        self.counters.run += 1
        try:
            result = await call_next(request, context)
            outcome = Outcome(claim.digest, _encode(result))
        except asyncio.CancelledError:
            # Even when it had not started: a plain def may just be starting in its thread.
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
    """What the caller of the first one was told."""
    told = error_codes.failed(error)
    try:
        details = _encode(told.details)
    except Exception:  # noqa: BLE001 - whatever they are, a claim must not be left without an outcome
        details = _encode(None)
    return Outcome(claim.digest, details, told.code, told.message)


def _digest(request: Any) -> bytes:
    return hashlib.blake2b(_encode_sorted(request), digest_size=16).digest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"objects of type {type(value).__name__!r} are nothing that msgpack knows")


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_encode_sorted = msgspec.msgpack.Encoder(enc_hook=_plain, order="deterministic").encode
