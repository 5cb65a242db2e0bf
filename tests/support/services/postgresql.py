"""A private PostgreSQL server: a fresh cluster, reached by a Unix socket only, ended by its pid."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "listen_addresses=")


def binaries() -> Path | None:
    """The directory of the newest installed version, None without one."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


def _account() -> dict[str, Any]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    entry = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def server(names: Sequence[str]) -> Iterator[str]:
    """Run one with a database for each name; yields a URL with ``{}`` for the name."""
    programs, account = binaries(), _account()
    assert programs is not None
    directory = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        if account:
            os.chown(directory, account["user"], account["group"])
        options = ("--username=test", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
        initdb: list[str | Path] = [programs / "initdb", "-D", directory / "data", *options]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **account)
        with _running(programs, directory, account):
            _create(directory, names)
            yield f"postgresql://test@/{{}}?host={directory}"
    finally:
        shutil.rmtree(directory)


@contextmanager
def _running(programs: Path, directory: Path, account: dict[str, Any]) -> Iterator[None]:
    options = [part for option in FAST for part in ("-c", option)]
    with (directory.parent / f"{directory.name}.log").open("wb") as log:
        command: list[str | Path] = [programs / "postgres", "-D", directory / "data", "-k", directory, *options]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **account)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)
        Path(log.name).unlink()


def _create(directory: Path, names: Sequence[str]) -> None:
    with _connected(directory) as connection:
        for name in names:
            connection.execute(f"CREATE DATABASE {name}".encode())


def _connected(directory: Path) -> psycopg.Connection[Any]:
    end = time.monotonic() + 20
    while True:
        try:
            return psycopg.connect(host=str(directory), user="test", dbname="postgres", autocommit=True)
        except psycopg.OperationalError:
            if time.monotonic() > end:
                raise
        time.sleep(0.02)
