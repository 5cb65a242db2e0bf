"""Which requests are admitted."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.errors import Overloaded, Unavailable
from servicebus.gateway.admission import Admission, refusal


@given(is_closed=st.booleans(), in_progress=st.integers(0, 20), limit=st.integers(1, 20))
def test_a_request_is_admitted_when_there_is_room_and_the_gateway_is_open(
    is_closed: bool, in_progress: int, limit: int
) -> None:
    refused = refusal(is_closed, in_progress, limit)
    assert (refused is None) == (not is_closed and in_progress < limit)
    if refused is not None:
        assert isinstance(refused, Unavailable if is_closed else Overloaded)
        assert (refused.executed, refused.retryable) == ("no", True)


async def test_closing_waits_for_requests_in_progress() -> None:
    admission = Admission(2)
    with ExitStack() as inside:
        inside.enter_context(admission.one())
        inside.enter_context(admission.one())
        with pytest.raises(Overloaded), admission.one():
            pass
        closing = asyncio.create_task(admission.close(60.0))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable), admission.one():
            pass
        assert not closing.done()
    await closing


async def test_closing_does_not_wait_longer_than_it_may() -> None:
    admission = Admission(1)
    with admission.one():
        await admission.close(0.0)
    assert admission.closed
