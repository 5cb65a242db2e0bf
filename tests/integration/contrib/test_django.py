from __future__ import annotations

import threading
from typing import Any

import django.db
import pytest
from asgiref.sync import sync_to_async

from servicebus import Service
from servicebus.contrib.django import database_connections

from ...support.shop import CHANNEL, calling


async def test_each_plain_handler_starts_and_ends_with_a_check_of_connections(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(django.db, "close_old_connections", lambda: notes.append("looked after"))
    service = Service("shop", around_sync=database_connections)

    @service.handler("plain")
    def plain(message: dict[str, Any]) -> None:
        notes.append("handler")
        if message["fails"]:
            raise ValueError

    async with calling(url, service) as bus:
        await bus.call(CHANNEL, {"type": "plain", "fails": False})
        await bus.gather((CHANNEL, {"type": "plain", "fails": True}), return_exceptions=True)
    assert notes == ["looked after", "handler", "looked after"] * 2


async def test_connections_of_the_async_orm_are_looked_after_in_its_thread(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[Any] = []
    monkeypatch.setattr(django.db, "close_old_connections", lambda: notes.append(threading.get_ident()))
    service = Service("shop", around_async=database_connections)

    @service.handler("query")
    async def query(message: dict[str, Any]) -> None:
        notes.append(await sync_to_async(threading.get_ident)())
        if message["fails"]:
            raise ValueError

    async with calling(url, service) as bus:
        await bus.call(CHANNEL, {"type": "query", "fails": False})
        await bus.gather((CHANNEL, {"type": "query", "fails": True}), return_exceptions=True)
    assert len(notes) == 6
    assert len(set(notes)) == 1
    assert notes[0] != threading.get_ident()
