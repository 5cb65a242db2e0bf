"""The decision about a message that a worker took: all combinations of facts, and what each decision means."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.protocol.admission import CONSEQUENCES, Admission, Decision, Facts, decide, with_body
from servicebus.protocol.codec import MAX_FRAME, decode_request, encode_sent
from servicebus.protocol.codel import Codel, Shedding
from servicebus.protocol.envelope import NO_BODY, IncomingRequest, OutgoingRequest, RequestFrame
from servicebus.protocol.replay_guard import Replays
from servicebus.telemetry import Counters

FLAGS = ("resurrected", "keep_resurrected", "remembers", "expired", "late", "cancelled", "too_large")
combinations = st.fixed_dictionaries(
    {
        **{name: st.booleans() for name in FLAGS},
        "remember": st.sampled_from(["new", "known", "full"]),
        "is_shed": st.booleans(),
    }
)


def reasons(facts: dict[str, Any]) -> dict[Decision, bool]:
    """Each reason to refuse, looked at alone."""
    return {
        Decision.DROP_FENCED: facts["resurrected"] and not facts["keep_resurrected"],
        Decision.DROP_EXPIRED_SIGNED: facts["remembers"] and facts["expired"],
        Decision.DROP_COPY: facts["remembers"] and facts["remember"] == "known",
        Decision.DROP_UNREMEMBERED: facts["remembers"] and facts["remember"] == "full",
        Decision.DROP_CANCELLED: facts["cancelled"],
        Decision.ANSWER_EXPIRED: facts["expired"] or facts["late"],
        Decision.ANSWER_TOO_LARGE: facts["too_large"],
        Decision.ANSWER_SHED: facts["is_shed"],
        Decision.START: True,
    }


def facts_of(values: dict[str, Any], asked: list[str]) -> Facts:
    def ask(name: str) -> Any:
        asked.append(name)
        return values[name]

    lazy = {name: (lambda name=name: ask(name)) for name in ("remember", "is_shed")}
    return Facts(**{**values, **lazy})


@given(combinations)
def test_the_first_reason_in_the_order_of_the_table_counts(values: dict[str, Any]) -> None:
    holds = reasons(values)
    assert decide(facts_of(values, [])) is next(decision for decision in Decision if holds[decision])


@given(combinations)
def test_state_changes_only_when_no_earlier_reason_refuses(values: dict[str, Any]) -> None:
    asked: list[str] = []
    decision = decide(facts_of(values, asked))
    order = list(Decision)
    assert len(asked) == len(set(asked))
    if "remember" in asked:
        assert order.index(decision) >= order.index(Decision.DROP_COPY)
    assert ("is_shed" in asked) == (decision in (Decision.ANSWER_SHED, Decision.START))


def test_every_decision_but_start_has_its_consequence() -> None:
    assert set(CONSEQUENCES) == set(Decision) - {Decision.START}
    counters = {field.name for field in fields(Counters)}
    assert {consequence.counter for consequence in CONSEQUENCES.values()} <= counters


@pytest.mark.parametrize("decision", Decision)
def test_only_decisions_that_answer_give_an_answer(decision: Decision) -> None:
    admission = Admission(max_size=10, keep_resurrected=False, replays=None, codel=None)
    answer = admission.answer(decision, IncomingRequest("x"), 11)
    assert (answer is not None) == decision.name.startswith("ANSWER")
    assert answer is None or answer.executed == "no"


def frame_of(fence: int, expires: int, deadline: int = 0, sent: int = 1) -> tuple[RequestFrame, bytes]:
    request = OutgoingRequest("x", 1, "response.tests.4f2a!c1", deadline)
    frame = encode_sent(fence, expires, "", request, sent, MAX_FRAME)
    return decode_request(frame, MAX_FRAME), frame


def admission(**changes: Any) -> Admission:
    defaults: dict[str, Any] = {"max_size": 1000, "keep_resurrected": False, "replays": None, "codel": None}
    return Admission(**{**defaults, **changes})


@pytest.mark.parametrize(
    ("changes", "frame", "fence", "expected"),
    [
        ({}, frame_of(7, 100), 7, Decision.START),
        ({}, frame_of(0, 100), 7, Decision.START),
        ({}, frame_of(7, 100), 0, Decision.START),
        ({}, frame_of(8, 100), 7, Decision.DROP_FENCED),
        ({"keep_resurrected": True}, frame_of(8, 100), 7, Decision.START),
        ({}, frame_of(7, 50), 7, Decision.ANSWER_EXPIRED),
        ({}, frame_of(7, 100, deadline=50), 7, Decision.ANSWER_EXPIRED),
        ({}, frame_of(7, 100, deadline=51), 7, Decision.START),
        ({"max_size": 10}, frame_of(7, 100), 7, Decision.ANSWER_TOO_LARGE),
        ({"replays": Replays()}, frame_of(7, 50), 7, Decision.DROP_EXPIRED_SIGNED),
    ],
)
def test_the_facts_are_read_from_the_frame(
    changes: dict[str, Any], frame: tuple[RequestFrame, bytes], fence: int, expected: Decision
) -> None:
    assert admission(**changes).decide(*frame, fence, 50) is expected


def test_a_call_that_was_cancelled_does_not_start() -> None:
    rules = admission()
    rules.cancelled.add("response.tests.4f2a!c1")
    assert rules.decide(*frame_of(7, 100), 7, 50) is Decision.DROP_CANCELLED


def test_a_message_that_may_have_run_before_is_remembered() -> None:
    rules = admission(keep_resurrected=True)
    rules.decide(*frame_of(8, 100), 7, 50)
    assert rules.resurrected == {"response.tests.4f2a!c1"}
    rules.resurrected.clear()
    rules.decide(*frame_of(7, 100), 7, 50)
    assert not rules.resurrected


def test_a_standing_queue_sheds_what_waited_too_long() -> None:
    rules = admission(codel=Codel(Shedding(target=0.005, interval=0.1)))
    decisions = [rules.decide(*frame_of(7, 10_000, sent=now - 50), 7, now) for now in range(1000, 1300, 10)]
    assert decisions[0] is Decision.START
    assert decisions[-1] is Decision.ANSWER_SHED
    assert rules.decide(*frame_of(7, 10_000, sent=0), 7, 1300) is Decision.START, "its age is not known"


def test_a_message_without_a_body_is_its_own_body() -> None:
    frame = msgspec.msgpack.encode([0, 100, "", {"type": "x", "n": 5}])
    message = decode_request(frame, MAX_FRAME).message
    assert message.body is NO_BODY
    assert msgspec.msgpack.decode(with_body(frame, message).body) == {"type": "x", "n": 5}
