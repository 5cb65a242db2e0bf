from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ...support.compose.deployment import (
    ROOT,
    Instruction,
    copied,
    image_environment,
    stages,
)

BUILD, FINAL = 0, 1
CONTEXT = {"LICENSE", "README.md", "constraints.txt", "pyproject.toml", "servicebus", "services"}
IN_THE_IMAGE = {"python_version": "3.13", "python_full_version": "3.13.0", "sys_platform": "linux", "os_name": "posix"}


def words(stage: int) -> list[str]:
    return [one.word for one in stages()[stage]]


def only(stage: int, word: str) -> Instruction:
    (found,) = [one for one in stages()[stage] if one.word == word]
    return found


def install_line() -> list[str]:
    (found,) = [one.command for one in stages()[BUILD] if one.word == "RUN" and one.command[0] == "pip"]
    return found


def test_both_stages_are_the_slim_image_of_one_python() -> None:
    assert [stage[0].rest for stage in stages()] == ["python:3.13-slim AS build", "python:3.13-slim"]


def test_the_final_stage_runs_nothing_and_copies_from_the_first_only() -> None:
    assert set(words(FINAL)) == {"FROM", "ENV", "COPY", "WORKDIR", "USER", "CMD"}
    assert [one.rest for one in stages()[FINAL] if one.word == "COPY"] == [
        "--from=build /venv/ /venv/",
        "--from=build /app/ /app/",
    ]


def test_it_does_not_run_as_root() -> None:
    user, group = only(FINAL, "USER").rest.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_every_command_is_in_exec_form() -> None:
    commands = [one.command for stage in stages() for one in stage if one.word in ("RUN", "CMD")]
    assert all(isinstance(part, str) for command in commands for part in command)
    assert only(FINAL, "CMD").command[0] == "servicebus"


def test_it_prints_at_once_and_finds_the_services_and_the_commands() -> None:
    environment = image_environment()
    assert environment["PYTHONUNBUFFERED"] == "1"
    assert environment["PYTHONPATH"] == only(FINAL, "WORKDIR").rest == "/app"
    assert environment["PATH"].startswith("/venv/bin:")


def test_what_is_copied_exists_and_is_all_that_the_build_is_given() -> None:
    assert {source.rstrip("/") for source in copied()} == CONTEXT
    assert all((ROOT / source).is_dir() == source.endswith("/") for source in copied())
    assert all((ROOT / source).exists() for source in copied())
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:].rstrip("/") for line in lines if line.startswith("!")} == CONTEXT


def test_the_install_line_takes_wheels_only_under_the_constraints() -> None:
    line = install_line()
    assert line[line.index("--only-binary") + 1] == ":all:"
    assert line[line.index("--constraint") + 1] == "constraints.txt"
    assert not [part for part in line if "index" in part or "://" in part]


def test_every_package_that_is_installed_is_pinned() -> None:
    text = (ROOT / "constraints.txt").read_text()
    pinned = {canonicalize_name(line.split("==")[0]) for line in text.split() if "==" in line}
    target = Requirement("servicebus" + install_line()[-1].removeprefix("."))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert target.extras == {"postgres", "uvloop"} <= set(extras)
    needed = set(closure(target)) - {"servicebus"}
    assert {"django", "psycopg-binary", "uvloop", "redis", "msgspec"} <= needed
    assert needed <= pinned


def closure(requirement: Requirement) -> Iterator[str]:
    """The packages that ``requirement`` brings into the image, by the metadata of those that are installed here."""
    waiting, seen = [requirement], set()
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        yield key[0]
        found = [Requirement(text) for text in requires(one.name) or []]
        waiting += [other for other in found if _applies(other, one.extras)]


def _applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**IN_THE_IMAGE, "extra": extra}) for extra in ("", *extras))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what the first stage has copied when it builds it; the services lie beside it, as in a checkout."""
    context, target = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("wheel")
    before_install = stages()[BUILD]
    for one in before_install[: [_is_install(one) for one in before_install].index(True)]:
        for source in one.sources if one.word == "COPY" else []:
            copy(ROOT / source, context / source)
    copy(ROOT / "services", context / "services")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(target), "."]
    # By the environment: pip does not hand its options on to where it installs the build back end.
    impatient = {**os.environ, "PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "5"}
    run = subprocess.run(command, cwd=context, env=impatient, capture_output=True, text=True, check=False)
    if re.search(r"No matching distribution found for hatchling|ConnectTimeout|NewConnectionError", run.stderr):
        pytest.skip("the build back end, hatchling, cannot be fetched here")
    assert run.returncode == 0, run.stderr
    (found,) = target.glob("*.whl")
    return found


def _is_install(one: Instruction) -> bool:
    return one.word == "RUN" and one.command == install_line()


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.py[co]"))
    else:
        shutil.copy(source, target)


def test_the_wheel_holds_the_scripts_and_the_types_and_no_service(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "servicebus").rglob("*") if _belongs(path)}
    assert sources <= names
    assert {"servicebus/py.typed", "servicebus/layers/redis/lua/send.lua"} <= sources
    assert {name.split("/")[0] for name in names - sources} == {"servicebus-0.1.0.dist-info"}


def _belongs(path: Path) -> bool:
    return path.suffix in (".py", ".lua", ".typed") or path.name == "py.typed"


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with ZipFile(wheel) as archive:
        metadata = archive.read(f"servicebus-{project['version']}.dist-info/METADATA").decode()
        licenses = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    assert f"Requires-Python: {project['requires-python']}" in metadata
    assert len(licenses) == 1
