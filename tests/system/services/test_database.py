from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from servicebus import ConfigurationError
from services.database import Database, database
from services.environment import seconds


def parsed(url: str) -> Database:
    return database("DATABASE_URL", "sqlite:///default.sqlite3", {"DATABASE_URL": url})


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("", "default.sqlite3"),
        ("sqlite:///data/stock.sqlite3", "data/stock.sqlite3"),
        ("sqlite:////var/stock%201.sqlite3", "/var/stock 1.sqlite3"),
    ],
)
def test_sqlite_takes_a_relative_or_an_absolute_path(url: str, path: str) -> None:
    assert parsed(url)["NAME"] == path


def test_sqlite_writers_wait_for_one_another() -> None:
    options = parsed("sqlite:///a.sqlite3")["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    assert options["timeout"] == 20
    assert "journal_mode=WAL" in options["init_command"]


def test_sqlite_can_trade_the_last_commits_for_speed() -> None:
    assert "synchronous=full" in parsed("sqlite:///a.sqlite3")["OPTIONS"]["init_command"]
    assert "synchronous=normal" in parsed("sqlite:///a.sqlite3?synchronous=normal")["OPTIONS"]["init_command"]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_postgresql_takes_every_part_of_the_url(scheme: str) -> None:
    found = parsed(f"{scheme}://me:p%40ss@db.example:6432/stock?sslmode=require")
    assert found["ENGINE"] == "django.db.backends.postgresql"
    assert [found[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")] == [
        "stock",
        "me",
        "p@ss",
        "db.example",
        "6432",
    ]
    assert found["OPTIONS"] == {"sslmode": "require"}


def test_postgresql_is_reached_by_a_unix_socket_too() -> None:
    found = parsed("postgresql://me@/stock?host=/run/postgresql")
    assert (found["HOST"], found["OPTIONS"]) == ("/run/postgresql", {})


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:secret@db/stock",
        "stock.sqlite3",
        "sqlite://stock.sqlite3",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///a.sqlite3?synchronous=secret",
        "postgresql://me:secret@db/",
        "postgresql://me:secret@db:port/stock",
        "postgresql://[me:secret@db/stock",
    ],
)
def test_a_bad_url_is_refused_by_the_name_of_its_variable(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^DATABASE_URL: ") as refusal:
        parsed(url)
    assert isinstance(refusal.value, ConfigurationError)
    assert "me:secret" not in str(refusal.value)


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_duration_is_a_positive_number(text: str) -> None:
    assert seconds("WAIT", 5.0, {"WAIT": "2.5"}) == 2.5
    assert seconds("WAIT", 5.0, {}) == 5.0
    with pytest.raises(ConfigurationError, match="WAIT: "):
        seconds("WAIT", 5.0, {"WAIT": text})


ALONE = """
import django
django.setup()
from services.database import alias, migrate
from services.{label} import handlers, models
migrate()
assert alias(models.{model}) == "default"
assert models.{model}.objects.count() == 0
print(handlers.service.name)
"""


@pytest.mark.parametrize(("label", "model"), [("inventory", "Stock"), ("pricing", "Price"), ("orders", "Order")])
def test_a_service_runs_alone_with_a_file_in_the_current_directory(label: str, model: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path.cwd()),
        "DJANGO_SETTINGS_MODULE": f"services.{label}.settings",
        "DATABASE_URL": "",
    }
    script = ALONE.format(label=label, model=model)
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.stderr) == (f"{label}\n", "")
    assert (tmp_path / f"{label}.sqlite3").exists()


def test_migrations_are_up_to_date(sqlite: None) -> None:
    from django.core.management import call_command

    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
