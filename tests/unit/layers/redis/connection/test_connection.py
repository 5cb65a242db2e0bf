"""Each command gets its answer, whatever the callbacks of other commands do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.redis.connection.connection import VERIFY_AFTER, Answer, Connection, ConnectionLost
from servicebus.layers.redis.connection.greeting import Greeting

from .....support.timing import LONG


class Wire(asyncio.Transport):
    """A transport that sends nothing. ``aborted`` says whether it was dropped."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self.aborted = False
        connection.connection_made(self)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: Any) -> None: ...

    def abort(self) -> None:
        self.aborted = True


class Commands:
    """Commands on one connection. Those whose number is in ``raising`` have a callback that raises."""

    def __init__(self, connection: Connection, count: int, raising: set[int]) -> None:
        self.answers: dict[int, list[Any]] = {number: [] for number in range(count)}
        self._raising = raising
        connection.write(b"", *(self._answer(number) for number in range(count)))

    def _answer(self, number: int) -> Answer:
        def answer(reply: Any) -> None:
            self.answers[number].append(reply)
            if number in self._raising:
                raise TypeError("this answer is of another type")

        return answer


COUNTS = st.integers(min_value=1, max_value=6)


@given(COUNTS, st.sets(st.integers(0, 5)), st.integers(0, 6))
def test_a_callback_that_raises_takes_no_answer_from_others(count: int, raising: set[int], answered: int) -> None:
    async def run() -> None:
        ended: list[bool] = []
        connection = Connection(lambda: ended.append(True), lambda: None)
        wire = Wire(connection)
        commands = Commands(connection, count, raising)
        now = min(answered, count)
        connection.data_received(b"".join(b":%d\r\n" % number for number in range(now)))
        assert wire.aborted == any(number < now for number in raising)
        connection.connection_lost(None)
        for number, answers in commands.answers.items():
            assert answers[0] == number if number < now else isinstance(answers[0], ConnectionLost)
            # What raised on its reply is given an error, so that whatever waits for it ends.
            assert isinstance(answers[-1], ConnectionLost) or number not in raising
        assert ended == [True]

    asyncio.run(run())


def test_what_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        connection = Connection(lambda: None, lambda: None)
        Wire(connection)
        Commands(connection, 2, {0})
        connection.data_received(b":0\r\n:1\r\n")

    asyncio.run(run())
    assert "this answer is of another type" in caplog.text


@pytest.mark.parametrize("leave_after", [0.0, LONG])
async def test_a_replica_is_left_when_answers_on_their_way_were_heard(leave_after: float) -> None:
    """A sender waits for them; a reader drops the connection before its next pop."""
    connection = Connection(lambda: None, lambda: None)
    wire, heard = Wire(connection), list[Any]()
    connection.greeted(Greeting(client_id=1, fence=5, offset_ms=0.0))
    await asyncio.sleep(2 * VERIFY_AFTER)
    connection.verify(leave_after)
    connection.write(b"", heard.append)
    connection.data_received(b"$10\r\nrole:slave\r\n")
    assert not connection.writable
    assert wire.aborted == (not leave_after)
    connection.data_received(b"-READONLY\r\n")
    assert len(heard) == 1


async def test_a_replica_without_outstanding_answers_is_left_at_once() -> None:
    connection = Connection(lambda: None, lambda: None)
    wire = Wire(connection)
    connection.greeted(Greeting(client_id=1, fence=5, offset_ms=0.0))
    await asyncio.sleep(2 * VERIFY_AFTER)
    connection.verify(LONG)
    connection.data_received(b"$10\r\nrole:slave\r\n")
    assert wire.aborted
