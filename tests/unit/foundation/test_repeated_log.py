from __future__ import annotations

import copy
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.foundation.repeated_log import AT_ONCE, RepeatedLog

from ...support.timing import MS, eventually

logger = logging.getLogger("tests.repeated")


class Lines(logging.Handler):
    """What was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())

    @property
    def said(self) -> int:
        """Lines that were logged, and those that they count."""
        more = (re.search(r"and (\d+) more", text) for text in self.texts)
        return len(self.texts) + sum(int(found[1]) for found in more if found)


@given(st.lists(st.floats(0, 0.5), max_size=60), st.lists(st.sampled_from(["a %s", "b %s"]), min_size=60, max_size=60))
def test_no_more_than_a_few_lines_a_second_of_a_kind_and_none_uncounted(steps: list[float], kinds: list[str]) -> None:
    own = logging.Logger("own")
    own.addHandler(lines := Lines())
    now = 0.0
    log = RepeatedLog(own, clock=lambda: now)
    for step, kind in zip(steps, kinds, strict=False):
        now += step
        log.warning(kind, "x")
    now += 2.0
    for kind in ("a %s", "b %s"):
        log.warning(kind, "x")
    assert lines.said == len(steps) + 2
    assert len(lines.texts) <= 2 * AT_ONCE * (now + 2)


async def test_what_is_held_back_is_logged_although_nothing_follows(caplog: pytest.LogCaptureFixture) -> None:
    log = RepeatedLog(logger, every=10 * MS)
    with caplog.at_level(logging.INFO):
        for number in range(1000):
            log.info("number %d", number)
        await eventually(lambda: len(caplog.messages) > 1 and sum(map(counted, caplog.messages)) == 1000)
    assert len(caplog.messages) < 1000


def counted(text: str) -> int:
    found = re.search(r"and (\d+) more", text)
    return 1 + (int(found[1]) if found else 0)


def test_a_record_names_the_line_that_warned(caplog: pytest.LogCaptureFixture) -> None:
    RepeatedLog(logger).warning("here")
    assert caplog.records[0].filename == "test_repeated_log.py"
    assert caplog.records[0].funcName == "test_a_record_names_the_line_that_warned"


def test_a_copy_counts_from_nothing(caplog: pytest.LogCaptureFixture) -> None:
    log = RepeatedLog(logging.getLogger("copied"))
    for number in range(2 * AT_ONCE):
        log.warning("one %d", number)
    caplog.clear()
    copy.deepcopy(log).warning("one %d", 0)
    assert [record.getMessage() for record in caplog.records] == ["one 0"]
