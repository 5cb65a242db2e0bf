"""A wall clock that is wrong: the one of a machine that Django reads."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo

import pytest
from django.utils import timezone


def set_wall_clock(ahead: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Django's ``timezone.now`` read a clock that is ``ahead`` seconds ahead, until the end of the test."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=ahead)

    monkeypatch.setattr(timezone, "datetime", Wrong)
