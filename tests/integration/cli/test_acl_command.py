"""``servicebus acl``: what it prints is what a server takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import hiredis
import pytest

from servicebus.cli import main
from servicebus.layers.redis.schema import scripts
from servicebus.testing.servers import Admin, Cluster, SentinelGroup, Server

from ...support.processes import servicebus

TARGET = "tests.support.workshop"
NAME, CHANNEL = "workshop", "workshop.request"
PASSWORD = "not so easily guessed"
CALLER = ["--caller", "web", "--calls", "web=workshop.request"]
LOADED = [1] * len(scripts.ALL)


@pytest.fixture(autouse=True)
def passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICEBUS_URL", raising=False)
    monkeypatch.setenv("SERVICEBUS_PASSWORD_WORKSHOP", PASSWORD)
    monkeypatch.setenv("SERVICEBUS_PASSWORD_WEB", PASSWORD)


@pytest.fixture
def bare() -> Iterator[Server]:
    """A server that nobody has loaded scripts on."""
    with Server() as server:
        yield server


def known(server: Server) -> list[int]:
    found: list[int] = server.run("SCRIPT", "EXISTS", *(script.sha for script in scripts.ALL))
    return found


def test_each_line_is_a_command_that_makes_a_user(bare: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["acl", TARGET, *CALLER]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[:3] for line in lines] == [["ACL", "SETUSER", NAME], ["ACL", "SETUSER", "web"]]
    assert printed.err == ""
    for line in lines:
        assert bare.run(*line.split()) == b"OK"
    assert set(bare.run("ACL", "USERS")) == {b"default", b"workshop", b"web"}
    login(bare, NAME, PASSWORD)


def test_lines_of_an_aclfile_are_read_by_a_server_that_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["acl", TARGET, *CALLER, "--aclfile"]) == 0
    aclfile = tmp_path / "users.acl"
    aclfile.write_text("user default on nopass ~* &* +@all\n" + capsys.readouterr().out)
    with Server("--aclfile", str(aclfile)) as server:
        login(server, NAME, PASSWORD)
        login(server, "web", PASSWORD)


def test_as_data_the_rules_can_be_given_to_a_client(bare: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["acl", TARGET, "--json"]) == 0
    (user,) = json.loads(capsys.readouterr().out)["users"]
    assert bare.run("ACL", "SETUSER", user["name"], *user["rules"]) == b"OK"
    login(bare, NAME, PASSWORD)


def login(server: Server, name: str, password: str) -> None:
    """The user comes in, and may not do what it should not."""
    connection = Admin(server.path)
    assert connection.run("AUTH", name, password) == b"OK"
    with pytest.raises(hiredis.ReplyError, match="NOPERM"):
        connection.run("KEYS", "*")
    connection.close()


def test_a_password_that_was_given_is_printed_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["acl", TARGET]) == 0
    printed = capsys.readouterr()
    assert PASSWORD not in printed.out + printed.err
    assert f"#{sha256(PASSWORD.encode()).hexdigest()}" in printed.out


def test_a_new_password_is_shown_once_beside_the_rules(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SERVICEBUS_PASSWORD_WORKSHOP")
    seen = set()
    for _ in range(2):
        assert main(["acl", TARGET]) == 0
        printed = capsys.readouterr()
        password = printed.err.removeprefix(f"{NAME}: the password is ").removesuffix(" (shown once)\n")
        assert password not in printed.out
        assert f"#{sha256(password.encode()).hexdigest()}" in printed.out
        seen.add(password)
    assert len(seen) == 2


def test_the_environment_names_a_service_in_capitals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVICEBUS_PASSWORD_STOCK_ROOM", PASSWORD)
    assert main(["acl", "--caller", "stock-room"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "no service: name one as MODULE:ATTR, or a caller with --caller NAME"),
        (["no.such.module"], "no module 'no'"),
        ([f"{TARGET}:nothing"], "tests.support.workshop:nothing is not a Service"),
        ([TARGET, TARGET], "service 'workshop' is given twice"),
        ([TARGET, "--caller", NAME], "service 'workshop' is given twice"),
        ([TARGET, "--calls", "a b"], "calls of 'workshop': 'a b' is no channel name"),
        ([TARGET, "--calls", "shop=a.request"], "--calls shop=a.request: 'shop' is not one of the services: workshop"),
        ([TARGET, *CALLER, "--publishes", "seen"], "--publishes seen: name the service, as in"),
        ([TARGET, "--prefix", "a*"], "prefix is 'a*'"),
        (["--caller", "default"], "'default' is the server's own user"),
        (["--caller", "a b"], "'a b' is no service name"),
        (["load"], "memory:// ends with this process: give --url redis://host:6379/0"),
        (["load", "--url", "redis://127.0.0.1:1"], "the scripts could not be loaded at redis://127.0.0.1:1"),
        (
            ["load", "--url", "redis+sentinel://127.0.0.1:1/shop"],
            "'shop' by redis://127.0.0.1:1 did not name its servers",
        ),
        (["load", "--url", "redis+cluster://127.0.0.1:1"], "redis://127.0.0.1:1 did not name its servers"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(["acl", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("servicebus acl: ")
    assert complaint in printed.err
    assert printed.err.count("\n") == 1


def test_a_short_password_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERVICEBUS_PASSWORD_WORKSHOP", "sesame")
    assert main(["acl", TARGET]) == 1
    printed = capsys.readouterr().err
    assert "the password of 'workshop' has 6 characters" in printed
    assert "sesame" not in printed


def test_load_brings_every_script_to_the_server(bare: Server) -> None:
    bare.run("SCRIPT", "FLUSH")
    bare.run("ACL", "SETUSER", "operator", "on", f">{PASSWORD}", "~*", "+@all")
    url = f"unix://operator:{PASSWORD.replace(' ', '%20')}@{bare.path}"
    ended = servicebus("acl", "load", "--url", url)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"loaded: unix://{bare.path}\n", "")
    assert known(bare) == LOADED


def test_load_that_is_refused_says_where_and_why(bare: Server, capsys: pytest.CaptureFixture[str]) -> None:
    bare.run("ACL", "SETUSER", "ann", "on", f">{PASSWORD}", "~*", "+@all", "-script|load")
    assert main(["acl", "load", "--url", f"unix://ann:{PASSWORD.replace(' ', '%20')}@{bare.path}"]) == 1
    printed = capsys.readouterr().err
    assert f"the scripts could not be loaded at unix://{bare.path}: " in printed
    assert "script|load" in printed
    assert PASSWORD not in printed


def test_load_finds_the_replicas_behind_sentinels(sentinel: SentinelGroup, capsys: pytest.CaptureFixture[str]) -> None:
    for server in sentinel.servers:
        server.run("SCRIPT", "FLUSH")
    assert main(["acl", "load", "--url", sentinel.url]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(sentinel.servers) == 2
    assert [known(server) for server in sentinel.servers] == [LOADED] * 2


def test_load_finds_every_node_of_a_cluster(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    for node in cluster.nodes:
        node.run("SCRIPT", "FLUSH")
    assert main(["acl", "load", "--url", cluster.url]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(cluster.nodes)
    assert [known(node) for node in cluster.nodes] == [LOADED] * len(cluster.nodes)
