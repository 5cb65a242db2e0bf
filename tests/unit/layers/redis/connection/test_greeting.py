"""What the answers to HELLO and INFO mean, and the fence that is made from them."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.redis.connection.greeting import (
    CLEARED_WITHIN,
    Greeting,
    Hello,
    Info,
    fence_of,
    lacks_right,
    read_hello,
    read_info,
)

HELLO = [b"server", b"valkey", b"version", b"8.1.0", b"proto", 2, b"id", 7]
NEVER = b"0" * 40
"""``master_replid2`` of a server that was never promoted."""
AT_ONCE = 0.1
"""Seconds between two looks."""

ids = st.binary(min_size=20, max_size=20).map(bytes.hex).map(str.encode)
numbers = st.integers(1, 2**32 - 1)


def info(role: bytes, run_id: bytes, followed: bytes, uptime: int) -> bytes:
    """The lines of INFO that are read, between lines that are not."""
    server = [b"# Server", b"run_id:" + run_id, b"uptime_in_seconds:%d" % uptime, b"uptime_in_days:9", b""]
    replication = [b"# Replication", b"role:" + role, b"master_replid:" + run_id[::-1], b"master_replid2:" + followed]
    return b"\r\n".join([*server, *replication, b"second_repl_offset:-1", b""])


def looked_at(followed: int) -> Info:
    """The answer of a primary that was promoted when it followed that history; 0 for never."""
    return Info(is_replica=False, run_id=0, followed=followed, promoted=followed != 0, uptime=0)


def greeting_of(run_id: int, followed: int) -> Greeting:
    return Greeting(1, fence_of(run_id, followed), 0.0, promoted=followed != 0, server=run_id)


def test_hello_is_read_whatever_else_it_holds() -> None:
    assert read_hello([*HELLO, b"modules", []]) == Hello("valkey", "8.1.0", 7)


@pytest.mark.parametrize("role", ["master", "replica", "slave"])
def test_hello_says_whether_the_server_is_a_replica(role: str) -> None:
    found = read_hello([*HELLO, b"role", role.encode()])
    assert found is not None
    assert found.is_replica == (role != "master")


@pytest.mark.parametrize("missing", [0, 2, 6])
def test_hello_without_a_fact_is_from_another_kind_of_server(missing: int) -> None:
    assert read_hello(HELLO[:missing] + HELLO[missing + 2 :]) is None


@pytest.mark.parametrize("reply", ["OK", b"OK", 1, None, [], [b"server"]])
def test_a_reply_of_another_shape_is_from_another_kind_of_server(reply: Any) -> None:
    assert read_hello(reply) is None


@given(
    is_replica=st.booleans(), run_id=ids, followed=st.none() | ids.filter(NEVER.__ne__), uptime=st.integers(0, 10**9)
)
def test_info_is_read(*, is_replica: bool, run_id: bytes, followed: bytes | None, uptime: int) -> None:
    found = read_info(info(b"slave" if is_replica else b"master", run_id, followed or NEVER, uptime))
    assert found == Info(
        is_replica, int(run_id[:8], 16), int((followed or NEVER)[:8], 16), promoted=followed is not None, uptime=uptime
    )


def test_info_without_an_id_and_an_uptime_gives_zeros() -> None:
    found = read_info(b"role:master\r\n")
    assert (found.is_replica, found.run_id, found.followed, found.uptime) == (False, 0, 0, 0)


@given(run_id=numbers, histories=st.lists(st.integers(0, 2**32 - 1), min_size=2, unique=True))
def test_the_fence_changes_with_every_promotion(run_id: int, histories: list[int]) -> None:
    fences = [fence_of(run_id, followed) for followed in histories]
    assert 0 not in fences
    # 0 is written as 1, so these two cannot be told apart: that takes a coincidence of 32 bits.
    assert len(set(fences)) >= len(histories) - (run_id in histories and run_id ^ 1 in histories)


@given(run_id=numbers)
def test_before_a_promotion_the_fence_is_that_of_the_process(run_id: int) -> None:
    assert fence_of(run_id, 0) == run_id


@given(followed=st.integers(0, 2**32 - 1))
def test_a_server_without_a_run_id_has_no_fence(followed: int) -> None:
    assert fence_of(0, followed) == 0


@given(run_id=numbers, followed=numbers, before=st.integers(0, 2**32 - 1), since=st.floats(0, 1e6))
def test_a_promotion_under_a_connection_leaves_no_former_fence(
    run_id: int, followed: int, before: int, since: float
) -> None:
    old = greeting_of(run_id, before)
    new = old.renewed(looked_at(followed), since)
    assert new.fence == fence_of(run_id, followed)
    assert new.former == 0
    assert new.promoted or new is old
    assert new.has_fence(old.fence) == (new.fence == old.fence)


@given(run_id=numbers, followed=numbers)
def test_a_promotion_that_the_server_forgets_leaves_the_fence_in_force(run_id: int, followed: int) -> None:
    old = greeting_of(run_id, followed)
    new = old.renewed(looked_at(0), AT_ONCE)
    assert new.fence == run_id
    assert new.promoted
    assert new.has_fence(old.fence)
    assert not new.has_fence(0)


@given(run_id=numbers, followed=numbers, since=st.floats(CLEARED_WITHIN, 1e6))
def test_a_look_after_a_long_time_may_have_missed_a_promotion(run_id: int, followed: int, since: float) -> None:
    old = greeting_of(run_id, followed)
    assert not old.renewed(looked_at(0), since).has_fence(old.fence) or old.fence == run_id


@given(run_id=numbers, followed=st.integers(0, 2**32 - 1), since=st.floats(0, 1e6))
def test_nothing_changes_while_nobody_is_promoted(run_id: int, followed: int, since: float) -> None:
    old = greeting_of(run_id, followed)
    assert old.renewed(looked_at(followed), since) is old


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (hiredis.ReplyError("NOPERM this user has no permissions to run the 'info' command"), True),
        (hiredis.ReplyError("NOPERM User ann has no permissions to run the 'script|exists' command"), True),
        (hiredis.ReplyError("ERR unknown command 'INFO', with args beginning with: 'server'"), True),
        (hiredis.ReplyError("ERR unknown subcommand 'EXISTS'. Try SCRIPT HELP."), True),
        (hiredis.ReplyError("ERR max number of clients reached"), False),
        (hiredis.ReplyError("LOADING the dataset is in memory"), False),
        (hiredis.ReplyError("WRONGPASS invalid username-password pair"), False),
        (ConnectionError("NOPERM"), False),
        (b"NOPERM", False),
        ([1, 0], False),
        (None, False),
    ],
)
def test_only_a_refusal_for_good_is_done_without(reply: object, *, expected: bool) -> None:
    assert lacks_right(reply) == expected


@given(run_id=numbers, followed=st.integers(0, 2**32 - 1))
def test_a_server_that_does_not_say_any_more_which_it_is_has_no_fence(run_id: int, followed: int) -> None:
    found = greeting_of(run_id, followed).without_fence()
    assert (found.fence, found.former, found.server) == (0, 0, run_id)
    assert not found.has_fence(fence_of(run_id, followed))
