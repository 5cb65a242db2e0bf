"""What the server's answers to a batch mean."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.redis.connection.connection import ConnectionLost, NeverSent
from servicebus.layers.redis.sending.verdicts import FINAL, REDIRECTIONS, Fate, Redirected, refusal, verdict

WHOLE = 5


@pytest.mark.parametrize(
    ("reply", "fate"),
    [
        (WHOLE, Fate.TAKEN),
        (0, Fate.PARTLY_TAKEN),
        (WHOLE - 1, Fate.PARTLY_TAKEN),
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


@given(st.integers(min_value=0, max_value=WHOLE))
def test_a_full_channel_says_how_much_it_took(pushed: int) -> None:
    found = verdict(pushed, WHOLE)
    assert found.fate is (Fate.TAKEN if pushed == WHOLE else Fate.PARTLY_TAKEN)
    assert found.elements == (0 if pushed == WHOLE else pushed)


@given(st.text())
def test_every_error_is_a_refusal_that_was_not_executed(text: str) -> None:
    error = refusal(hiredis.ReplyError(text))
    assert error.executed == "no"
    assert isinstance(error, Redirected) == text.startswith(REDIRECTIONS)


@pytest.mark.parametrize("word", FINAL)
def test_what_waiting_does_not_cure_is_not_retryable(word: str) -> None:
    assert not refusal(hiredis.ReplyError(f"{word} no")).retryable
    assert refusal(hiredis.ReplyError("LOADING the dataset")).retryable
