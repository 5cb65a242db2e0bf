"""A real server with the options of docker-compose.yml, and a real PostgreSQL server with the databases it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from servicebus.layers.redis.embedded import EmbeddedServer
from tests.support.services import postgresql

from ...support.compose.deployment import NAMES, services
from ...support.compose.running_compose import Here, create_owners, image_of_services


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a server that runs as the one in docker-compose.yml does, but on a socket."""
    program, *options = services()["valkey"]["command"]
    assert program == "valkey-server"
    with asyncio.Runner() as runner:
        running = runner.run(EmbeddedServer(*options).__aenter__())
        try:
            yield running.url
        finally:
            runner.run(running.stop())


@pytest.fixture(scope="session")
def here(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    if postgresql.binaries() is None:
        pytest.skip("no PostgreSQL in /usr/lib/postgresql: install it to run this test")
    with postgresql.server(NAMES) as databases:
        create_owners(databases)
        yield Here(image_of_services(tmp_path_factory.mktemp("container")), server, databases)


@pytest.fixture(scope="session")
def migrated(here: Here) -> Here:
    """The databases, migrated by the commands of docker-compose.yml, all at once."""
    names = [f"{name}-migrate" for name in NAMES]
    with here.started(*names) as migrations:
        statuses = {name: process.wait(30) for name, process in migrations.items()}
    assert statuses == dict.fromkeys(names, 0), "\n".join(here.log(name) for name in names)
    return here
