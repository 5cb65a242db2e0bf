from __future__ import annotations

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from ...support.compose.deployment import NAMES, probe, services
from ...support.compose.running_compose import WITHIN, Here, eventually


def call(here: Here, channel: str, message: dict[str, Any]) -> Any:
    """As ``docker compose exec orders servicebus call …`` would."""
    run = here.run("orders", ["servicebus", "call", channel, json.dumps(message)])
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def wait_until_healthy(here: Here, *names: str) -> None:
    for name in names:
        eventually(lambda name=name: here.probe(name) == 0, f"{name} is healthy: {here.log(name)}")  # type: ignore[misc]


def end(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(WITHIN)


@pytest.mark.parametrize("name", NAMES)
def test_the_migration_makes_the_tables_and_may_be_repeated(migrated: Here, name: str) -> None:
    again = migrated.run(f"{name}-migrate", services()[f"{name}-migrate"]["command"])
    assert (again.returncode, again.stderr) == (0, "")
    assert "No migrations to apply" in again.stdout
    with psycopg.connect(migrated.databases.format(name)) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE %s", (f"{name}_%",)).fetchone()
        assert row is not None
        assert row[0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_probe_of_a_database_says_whether_it_answers(here: Here, name: str) -> None:
    def status(directory: str) -> int:
        command = [part.replace("--host=127.0.0.1", f"--host={directory}") for part in probe(services()[f"{name}-db"])]
        return here.run(f"{name}-db", command).returncode

    (directory,) = parse_qs(urlsplit(here.databases).query)["host"]
    assert status(directory) == 0
    with tempfile.TemporaryDirectory() as empty:
        assert status(empty) != 0


def test_a_worker_is_healthy_while_it_serves_and_ends_with_0_on_sigterm(migrated: Here) -> None:
    before = files(migrated.app)
    assert all(migrated.probe(name) == 1 for name in NAMES)
    with migrated.started(*NAMES) as workers:
        wait_until_healthy(migrated, *NAMES)
        assert [end(process) for process in workers.values()] == [0, 0, 0]
    assert all(migrated.probe(name) == 1 for name in NAMES)
    assert all(f"stopped {name}.request" in migrated.log(name) for name in NAMES)
    assert files(migrated.app) == before, "a worker wrote to its file system, which is read-only in a container"


def files(directory: Path) -> set[Path]:
    return set(directory.rglob("*"))


def test_sigterm_lets_a_request_finish_and_its_reply_leave(migrated: Here) -> None:
    message = {"type": "receive", "receipt_id": "drained", "lines": [{"sku": "D", "quantity": 3}]}
    with migrated.started("inventory") as workers:
        wait_until_healthy(migrated, "inventory")
        with locked(migrated, "inventory_stock") as lock, calling(migrated, "inventory.request", message) as caller:
            eventually(lambda: waits(lock), "the handler waits for its table")
            workers["inventory"].send_signal(signal.SIGTERM)
            eventually(lambda: migrated.probe("inventory") == 1, "the worker takes no more")
            assert workers["inventory"].poll() is None
            assert caller.poll() is None
            lock.rollback()
            reply, _ = caller.communicate(timeout=WITHIN)
            assert json.loads(reply) == {"units": 3}
        assert workers["inventory"].wait(WITHIN) == 0


@contextmanager
def locked(here: Here, table: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(here.databases.format("inventory")) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield connection


def waits(connection: psycopg.Connection[Any]) -> bool:
    return connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


@contextmanager
def calling(here: Here, channel: str, message: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    command = ["servicebus", "call", channel, json.dumps(message), "--timeout", str(WITHIN)]
    process = subprocess.Popen(command, env=here.environment("orders"), cwd=here.app, stdout=subprocess.PIPE)
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_the_three_workers_take_an_order_together(migrated: Here) -> None:
    with migrated.started(*NAMES):
        wait_until_healthy(migrated, *NAMES)
        lines = [{"sku": "A", "quantity": 2}]
        call(migrated, "inventory.request", {"type": "receive", "receipt_id": "r-1", "lines": lines})
        call(migrated, "pricing.request", {"type": "set_prices", "prices": [{"sku": "A", "unit_price": "2.55"}]})
        placed = call(migrated, "orders.request", {"type": "place", "order_id": "o-1", "lines": lines})
        assert (placed["status"], placed["total"]) == ("confirmed", "5.10")
    with psycopg.connect(migrated.databases.format("inventory")) as connection:
        stock = connection.execute("SELECT on_hand, reserved FROM inventory_stock WHERE sku = 'A'").fetchone()
    assert stock == (0, 0)
