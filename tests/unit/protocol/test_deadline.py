from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus import ConfigurationError
from servicebus.protocol.deadline import MAX_TIMEOUT, deadline_of

NOW = 1_700_000_000_000


@given(st.floats(0, MAX_TIMEOUT, exclude_min=True))
def test_a_deadline_is_its_timeout_rounded_up_to_a_millisecond(timeout: float) -> None:
    ahead = deadline_of(NOW, timeout, 0) - NOW
    assert timeout * 1000 <= ahead < timeout * 1000 + 1.001


@given(st.floats(0.001, MAX_TIMEOUT), st.integers(1, NOW * 2))
def test_an_outer_deadline_is_only_ever_shortened(timeout: float, outer_ms: int) -> None:
    assert deadline_of(NOW, timeout, outer_ms) == min(outer_ms, deadline_of(NOW, timeout, 0))


@pytest.mark.parametrize("timeout", [0, -1, 86_400.1, math.inf, -math.inf, math.nan, "1", []])
def test_a_timeout_without_meaning_is_refused(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout is"):
        deadline_of(NOW, timeout, 0)
