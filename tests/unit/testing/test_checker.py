from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from servicebus import ChannelFull, NoWorkers, RemoteError, SendUnknown
from servicebus.testing.checker import problems
from servicebus.testing.history import Event, Kind, Recorder, read

from ...support.timing import eventually_sync

WRITER = """
import sys
from servicebus.testing.history import Recorder

with Recorder(sys.argv[1], by=sys.argv[2]) as recorder:
    for number in range(int(sys.argv[3])):
        recorder.note("start", f"{sys.argv[2]}-{number}")
"""


def writer(path: Path, name: str, events: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(events)])


def sent(number: int, at: float, accepted: float = 0.0, sender: str = "a") -> list[Event]:
    """A message without reply: it is made, and its sender is told that it was accepted."""
    made = Event("invoke", f"{sender}{number}", at, sender=sender, channel="c", sequence=number, reply=False)
    return [made, Event("ok", made.id, accepted or at)]


def started(id: str, at: float, by: str = "worker") -> Event:
    return Event("start", id, at, by)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RemoteError("code", "text"), "ok"),
        (NoWorkers("c"), "fail"),
        (SendUnknown("c"), "maybe"),
        (asyncio.CancelledError(), "maybe"),
        (ValueError(), "maybe"),
    ],
)
def test_the_error_decides_the_outcome(error: BaseException, outcome: Kind) -> None:
    recorder = Recorder()
    with pytest.raises(type(error)), recorder.calling("1"):
        raise error
    assert [event.kind for event in recorder.events] == ["invoke", outcome]


def test_an_invocation_is_recorded_with_all_that_is_checked() -> None:
    recorder = Recorder(by="me")
    with recorder.calling("1", timeout=2.0, channel="c", sequence=1):
        pass
    made, ended = recorder.events
    assert (made.kind, made.sender, made.channel, made.sequence) == ("invoke", "me", "c", 1)
    assert 1.9 < made.deadline - made.at <= 2.0
    assert (ended.kind, ended.id) == ("ok", "1")


def test_a_failing_handler_has_no_end_event() -> None:
    recorder = Recorder()
    with recorder.running("1"):
        pass
    with pytest.raises(ValueError, match="no"), recorder.running("2"):
        raise ValueError("no")
    assert [(event.kind, event.id) for event in recorder.events] == [("start", "1"), ("end", "1"), ("start", "2")]


def test_events_are_read_back_in_the_order_of_time(tmp_path: Path) -> None:
    events = [*sent(1, 1.0, 2.0), Event("invoke", "x", 3.0, "me", deadline=4.5)]
    with Recorder(tmp_path / "one") as one, Recorder(tmp_path / "two") as two:
        for event in events[1:]:
            one.write(event)
        two.write(events[0])
    assert read(tmp_path / "one", tmp_path / "two") == events
    assert one.events == []


def test_several_processes_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "history"
    writers = [writer(path, name, 2000) for name in ("a", "b")]
    assert [process.wait(30) for process in writers] == [0, 0]
    assert {event.id for event in read(path)} == {f"{name}-{number}" for name in ("a", "b") for number in range(2000)}


def test_the_file_of_a_killed_process_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "history"
    process = writer(path, "a", 100_000_000)
    eventually_sync(lambda: path.exists() and path.stat().st_size > 10_000, within=20.0)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert len(read(path)) > 100


@pytest.mark.parametrize("left", range(1, 51))
def test_a_fragment_of_an_event_is_skipped(tmp_path: Path, left: int) -> None:
    """The kernel cuts the write of a killed process where a page ends, which may be anywhere in an event."""
    first, cut, last = started("1", 1.0), started("a}", 2.0), started("3", 3.0)
    path, alone = tmp_path / "history", tmp_path / "alone"
    with Recorder(path) as one, Recorder(alone) as other:
        one.write(first)
        other.write(cut)
        with path.open("ab") as file:
            file.write(alone.read_bytes()[:left])
        assert read(path) == [first]
        one.write(last)
    assert read(path) == [first, last]


def test_a_file_with_other_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "history").write_text('{"kind":"start"}\n')
    with pytest.raises(msgspec.ValidationError):
        read(tmp_path / "history")


def test_order_is_kept_by_sender_channel_and_process() -> None:
    events = sent(1, 1.0) + sent(2, 2.0) + sent(3, 3.0)
    assert problems([*events, started("a1", 4), started("a2", 5), started("a3", 6)]) == []
    assert problems([*events, started("a2", 4), started("a1", 5, by="other")]) == []
    assert problems([*events, *sent(1, 1.0, sender="b"), started("a2", 4), started("b1", 5)]) == []
    assert problems([*events, started("a1", 4), started("a3", 5), started("a2", 6)]) == [
        "a2 started after a later one of a to c"
    ]


def test_events_may_be_given_in_any_order() -> None:
    assert problems([started("a2", 5), started("a1", 4), *sent(2, 2.0), *sent(1, 1.0)]) == []


def test_capacity_counts_messages_that_certainly_waited() -> None:
    events = sent(1, 1.0) + sent(2, 2.0) + sent(3, 3.0)
    assert problems(events, capacity={"c": 3, "other": 0}) == []
    assert problems(events, capacity={"c": 2}) == ["c held 3 messages: its capacity is 2"]
    assert problems([*events, started("a1", 2.5)], capacity={"c": 2}) == []
    early = [*sent(1, 0.2, accepted=1.0), started("a1", 0.5), *events[2:]]
    assert problems(early, capacity={"c": 2}) == [], "started before its sender was told so"


def test_capacity_ignores_expired_and_refused_messages() -> None:
    first, second = sent(1, 1.0)
    expired = msgspec.structs.replace(first, deadline=1.5)
    refused = Event("fail", "a3", 3.0)
    assert problems([expired, second, *sent(2, 2.0), sent(3, 3.0)[0], refused], capacity={"c": 1}) == []


def test_a_message_without_reply_need_not_have_run() -> None:
    assert problems(sent(1, 1.0)) == []
    with pytest.raises(ChannelFull), (recorder := Recorder()).calling("1", reply=False):
        raise ChannelFull("c", 1)
    last = recorder.events[-1].at
    assert problems([*recorder.events, started("1", last)]) == ["1 ran, and its caller was told that it did not"]


def test_a_long_history_is_checked_in_reasonable_time() -> None:
    events = [event for n in range(1, 100_001) for event in (*sent(n, n), started(f"a{n}", n + 0.5))]
    assert problems(events, capacity={"c": 1}) == []


CALL = [Event("invoke", "x", 1.0), Event("start", "x", 2.0), Event("end", "x", 2.5), Event("ok", "x", 3.0)]
"""A call as it should be."""
UNSURE = [
    event for n in (1, 2, 3) for event in (sent(n, 1.0)[0], Event("maybe", f"a{n}", 1.5), started(f"a{n}", 2.0 + n))
]
"""Three messages whose sender never heard whether they were taken, and that ran."""
PLANTED: dict[str, tuple[list[Event], list[str]]] = {
    "a start of nothing": ([*CALL, started("y", 2)], ["y was never invoked, and has the event 'start'"]),
    "an outcome of nothing": ([*CALL, Event("fail", "y", 2)], ["y was never invoked, and has the event 'fail'"]),
    "an end of nothing": ([*CALL, Event("end", "y", 2)], ["y was never invoked, and has the event 'end'"]),
    "ok before the only start": (
        [CALL[0], Event("ok", "x", 1.5), *CALL[1:3]],
        ["x ran only after its caller was told that it did"],
    ),
    "a start before the invocation": (
        [started("x", 0.5), CALL[0], *CALL[2:]],
        ["x has the event 'start' 0.500 s before it was invoked"],
    ),
    "an outcome before the invocation": (
        [Event("maybe", "x", 0.5), *CALL[:3]],
        ["x has the event 'maybe' 0.500 s before it was invoked"],
    ),
    "an ID invoked twice": (
        [CALL[0], *CALL[:3], CALL[3], CALL[3]],
        ["x was invoked 2 times", "x had 2 outcomes"],
    ),
    "too many that ended as maybe and ran": (UNSURE, ["c held 3 messages: its capacity is 2"]),
}


def test_a_call_as_it_should_be_breaks_no_promise() -> None:
    assert problems(CALL) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(name: str) -> None:
    events, expected = PLANTED[name]
    assert problems(events, capacity={"c": 2}) == expected
    assert problems(events[::-1], capacity={"c": 2}) == expected


def test_what_ended_as_maybe_and_never_ran_need_not_have_waited() -> None:
    assert problems([event for event in UNSURE if event.kind != "start"], capacity={"c": 2}) == []
