"""The pytest plugin: a bus for each test, on the transport that the command line or the ini-file names.

The fixtures import the bus only when a test uses them: pytest loads this plugin in every run of this environment, and
most runs do not test the bus.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .. import ServiceBus
    from .servers import Server

OPTION, INI = "--servicebus-url", "servicebus_url"
MEMORY = "memory://"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the URL of the bus, on the command line and in the ini-file."""
    text = "what the fixture `bus` connects to: memory:// (the default), embedded://, or the URL of a server of yours"
    parser.getgroup("servicebus").addoption(OPTION, default=None, metavar="URL", help=text)
    parser.addini(INI, text, default=MEMORY)


@pytest.fixture(scope="session")
def servicebus_server() -> Iterator[Server]:
    """A private real server for the whole run, started when the first test uses it."""
    from .servers import Server

    with Server() as server:
        yield server


@pytest.fixture
def servicebus_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of this test's bus; another bus with this URL reaches the same channels.

    ``memory://`` gives each test its own hub. ``embedded://`` gives all tests one private server, which is
    emptied after each test. A server with another URL is not emptied.
    """
    from ..layers.factory import starts_server

    chosen = str(request.config.getoption(OPTION) or request.config.getini(INI))
    if chosen == MEMORY:
        yield from _fresh_memory()
    elif starts_server(chosen):
        server: Server = request.getfixturevalue("servicebus_server")
        yield server.url
        server.run("FLUSHALL")
    else:
        yield chosen


def _fresh_memory() -> Iterator[str]:
    from ..layers.memory import hubs

    name = uuid.uuid4().hex
    yield f"{MEMORY}{name}"
    hubs.forget(name)


if find_spec("pytest_asyncio"):  # without pytest-asyncio no test can use an asynchronous fixture
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def bus(servicebus_url: str) -> AsyncIterator[ServiceBus]:
        """An open bus, closed after the test: ``async with bus.serving(service): await bus.call(...)``."""
        from .. import ServiceBus

        async with ServiceBus(servicebus_url, service="tests") as opened:
            yield opened
