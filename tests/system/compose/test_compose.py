from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from servicebus.cli import worker
from services.database import database

from ...support.compose.deployment import (
    NAMES,
    ROOT,
    compose,
    ours,
    probe,
    seconds,
    services,
)

DATABASES = tuple(f"{name}-db" for name in NAMES)


def test_each_service_has_a_database_a_migration_and_a_worker() -> None:
    assert set(services()) == {"valkey", *NAMES, *DATABASES, *(f"{name}-migrate" for name in NAMES)}


def test_images_of_others_are_official_and_pinned_and_there_is_one_of_ours() -> None:
    others = {service["image"] for name, service in services().items() if name not in ours()}
    assert all(re.fullmatch(r"(valkey/valkey|postgres):\d+(\.\d+)+-alpine", image) for image in others), others
    assert {(service["image"], service["build"]) for service in ours().values()} == {("servicebus:local", ".")}
    assert len(ours()) == 2 * len(NAMES)


@pytest.mark.parametrize("name", services())
def test_every_service_has_a_health_check_or_ends(name: str) -> None:
    service = services()[name]
    if name.endswith("-migrate"):
        assert service["restart"] == "no"
        assert "healthcheck" not in service
    else:
        assert service["restart"] == "unless-stopped"
        check = service["healthcheck"]
        assert set(check) == {"test", "interval", "timeout", "retries", "start_period"}
        assert probe(service)


@pytest.mark.parametrize("name", services())
def test_every_container_is_locked_down(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not set(service) & {"ports", "privileged", "cap_add", "network_mode", "pid", "entrypoint", "env_file"}
    # Ours is not root by its Dockerfile; the others start as root unless told.
    assert name in ours() or service["user"] in ("valkey", "postgres")


@pytest.mark.parametrize("name", services())
def test_commands_are_lists_so_that_no_shell_takes_their_signals(name: str) -> None:
    command = services()[name].get("command", [])
    assert isinstance(command, list)
    assert all(isinstance(part, str) for part in command)


@pytest.mark.parametrize("name", NAMES)
def test_a_database_is_reached_by_its_own_service_only(name: str) -> None:
    everything = services()
    assert everything[f"{name}-db"]["networks"] == [f"{name}-db"]
    members = {other for other, service in everything.items() if f"{name}-db" in service["networks"]}
    assert members == {name, f"{name}-db", f"{name}-migrate"}


def test_only_the_workers_and_the_server_are_on_the_bus() -> None:
    assert {name for name, service in services().items() if "bus" in service["networks"]} == {"valkey", *NAMES}


def test_no_network_leads_out_and_none_is_undeclared() -> None:
    declared = compose()["networks"]
    assert all(network == {"internal": True} for network in declared.values())
    assert {network for service in services().values() for network in service["networks"]} == set(declared)


def test_every_database_has_a_volume_of_its_own_and_nobody_else_has_any() -> None:
    mounts = {name: service["volumes"] for name, service in services().items() if "volumes" in service}
    assert mounts == {f"{name}-db": [f"{name}-data:/var/lib/postgresql/data"] for name in NAMES}
    assert set(compose()["volumes"]) == {f"{name}-data" for name in NAMES}


@pytest.mark.parametrize("role", ["{}", "{}-migrate"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("given", [False, True])
def test_a_service_connects_with_the_credentials_of_its_database(name: str, role: str, given: bool) -> None:
    prefix = name.upper()
    environ = {f"{prefix}_DB_USER": "me", f"{prefix}_DB_PASSWORD": "a-secret"} if given else {}
    found = services(environ)
    made = found[f"{name}-db"]["environment"]
    used = database("DATABASE_URL", "", found[role.format(name)]["environment"])
    assert (used["HOST"], used["PORT"]) == (f"{name}-db", "5432")
    assert {"POSTGRES_DB": used["NAME"], "POSTGRES_USER": used["USER"], "POSTGRES_PASSWORD": used["PASSWORD"]} == made
    assert not given or (used["USER"], used["PASSWORD"]) == ("me", "a-secret")


def test_no_two_databases_share_credentials() -> None:
    made = [services()[name]["environment"] for name in DATABASES]
    assert len({one["POSTGRES_USER"] for one in made}) == len({one["POSTGRES_PASSWORD"] for one in made}) == 3


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_is_probed_over_tcp_which_opens_when_it_is_ready(name: str) -> None:
    service = services()[name]
    user, data = service["environment"]["POSTGRES_USER"], service["environment"]["POSTGRES_DB"]
    parts = ["pg_isready", "--quiet", "--host=127.0.0.1", f"--dbname={data}", f"--username={user}"]
    assert probe(service) == parts


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_starts_on_a_migrated_database_and_a_server_that_answers(name: str) -> None:
    found = services()
    assert found[name]["depends_on"] == {
        "valkey": {"condition": "service_healthy"},
        f"{name}-db": {"condition": "service_healthy"},
        f"{name}-migrate": {"condition": "service_completed_successfully"},
    }
    assert found[f"{name}-migrate"]["depends_on"] == {f"{name}-db": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_is_given_longer_than_it_drains(name: str) -> None:
    service = services()[name]
    program, command, *arguments = service["command"]
    assert (program, command) == ("servicebus", "worker")
    parser = argparse.ArgumentParser()
    worker.add_arguments(parser)
    options = parser.parse_args(arguments)
    assert options.target == f"services.{name}.handlers"
    assert seconds(service["stop_grace_period"]) >= options.drain + 5
    assert service["init"] is True


@pytest.mark.parametrize("name", NAMES)
def test_a_worker_is_healthy_when_its_channel_has_a_worker(name: str) -> None:
    assert probe(services()[name]) == ["servicebus", "health", f"{name}.request"]


# Records which variables the settings and servicebus.config read from the environment.
READER = """
import json, os

class Recorded(dict):
    def __getitem__(self, name):
        read.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        read.add(name)
        return super().get(name, default)

read = set()
os.environ = Recorded(os.environ)
import django
django.setup()
from servicebus.config import default_url
default_url()
print(json.dumps(sorted(read)))
"""


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_that_is_set_is_read(name: str) -> None:
    found = services()
    serving, migrating = found[name]["environment"], found[f"{name}-migrate"]["environment"]
    run = subprocess.run(
        [sys.executable, "-c", READER],
        env={**os.environ, **serving},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    read: set[Any] = set(json.loads(run.stdout))
    assert {"DJANGO_SETTINGS_MODULE", "DATABASE_URL", "SERVICEBUS_URL"} == set(serving)
    assert set(serving) <= read
    assert migrating == {key: value for key, value in serving.items() if key != "SERVICEBUS_URL"}


def test_the_server_has_less_memory_to_hand_out_than_it_may_use() -> None:
    service = services()["valkey"]
    command = service["command"]
    limit = int(command[command.index("--maxmemory") + 1].removesuffix("mb"))
    assert 2 * limit <= int(service["mem_limit"].removesuffix("m"))
