"""The scripts that push and withdraw, against a plain list: all participants count what they push, or some do not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from servicebus.layers.redis.schema.scripts import SEND, WITHDRAW
from servicebus.protocol.codec import MAX_FRAME, encode_frame
from servicebus.protocol.envelope import TOMBSTONE
from servicebus.security.acl import ServiceUser, rules
from servicebus.testing.servers import Admin, Server
from servicebus.testing.servers.admin import NEVER_MS

LIST = "asgi:{shop.request}"
WORKERS, PUSHED, WITHDRAWN = f"{LIST}:workers", f"{LIST}:pushed", f"{LIST}:withdrawn"
CAPACITY = 9
TTL_MS = 60_000
PASSWORD = "correct horse battery"
USERS = ["default", "web"]


@pytest.fixture(params=USERS)
def user(request: pytest.FixtureRequest, own_server: Server) -> Iterator[Admin]:
    """Somebody who may do everything, and a caller who may not look at what others have sent."""
    own_server.run("ACL", "SETUSER", "web", *rules(ServiceUser("web", False, ("shop.request",)), PASSWORD))
    own_server.run("SCRIPT", "LOAD", SEND.source)
    own_server.run("SCRIPT", "LOAD", WITHDRAW.source)
    admin = Admin(own_server.path)
    if request.param != "default":
        admin.run("AUTH", request.param, PASSWORD)
    yield admin
    admin.close()


class PushedAndWithdrawn(RuleBasedStateMachine):
    """A channel, and the frames that should be in it, oldest first. Every participant counts what it pushes.

    Attributes:
        withdraw_sha: of the script that withdraws.
        counts: every participant counts.
        is_exact: every frame that is there is found. Else some may not be: that makes a "maybe" of a "no".
    """

    server: ClassVar[Server]
    user: ClassVar[Admin]
    withdraw_sha: ClassVar[bytes]
    counts = True
    is_exact = True

    def __init__(self) -> None:
        super().__init__()
        self.server.run("FLUSHDB")
        self.made = 0
        self.model: list[bytes] = []
        # Everything that was ever pushed, with its number, and what of it was popped.
        self.ever: dict[bytes, int] = {}
        self.popped: list[bytes] = []

    def new(self, count: int) -> list[bytes]:
        self.made += count
        numbers = range(self.made - count, self.made)
        return [encode_frame(0, NEVER_MS, "", {"type": "n", "n": number}, MAX_FRAME) for number in numbers]

    @rule(count=st.integers(1, 5))
    def push(self, count: int) -> None:
        frames, room = self.new(count), max(CAPACITY - len(self.model), 0)
        keys = LIST, WORKERS, PUSHED, WITHDRAWN
        tombstones = len(self.elements()) - len(self.model)
        pushed, last = self.user.run("EVALSHA", SEND.sha, len(keys), *keys, CAPACITY, TTL_MS, "0", *frames)
        if self.counts and tombstones <= CAPACITY:
            assert pushed == min(count, room)
        assert pushed <= min(count, room)
        self.model += frames[:pushed]
        self.ever |= {frame: last - pushed + at for at, frame in enumerate(frames[:pushed], 1)}
        if not self.counts:
            self.ever |= dict.fromkeys(frames[:1], 0)

    @precondition(lambda self: self.model)
    @rule(count=st.integers(1, 4))
    def pop(self, count: int) -> None:
        found = self.server.run("LPOP", LIST, count) or []
        messages = [element for element in found if element != TOMBSTONE]
        assert messages == self.model[: len(messages)]
        del self.model[: len(messages)]
        self.popped += messages

    @precondition(lambda self: self.ever)
    @rule(data=st.data(), known=st.booleans())
    def withdraw(self, data: st.DataObject, known: bool) -> None:
        wanted = data.draw(st.lists(st.sampled_from(sorted(self.ever)), min_size=1, max_size=6, unique=True))
        pairs: list[Any] = []
        for frame in wanted:
            pairs += self.ever[frame] if known or self.counts else 0, frame
        keys = LIST, PUSHED, WITHDRAWN
        answers = self.user.run("EVALSHA", self.withdraw_sha, len(keys), *keys, TTL_MS, *pairs)
        taken_back = [frame for frame, answer in zip(wanted, answers, strict=True) if answer == 1]
        there = [frame for frame in wanted if frame in self.model]
        assert taken_back == there or (not self.is_exact and set(taken_back) < set(there))
        self.model = [frame for frame in self.model if frame not in taken_back]

    def elements(self) -> list[bytes]:
        found: list[bytes] = self.server.run("LRANGE", LIST, 0, -1)
        return found

    @invariant()
    def the_channel_holds_what_it_should(self) -> None:
        assert [element for element in self.elements() if element != TOMBSTONE] == self.model

    @invariant()
    def a_channel_without_messages_has_no_list(self) -> None:
        assert self.model or not self.counts or self.elements() == []

    @invariant()
    def every_key_has_a_ttl(self) -> None:
        assert set(self.server.keys_without_ttl()) <= {LIST}, "the list only when somebody pushed by hand"


class Miscounted(PushedAndWithdrawn):
    """The same with participants that do not count, and a server that loses what it has counted."""

    counts = False

    @rule(count=st.integers(1, 5))
    def push_by_hand(self, count: int) -> None:
        frames = self.new(count)
        self.server.run("RPUSH", LIST, *frames)
        self.model += frames

    @precondition(lambda self: self.popped)
    @rule()
    def put_back(self) -> None:
        frame = self.popped.pop()
        self.server.run("LPUSH", LIST, frame)
        self.model.insert(0, frame)
        self.is_exact = False

    @rule(keys=st.lists(st.sampled_from([PUSHED, WITHDRAWN]), min_size=1, unique=True))
    def lose(self, keys: list[str]) -> None:
        self.server.run("DEL", *keys)


def test_a_number_is_enough_to_find_a_frame_while_all_count(own_server: Server, user: Admin) -> None:
    only_there, changed = re.subn(rb"local ENDS = \d+", b"local ENDS = 1", WITHDRAW.source)
    assert changed == 1
    sha = own_server.run("SCRIPT", "LOAD", only_there)
    machine = type("Machine", (PushedAndWithdrawn,), {"server": own_server, "user": user, "withdraw_sha": sha})
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


def test_a_short_list_is_exact_also_when_some_do_not_count(own_server: Server, user: Admin) -> None:
    fields = {"server": own_server, "user": user, "withdraw_sha": WITHDRAW.sha}
    machine = type("Machine", (Miscounted,), fields)
    run_state_machine_as_test(machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
