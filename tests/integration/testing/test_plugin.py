"""The plugin, in runs of pytest of their own."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from servicebus.testing.servers import Server

from ...support.pytest_runs import run

FILES = {
    "test_it.py": """
import servicebus

service = servicebus.Service("shop")

@service.handler("echo")
async def echo(message: dict) -> dict:
    return message

async def test_a_call(bus, servicebus_url):
    print("on", servicebus_url)
    async with bus.serving(service), servicebus.ServiceBus(servicebus_url) as other:
        assert await other.call("shop.request", {"type": "echo", "n": 1}) == {"type": "echo", "n": 1}

async def test_nothing_is_left_of_the_last_test(bus):
    with __import__("pytest").raises(servicebus.NoWorkers):
        await bus.call("shop.request", {"type": "echo"})

async def test_a_message(bus, servicebus_server):
    await bus.send("shop.request", {"type": "echo"})
    print("frames", len(servicebus_server.frames("shop.request")))

def test_nothing_is_left_of_that_one_either(servicebus_server):
    print("keys", servicebus_server.all_keys())
"""
}


def test_pytest_finds_it_by_itself() -> None:
    found = [point.value for point in entry_points(group="pytest11") if point.name == "servicebus"]
    assert found == ["servicebus.testing.plugin"]


def test_the_bus_is_in_memory_by_default_and_another_for_each_test(tmp_path: Path) -> None:
    said = run(tmp_path, FILES)
    assert "on memory://" in said
    assert "frames 0" in said


def test_on_an_embedded_server_nothing_is_left_from_test_to_test(tmp_path: Path) -> None:
    said = run(tmp_path, FILES, "--servicebus-url", "embedded://")
    assert "on unix://" in said
    assert "frames 1" in said
    assert "keys []" in said


def test_the_ini_file_may_name_a_server(tmp_path: Path, server: Server) -> None:
    assert f"on {server.url}" in run(tmp_path, FILES, ini=f"servicebus_url = {server.url}")
    assert len(server.frames("shop.request")) == 1


def test_the_command_line_goes_before_the_ini_file(tmp_path: Path) -> None:
    assert "on memory://" in run(tmp_path, FILES, "--servicebus-url", "memory://", ini="servicebus_url = embedded://")


def test_a_run_that_does_not_use_it_imports_no_transport(tmp_path: Path) -> None:
    check = "def test_nothing(): assert 'servicebus.layers.redis.connection.connection' not in sys.modules"
    run(tmp_path, {"test_it.py": f"import sys\n\n{check}\n"})


@pytest.mark.parametrize("option", ["--servicebus-url", "servicebus_url"])
def test_the_help_says_what_can_be_set(tmp_path: Path, option: str) -> None:
    assert option in run(tmp_path, {}, "--help")
