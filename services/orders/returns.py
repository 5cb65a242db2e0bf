"""Returns of goods: inventory restocks the goods first, then pricing credits them."""

from __future__ import annotations

from services.pricing import contract as pricing

from . import store
from .calls import Caller
from .contract import RecordReturn, Return
from .saga import advance_return, half_way


async def record(caller: Caller, request: RecordReturn) -> Return:
    """Record the return, once, and complete it.

    The quotation only serves to refuse unknown SKUs. Prices are never removed, so a recorded return can be credited.
    Cancelling is safe: the same request, or the reconciler, resumes the return.

    Raises:
        Unfinished: a service did not do its part in time.
        UnknownSku: of pricing; nothing is recorded.
    """
    row = await store.in_thread(store.find_return, request.return_id)
    if row is None:
        lines = [pricing.Line(sku=line.sku, quantity=line.quantity) for line in request.lines]
        with half_way(request.return_id, ""):
            await caller.call(pricing.CHANNEL, pricing.Quote(lines=lines, itemized=False))
        row = await store.in_thread(store.open_return, request)
    await advance_return(caller, row)
    return Return(return_id=row.return_id, status=row.status, credited=row.credited)
