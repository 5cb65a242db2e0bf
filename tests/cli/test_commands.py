from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from servicebus.cli import COMMANDS, main

from ..processes import environment, servicebus, worker
from ..server import RealServer, real_server

CHANNEL = "workshop.request"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with a worker."""
    with real_server() as server, worker(tmp_path_factory.mktemp("served"), server.url):
        yield server.url


@pytest.fixture(autouse=True)
def environment_names_the_server(served: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICEBUS_URL", served)


def test_call_prints_the_reply_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["call", CHANNEL, '{"type": "echo", "n": [1, 2.5, null], "s": "ä"}']) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"type": "echo", "n": [1, 2.5, None], "s": "ä", "caller": "cli"}
    assert printed.err == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["call", "nobody.request", '{"type": "x"}'], "no worker serves 'nobody.request'"),
        (["call", CHANNEL, '{"type": "nothing"}'], "unknown operation 'nothing'; this service knows: block, closed"),
        (["call", CHANNEL, '{"type": "closed"}'], "tests_shop_closed: until='noon'"),
        (["call", CHANNEL, '{"type": "wait"}'], "internal: the handler failed"),
        (["call", CHANNEL, '{"type": "wait", "seconds": 5}', "--timeout", "0.1"], "got no reply before its deadline"),
        (["call", CHANNEL, "{}"], 'a message needs a "type"'),
        (["call", CHANNEL, "[1]"], "the message is no JSON object"),
        (["call", CHANNEL, "{"], "the message is no JSON object"),
        (["call", "no channel", '{"type": "x"}'], "is no channel name"),
        (["call", CHANNEL, '{"type": "x"}', "--url", "redis://127.0.0.1:1"], "no server at redis://127.0.0.1:1"),
        (["call", CHANNEL, '{"type": "x"}', "--url", "memory://"], "ends with this process"),
        (["call", CHANNEL, '{"type": "x"}', "--url", "ftp://u:secret@h"], "no layer for the URL 'h'"),
        (["health", "nobody.request"], "no worker serves 'nobody.request'"),
        (["health", "nobody.request", "--wait", "0.05"], "no worker serves 'nobody.request'"),
        (["health", "--url", "unix:///no/where"], "no server at unix:///no/where"),
    ],
)
def test_what_went_wrong_is_said_in_one_line_and_the_exit_code_is_one(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"servicebus {arguments[0]}: ")
    assert complaint in printed.err
    assert printed.err.count("\n") == 1
    assert "secret" not in printed.err


def test_health_is_ok_when_the_server_answers_and_the_channels_have_workers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health"]) == 0
    assert main(["health", CHANNEL]) == 0
    assert capsys.readouterr().out == "ok\nok\n"


def test_health_waits_for_a_worker_to_come(own_server: RealServer, tmp_path: Path) -> None:
    codes: list[int] = []
    waiting = threading.Thread(
        target=lambda: codes.append(main(["health", CHANNEL, "--wait", "20", "--url", own_server.url]))
    )
    waiting.start()
    time.sleep(0.1)
    assert codes == []
    with worker(tmp_path, own_server.url):
        waiting.join(10)
    assert codes == [0]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["call"],
        ["call", CHANNEL],
        ["call", CHANNEL, "{}", "--timeout", "0"],
        ["call", CHANNEL, "{}", "--timeout", "nan"],
        ["call", CHANNEL, "{}", "--timeout", "soon"],
        ["worker"],
        ["worker", "m", "--processes", "0"],
        ["worker", "m", "--concurrency", "-1"],
        ["worker", "m", "--drain", "inf"],
        ["health", "--wait", "-1"],
    ],
)
def test_what_is_not_understood_exits_with_two(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: servicebus" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 4


def test_the_command_line_runs_as_a_module(served: str) -> None:
    ended = servicebus("call", CHANNEL, '{"type": "echo"}', "--url", served)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout) == {"type": "echo", "caller": "cli"}


def test_a_reader_that_goes_away_is_no_reason_for_a_traceback(served: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "servicebus", "call", CHANNEL, '{"type": "echo"}', "--url", served],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(10) == 1
