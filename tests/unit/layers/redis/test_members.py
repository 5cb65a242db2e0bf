from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.contract.names import is_channel, takes_events
from servicebus.layers.redis.members import (
    MAX_MEMBERS,
    MAX_WORKER_ID,
    UnexpectedAnswer,
    channels_in,
    is_worker_id,
    workers_in,
)

RIGHT = [b"shop.events", b"4f2a!", b"jobs"]
WRONG = [b"\xff", b"", b"a\r\nb", b"a b", b"x" * 2_000_000, b"x" * 100, b"a!b!c", "näme".encode(), b"\x00", b"{x}"]
ODD: list[Any] = [None, 0, 7, b"OK", "OK", [None], [b"jobs", 1], [[b"jobs"]], {b"jobs": 1}, True, 0.5]


def test_members_that_are_no_channel_names_are_left_out_and_counted() -> None:
    assert channels_in([*WRONG, *RIGHT]) == (sorted(name.decode() for name in RIGHT), len(WRONG))


@given(st.lists(st.binary(max_size=120)))
def test_any_bytes_are_names_or_counted(members: list[bytes]) -> None:
    for read, is_right in ((channels_in, is_channel), (workers_in, is_worker_id)):
        names, others = read(members)
        assert all(map(is_right, names))
        assert len(names) + others == len(members)


@pytest.mark.parametrize("answer", ODD)
def test_an_answer_that_the_script_does_not_give_is_told_apart(answer: Any) -> None:
    for read in (channels_in, workers_in):
        with pytest.raises(UnexpectedAnswer):
            read(answer)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("shop-12-0a1b@4f2a!", True),
        ("w1", True),
        ("", False),
        ("shop@", False),
        ("shop@jobs", False),
        ("shop@4f2a!@b!", False),
        ("a\nb", False),
        ("x" * (MAX_WORKER_ID + 1), False),
    ],
)
def test_a_worker_id_ends_with_an_inbox_or_names_none(name: str, right: bool) -> None:
    assert is_worker_id(name) == right


def test_no_more_members_are_used_than_a_fleet_has() -> None:
    names, others = channels_in([b"c%d" % number for number in range(MAX_MEMBERS + 5)])
    assert (len(names), others) == (MAX_MEMBERS, 5)


@pytest.mark.parametrize(
    ("channel", "takes"),
    [("shop.events", True), ("mail", True), ("shop.request", False), ("response.a.b!c", False), ("4f2a!", False)],
)
def test_events_go_to_no_process_and_are_no_requests(channel: str, takes: bool) -> None:
    assert takes_events(channel) == takes
