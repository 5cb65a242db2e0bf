"""When a reader asks for more, over all combinations of what it knows, and what answers mean."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.redis.connection.connection import ConnectionLost
from servicebus.layers.redis.receiving.arming import SMALL_POP, Reaction, Step, next_step, reaction


class Facts(NamedTuple):
    """The parameters of ``next_step``."""

    credit: int
    is_stopping: bool
    is_asking: bool
    is_leaving: bool
    is_pausing: bool
    is_worker: bool
    has_home: bool
    is_home: bool


ALL = [Facts(credit, *flags) for credit in (0, 1, 300) for flags in product([False, True], repeat=7)]


def test_a_reader_asks_only_with_credit_at_rest_and_where_it_may() -> None:
    for facts in ALL:
        at_rest = not (facts.is_stopping or facts.is_asking or facts.is_leaving or facts.is_pausing)
        may = facts.is_home if facts.has_home else not facts.is_worker
        assert (next_step(*facts) is Step.ASK) == (facts.credit > 0 and at_rest and may), facts


def test_a_reader_leaves_only_a_connection_to_another_primary() -> None:
    for facts in ALL:
        if next_step(*facts) is Step.LEAVE:
            assert facts.has_home
            assert not facts.is_home
            assert not facts.is_stopping


def test_a_worker_takes_nothing_that_it_could_not_answer() -> None:
    assert all(next_step(*facts) is Step.WAIT for facts in ALL if facts.is_worker and not facts.has_home)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (ConnectionLost(), Reaction.NOTHING),
        (None, Reaction.ASK),
        ([b"list", []], Reaction.ASK),
        (hiredis.ReplyError("ASK 12 127.0.0.1:7001"), Reaction.PAUSE_FOR_SLOT),
        (hiredis.ReplyError("TRYAGAIN Multiple keys"), Reaction.PAUSE_FOR_SLOT),
        (hiredis.ReplyError("NOPERM this user"), Reaction.PAUSE_DENIED),
        (hiredis.ReplyError("MOVED 12 127.0.0.1:7001"), Reaction.LEAVE),
        (hiredis.ReplyError("UNBLOCKED client unblocked via CLIENT UNBLOCK"), Reaction.ASK),
        (hiredis.ReplyError("UNBLOCKED force unblock from blocking operation, instance state changed"), Reaction.LEAVE),
        (hiredis.ReplyError("UNBLOCKED the stream key no longer exists"), Reaction.LEAVE),
        (hiredis.ReplyError("READONLY You can't write"), Reaction.LEAVE),
    ],
)
def test_each_answer_to_a_pop_has_its_reaction(reply: Any, expected: Reaction) -> None:
    assert reaction(reply) is expected


@given(st.integers(min_value=1, max_value=600))
def test_after_a_few_messages_the_handlers_start_first(count: int) -> None:
    found = reaction([b"list", [b"frame"] * count])
    assert found is (Reaction.DELIVER_FIRST if count <= SMALL_POP else Reaction.ASK_FIRST)


@given(st.text())
def test_every_error_has_a_reaction(text: str) -> None:
    assert reaction(hiredis.ReplyError(text)) in Reaction


@given(st.recursive(st.none() | st.integers() | st.binary() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_only_a_list_of_frames_is_delivered(reply: Any) -> None:
    found = reaction(reply)
    assert found in Reaction
    if found in (Reaction.DELIVER_FIRST, Reaction.ASK_FIRST):
        assert {type(frame) for frame in reply[1]} == {bytes}
