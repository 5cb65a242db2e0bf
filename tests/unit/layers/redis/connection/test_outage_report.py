"""What is logged of the trouble with one server."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from servicebus.errors import Unavailable
from servicebus.layers.redis.connection.outage_report import MAX_REFUSALS, Line, OutageReport

AWAY = Unavailable("no server at redis://shop: Connection refused")
DENIED = Unavailable("the server at redis://shop refused: WRONGPASS", retryable=False)
WHERE = "redis://shop"


def outage(report: OutageReport, *, begins: float, seconds: int, error: Unavailable, links: int) -> list[Line]:
    """What is logged of an outage in which each connection is tried ten times a second."""
    lines = [report.lost(link, WHERE, begins) for link in range(links)]
    for tick in range(10 * seconds):
        lines += [report.failed(link, error, begins + tick / 10) for link in range(links)]
    lines += [report.connected(link, WHERE, begins + seconds) for link in range(links)]
    return [line for line in lines if line is not None]


@given(links=st.integers(1, 20), seconds=st.integers(1, 20))
def test_an_outage_is_a_few_lines_however_many_connections_it_ends(links: int, seconds: int) -> None:
    lines = outage(OutageReport(), begins=100.0, seconds=seconds, error=AWAY, links=links)
    assert lines[0] == Line(logging.WARNING, "connection to redis://shop lost, reconnecting")
    assert lines[-1] == Line(logging.WARNING, f"connected to redis://shop again after {seconds}.0 s")
    assert [line for line in lines if "again after" in line.text] == lines[-1:]
    assert all("Connection refused" in line.text for line in lines[1:-1])
    assert 3 <= len(lines) <= 5


def test_an_outage_of_a_day_is_a_line_a_minute() -> None:
    lines = outage(OutageReport(), begins=0.0, seconds=24 * 3600, error=AWAY, links=1)
    assert len(lines) < 24 * 60 + 10


@given(seconds=st.integers(2, 60), links=st.integers(1, 5))
def test_what_waiting_does_not_cure_is_an_error_with_its_cause(seconds: int, links: int) -> None:
    lines = outage(OutageReport(), begins=0.0, seconds=seconds, error=DENIED, links=links)
    errors = [line for line in lines if line.level == logging.ERROR]
    assert errors == lines[1:-1]
    assert all("WRONGPASS" in line.text and "Waiting does not cure this" in line.text for line in errors)
    assert errors[0] == lines[1]


def test_a_cause_that_becomes_final_is_reported_at_once() -> None:
    report = OutageReport()
    report.lost(1, WHERE, 0.0)
    assert report.failed(1, AWAY, 0.1)
    assert report.failed(1, AWAY, 0.2) is None
    found = report.failed(1, DENIED, 0.3)
    assert found is not None
    assert found.level == logging.ERROR
    assert report.failed(1, DENIED, 0.4) is None


def test_the_next_outage_is_reported_from_its_beginning() -> None:
    report = OutageReport()
    first = outage(report, begins=0.0, seconds=40, error=DENIED, links=2)
    second = outage(report, begins=60.0, seconds=40, error=DENIED, links=2)
    assert [line.text for line in first] == [line.text for line in second]


@given(pause=st.floats(0.0, 0.9), times=st.integers(20, 200))
def test_a_connection_that_is_lost_again_and_again_does_not_fill_the_log(pause: float, times: int) -> None:
    report, now, lines = OutageReport(), 0.0, []
    for _ in range(times):
        lines += [report.lost(1, WHERE, now), report.failed(1, AWAY, now)]
        lines.append(report.connected(1, WHERE, now))
        now += pause
    assert len([line for line in lines if line]) <= 2 * (now + 1) + 10


def test_losses_that_were_not_reported_are_counted() -> None:
    report = OutageReport()
    for now in (0.0, 0.25, 0.5):
        report.lost(1, WHERE, now)
        report.connected(1, WHERE, now)
    line = report.lost(1, WHERE, 2.0)
    assert line is not None
    assert line.text == "connection to redis://shop lost (and 2 times since the last report), reconnecting"


def test_an_outage_ends_with_the_last_connection_that_was_missing() -> None:
    report = OutageReport()
    report.lost(1, WHERE, 0.0)
    report.lost(2, WHERE, 0.0)
    assert report.connected(1, WHERE, 1.0) is None
    assert report.connected(2, WHERE, 2.0) == Line(logging.WARNING, "connected to redis://shop again after 2.0 s")
    assert report.connected(2, WHERE, 3.0) is None


def test_a_connection_that_nobody_wants_any_more_is_not_waited_for() -> None:
    report = OutageReport()
    report.lost(1, WHERE, 0.0)
    report.lost(2, WHERE, 0.0)
    report.forget(2, 1.0)
    assert report.connected(1, WHERE, 2.0) is not None


def test_a_first_connection_is_no_news() -> None:
    assert OutageReport().connected(1, WHERE, 0.0) is None


@given(st.lists(st.integers(0, 2 * MAX_REFUSALS), max_size=1000))
def test_a_refusal_is_reported_once_a_minute(numbers: list[int]) -> None:
    report = OutageReport()
    lines = [report.refused(f"refusal {number}", 10.0) for number in numbers]
    assert len([line for line in lines if line]) == min(len(set(numbers)), MAX_REFUSALS)
    if numbers:
        assert report.refused(f"refusal {numbers[0]}", 71.0) is not None
