"""Who follows docs/topics/acl.md to the letter has a server that stays closed, also after a restart."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import hiredis
import pytest

from servicebus import ServiceBus
from servicebus.cli import main
from servicebus.testing.servers import Admin, Server

from ...support.shop import CHANNEL

PAGE = (Path(__file__).parents[3] / "docs/topics/acl.md").read_text()
PASSWORD = "a0" * 32


class ClosedServer(Server):
    """A server that answers nobody without a password. It is up when it says so."""

    def _is_up(self) -> bool:
        try:
            return super()._is_up() or "NOAUTH" in self.refusal()
        except OSError:
            return False

    def refusal(self) -> str:
        """What somebody hears who does not log in, "" when that one is let in."""
        admin = Admin(self.path)
        try:
            admin.run("PING")
        except hiredis.ReplyError as error:
            return str(error)
        finally:
            admin.close()
        return ""


def commands() -> list[list[str]]:
    """The commands of the page for ``redis-cli``, in order, without the pipe whose input is printed."""
    lines = re.findall(r"^    redis-cli (.*)$", PAGE, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def run(server: Server, command: list[str]) -> object:
    """Run a command as ``redis-cli`` does."""
    admin = Admin(server.path)
    try:
        if command[0] == "--user":
            admin.run("AUTH", command[1], command[3])
            command = command[4:]
        return admin.run(*command)
    finally:
        admin.close()


async def test_a_server_set_up_by_the_page_stays_closed_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVICEBUS_PASSWORD_WEB", PASSWORD)
    assert main(["acl", "--caller", "web", "--calls", f"web={CHANNEL}"]) == 0
    aclfile = tmp_path / "users.acl"
    aclfile.touch()
    with ClosedServer("--aclfile", str(aclfile)) as server:
        assert "\n    aclfile " in PAGE
        for line in capsys.readouterr().out.splitlines():
            assert run(server, line.split()) == b"OK"
        for command in commands():
            assert run(server, command) == b"OK", command
        server.start_again()
        assert "NOAUTH" in server.refusal()
        assert run(server, ["--user", "operator", "--pass", "PASSWORD", "PING"]) == b"PONG"
        load = ["acl", "load", "--url", f"unix://operator:PASSWORD@{server.path}"]
        assert await asyncio.to_thread(main, load) == 0
        async with ServiceBus(f"unix://web:{PASSWORD}@{server.path}", service="web") as bus:
            assert await bus.workers(CHANNEL) == 0


def test_every_password_of_the_page_can_stand_in_a_url() -> None:
    assert "rand -base64" not in PAGE
    assert urlsplit(f"redis://orders:{PASSWORD}@host:6379/0").password == PASSWORD
