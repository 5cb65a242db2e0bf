"""Nothing of a reply channel that is no channel name gets any further: neither to a handler nor to another service."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import ServiceBus
from servicebus.contract.names import MAX_LENGTH
from servicebus.serving.replies import NO_ORIGIN, Replies

LEGAL = "response.shop.abc!c1"


@pytest.fixture(scope="module")
def replies() -> Replies:
    made = Replies(cast("Any", None), ServiceBus("memory://").wire, set())
    made.origin(LEGAL)
    return made


@pytest.mark.parametrize(
    "name",
    [f"response.shop.abc!{'x' * 50_000}", "response.shop.abc!\x9b31m", "response.shop.abc!a b", "x" * 50_000, "\n!c1"],
)
def test_nothing_of_an_illegal_reply_channel_is_used(replies: Replies, name: str) -> None:
    assert replies.origin(name) == (NO_ORIGIN, "")


@given(st.text().map(lambda text: f"response.shop.abc!{text}") | st.text())
def test_what_is_used_of_a_reply_channel_is_short(replies: Replies, name: str) -> None:
    origin, unique = replies.origin(name)
    assert len(unique) < MAX_LENGTH
    assert unique.isprintable()
    assert origin is not NO_ORIGIN or unique == ""


def test_the_end_of_a_legal_name_is_the_identity_of_the_call(replies: Replies) -> None:
    assert replies.origin(LEGAL)[1] == "c1"
