"""The choice of the event loop."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from servicebus.foundation.event_loop import loop_factory


def test_without_uvloop_the_loop_of_asyncio_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None


def test_uvloop_is_used_when_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    uvloop = ModuleType("uvloop")
    uvloop.__dict__["new_event_loop"] = object
    monkeypatch.setitem(sys.modules, "uvloop", uvloop)
    assert loop_factory() is object
