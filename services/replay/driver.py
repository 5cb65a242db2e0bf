"""Runs the steps of a plan in file order, a bounded number at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from decimal import Decimal

from msgspec import Struct

from servicebus import ServiceBusError
from services.orders import contract as orders

from .client import Client, reason_of
from .opening import load, read_books
from .outcomes import ZERO, Books, Outcome
from .plan import Plan, PlanLine, Sale, Step
from .summary import Summary, summarise

Progress = Callable[[int, int, int, int], None]


class Replay(Struct, frozen=True):
    """The result of a replay. ``outcomes`` maps each invoice number to its outcome, in file order."""

    summary: Summary
    outcomes: dict[str, Outcome]
    opening: Books
    closing: Books
    retries: int


def no_progress(done: int, total: int, confirmed: int, rejected: int) -> None:
    """Show nothing."""


async def replay(client: Client, plan: Plan, concurrency: int, progress: Progress = no_progress) -> Replay:
    """Load the plan, run every step, and read the books.

    ``progress`` gets (done, total, confirmed, rejected) after each step. Cancelling is safe: every step that runs is
    cancelled.

    Raises:
        ServiceBusError: loading or reading failed.
    """
    await load(client, plan)
    opening = await read_books(client)
    now = asyncio.get_running_loop().time
    started = now()
    outcomes = await run_steps(client, plan.steps, concurrency, progress)
    seconds = now() - started
    closing = await read_books(client)
    summary = summarise(plan, outcomes, opening, closing, client.calls, seconds)
    return Replay(summary, {step_id(each.step): each for each in outcomes}, opening, closing, client.retries)


async def run_steps(client: Client, steps: Sequence[Step], concurrency: int, progress: Progress) -> list[Outcome]:
    """Run ``steps``, at most ``concurrency`` at a time, and return their outcomes in order.

    Each step starts after the step before it has started. Cancelling is safe: every step that runs is cancelled.
    """
    outcomes: dict[int, Outcome] = {}
    tally = _Tally(len(steps), progress)
    pending = enumerate(steps)  # shared: each task takes the next step when it is free

    async def take_steps() -> None:
        for index, step in pending:
            outcomes[index] = await _run(client, step)
            tally.add(outcomes[index])

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(steps))):
            group.create_task(take_steps())
    return [outcomes[index] for index in range(len(steps))]


async def _run(client: Client, step: Step) -> Outcome:
    now = asyncio.get_running_loop().time
    started = now()
    try:
        reason, amount = await (_place(client, step) if isinstance(step, Sale) else _give_back(client, step))
    except ServiceBusError as error:
        reason, amount = reason_of(error), ZERO
    return Outcome(step, reason, amount, now() - started)


async def _place(client: Client, step: Sale) -> tuple[str, Decimal]:
    request = orders.Place(order_id=step.order_id, lines=_lines(step.lines), customer=step.customer)
    try:
        order = await client.call(orders.CHANNEL, request)
    except ServiceBusError as error:
        if error.executed != "no":
            await _call_off(client, step)
        raise
    return ("", order.total) if order.status == "confirmed" else (order.reason or order.status, ZERO)


async def _call_off(client: Client, step: Sale) -> None:
    """Cancel a sale that may have begun and is counted as rejected, so that the books do not confirm it later."""
    with contextlib.suppress(ServiceBusError):
        await client.call_once(orders.CHANNEL, orders.Cancel(order_id=step.order_id))


async def _give_back(client: Client, step: Step) -> tuple[str, Decimal]:
    request = orders.RecordReturn(return_id=step_id(step), lines=_lines(step.lines), customer=step.customer)
    reply = await client.call(orders.CHANNEL, request)
    return ("", reply.credited) if reply.status == "credited" else (reply.status, ZERO)


def step_id(step: Step) -> str:
    """Return the invoice number of a step."""
    return step.order_id if isinstance(step, Sale) else step.return_id


def _lines(lines: Sequence[PlanLine]) -> list[orders.Line]:
    return [orders.Line(sku=line.sku, quantity=line.quantity) for line in lines]


class _Tally:
    def __init__(self, total: int, progress: Progress) -> None:
        self._total, self._progress = total, progress
        self._done = self._confirmed = self._rejected = 0

    def add(self, outcome: Outcome) -> None:
        self._done += 1
        self._confirmed += outcome.is_sale and outcome.is_done
        self._rejected += not outcome.is_done
        self._progress(self._done, self._total, self._confirmed, self._rejected)
