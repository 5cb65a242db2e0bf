"""Django in library mode, on SQLite files or on a PostgreSQL server of our own; every test starts on empty tables."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.db import connections

from services.database import database, migrate

from ...support.django_setup import LABELS, set_up_django, sqlite_template
from ...support.services import postgresql

if TYPE_CHECKING:
    from ...support.services.order_shop import Shop

set_up_django()

SQLITE_URL = sqlite_template()


def use(template: str) -> None:
    """Point the three aliases at other databases, in this thread and in those that start after it.

    A connection is closed after each use: threads end with their test, and psycopg warns of what they leave open.
    """
    connections.close_all()
    for label in LABELS:
        variable = f"{label.upper()}_DATABASE_URL"
        entry: dict[str, Any] = {**database(variable, template.format(label), environ={}), "CONN_MAX_AGE": 0}
        connections.settings.update(connections.configure_settings({"default": {}, label: entry}))
        if hasattr(connections._connections, label):  # type: ignore[attr-defined]
            del connections[label]


@pytest.fixture(scope="session")
def sqlite_url() -> Iterator[str]:
    use(SQLITE_URL)
    migrate()
    yield SQLITE_URL
    connections.close_all()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    if postgresql.binaries() is None:
        pytest.skip("no PostgreSQL in /usr/lib/postgresql: install it to run this test")
    with postgresql.server(LABELS) as url:
        use(url)
        migrate()
        yield url
        connections.close_all()


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the database in use; its tables are empty."""
    use(request.getfixturevalue(f"{request.param}_url"))
    empty()
    yield request.param
    connections.close_all()


@pytest.fixture
def sqlite(sqlite_url: str) -> Iterator[None]:
    use(sqlite_url)
    empty()
    yield
    connections.close_all()


def empty() -> None:
    for label in LABELS:
        for model in apps.get_app_config(label).get_models():
            model._default_manager.all().delete()


@pytest.fixture
async def shop(db: str) -> AsyncIterator[Shop]:
    from ...support.services.order_shop import open_shop  # it needs Django to be set up

    async with open_shop() as shop:
        yield shop
