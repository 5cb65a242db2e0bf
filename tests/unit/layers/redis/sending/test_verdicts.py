"""What the server's answers to a batch mean."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.redis.connection.connection import ConnectionLost, NeverSent
from servicebus.layers.redis.sending.verdicts import (
    FINAL,
    NOT_TRIED,
    REDIRECTIONS,
    Fate,
    Redirected,
    Verdict,
    refusal,
    removed,
    verdict,
)

WHOLE = 5


@pytest.mark.parametrize(
    ("reply", "fate"),
    [
        (WHOLE, Fate.TAKEN),
        (0, Fate.PARTLY_TAKEN),
        (WHOLE - 1, Fate.PARTLY_TAKEN),
        ([WHOLE, 10**12], Fate.TAKEN),
        ([0, 0], Fate.PARTLY_TAKEN),
        ([WHOLE - 1, 77], Fate.PARTLY_TAKEN),
        (-1, Fate.NO_WORKERS),
        (ConnectionLost(), Fate.UNKNOWN),
        (NeverSent(), Fate.UNKNOWN),
        (hiredis.ReplyError("NOSCRIPT No matching script"), Fate.UNSCRIPTED),
        (hiredis.ReplyError("READONLY You can't write against a replica"), Fate.REFUSED),
        *((hiredis.ReplyError(f"{word} 1234"), Fate.REDIRECTED) for word in REDIRECTIONS),
        *((hiredis.ReplyError(f"{word} no"), Fate.REFUSED) for word in FINAL),
    ],
)
def test_each_answer_has_its_fate(reply: Any, fate: Fate) -> None:
    assert verdict(reply, WHOLE).fate is fate


@given(st.integers(min_value=0, max_value=WHOLE), st.integers(min_value=WHOLE) | st.just(0))
def test_a_channel_says_how_much_it_took_and_the_number_of_the_last(pushed: int, number: int) -> None:
    fate = Fate.TAKEN if pushed == WHOLE else Fate.PARTLY_TAKEN
    assert verdict([pushed, number], WHOLE) == Verdict(fate, pushed, number)
    assert verdict(pushed, WHOLE) == Verdict(fate, pushed, 0)


@pytest.mark.parametrize("reply", [[WHOLE + 1, 9], [-1, 0], [2, 1], [1], [1, 2, 3], [True, 0], [0, "0"], True])
def test_a_number_that_no_channel_gives_is_unexpected(reply: Any) -> None:
    assert verdict(reply, WHOLE).fate is Fate.UNEXPECTED


@given(st.text())
def test_every_error_is_a_refusal_that_was_not_executed(text: str) -> None:
    error = refusal(hiredis.ReplyError(text))
    assert error.executed == "no"
    assert isinstance(error, Redirected) == text.startswith(REDIRECTIONS)


@pytest.mark.parametrize("word", FINAL)
def test_what_waiting_does_not_cure_is_not_retryable(word: str) -> None:
    assert not refusal(hiredis.ReplyError(f"{word} no")).retryable
    assert refusal(hiredis.ReplyError("LOADING the dataset")).retryable


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.text() | st.builds(hiredis.ReplyError),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)
"""Whatever an answer may be."""


@given(ANYTHING)
def test_an_answer_that_the_script_does_not_give_promises_nothing(reply: Any) -> None:
    found = verdict(reply, WHOLE)
    if not isinstance(reply, hiredis.ReplyError | list) and reply not in range(-1, WHOLE + 1):
        assert found.fate is Fate.UNEXPECTED
    assert 0 <= found.elements <= WHOLE


@given(ANYTHING | st.lists(st.sampled_from([0, 1, 2])), st.integers(min_value=0, max_value=4))
def test_only_an_answer_of_the_right_form_takes_frames_back(reply: Any, asked: int) -> None:
    flags = removed(reply, asked)
    assert len(flags) <= asked
    if flags:
        assert reply == [*map(int, flags), *[NOT_TRIED] * (asked - len(flags))] or not {*reply} <= {0, 1, NOT_TRIED}
        assert {type(one) for one in reply} == {int}
