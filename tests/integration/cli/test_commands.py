from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servicebus.cli import COMMANDS, main
from servicebus.testing.servers import Server

from ...support.processes import environment, servicebus, worker

CHANNEL = "workshop.request"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server with a worker."""
    with Server() as server, worker(tmp_path_factory.mktemp("served"), server.url):
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
        (["call", CHANNEL, "[1]"], "the message is not a JSON object"),
        (["call", CHANNEL, "{"], "the message is not a JSON object"),
        (["call", "no channel", '{"type": "x"}'], "is no channel name"),
        (["call", CHANNEL, '{"type": "x"}', "--url", "redis://127.0.0.1:1"], "no server at redis://127.0.0.1:1"),
        (["call", CHANNEL, '{"type": "x"}', "--url", "memory://"], "ends with this process"),
        (["call", CHANNEL, '{"type": "x"}', "--url", "ftp://u:secret@h"], "no layer for the URL 'ftp://h'"),
        (["health", "nobody.request"], "no worker serves 'nobody.request'"),
        (["health", "nobody.request", "--wait", "0.05"], "no worker serves 'nobody.request'"),
        (["health", "--url", "unix:///no/where"], "no server at unix:///no/where"),
    ],
)
def test_a_failure_is_reported_in_one_line_and_exits_with_one(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"servicebus {arguments[0]}: ")
    assert complaint in printed.err
    assert printed.err.count("\n") == 1
    assert "secret" not in printed.err


@pytest.mark.parametrize(
    ("channel", "message", "fate"),
    [
        (CHANNEL, {"type": "closed"}, "(executed: yes)"),
        (CHANNEL, {"type": "nothing"}, "(executed: no, retryable)"),
        ("nobody.request", {"type": "x"}, "(executed: no, retryable)"),
        (CHANNEL, {"type": "wait", "seconds": 5}, "(executed: maybe)"),
    ],
)
def test_a_call_that_failed_says_whether_the_handler_ran(
    capsys: pytest.CaptureFixture[str], channel: str, message: dict[str, Any], fate: str
) -> None:
    assert main(["call", channel, json.dumps(message), "--timeout", "0.3"]) == 1
    assert capsys.readouterr().err.endswith(f" {fate}\n")


def test_the_option_bounds_the_size_of_a_call(capsys: pytest.CaptureFixture[str]) -> None:
    large = json.dumps({"type": "echo", "text": "x" * 2000})
    assert main(["call", CHANNEL, large, "--max-message-size", "1000"]) == 1
    assert "is over the limit of 1000" in capsys.readouterr().err
    assert main(["call", CHANNEL, large, "--max-message-size", "1048577"]) == 1
    assert "--max-message-size is 1048577: at most 1048576 bytes" in capsys.readouterr().err


def test_callers_and_probes_find_the_workers_of_their_prefix(
    own_server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--url", own_server.url]
    with worker(tmp_path, own_server.url, "--prefix", "blue"):
        assert main(["health", CHANNEL, *here, "--prefix", "blue"]) == 0
        assert main(["call", CHANNEL, '{"type": "echo"}', *here, "--prefix", "blue"]) == 0
        assert main(["health", CHANNEL, *here, "--prefix", "green"]) == 1
        assert main(["call", CHANNEL, '{"type": "echo"}', *here]) == 1
    assert capsys.readouterr().err.count("no worker serves") == 2


BROKEN = {
    "not_set_up": (
        "from django.core.exceptions import ImproperlyConfigured\nraise ImproperlyConfigured('no\\nsettings')\n",
        "not_set_up cannot be imported: {path}.py, line 2: ImproperlyConfigured: no\\nsettings",
    ),
    "not_python": ("def\n", "not_python cannot be imported: {path}.py, line 1: SyntaxError: invalid syntax"),
    "not_complete": (
        "import not_there\n",
        "not_complete cannot be imported: {path}.py, line 1: ModuleNotFoundError: No module named",
    ),
    "not_meant": (
        "from servicebus import Service\nService('shop', adaptive=True)\n",
        "not_meant cannot be imported: {path}.py, line 2: ConfigurationError: adaptive is True",
    ),
}


@pytest.mark.parametrize("command", ["worker", "acl"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_module_that_cannot_be_imported_is_reported_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    command: str,
) -> None:
    source, complaint = BROKEN[name]
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    assert main([command, name]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"servicebus {command}: {complaint.format(path=tmp_path / name)}")
    assert printed.count("\n") == 1


def test_verbose_shows_where_an_error_was_raised(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    for asked in ((), ("--verbose",)):
        ended = servicebus(*asked, "acl", "broken", PYTHONPATH=str(tmp_path))
        assert ended.returncode == 1
        assert ended.stderr.startswith(
            f"servicebus acl: broken cannot be imported: {tmp_path}/broken.py, line 1: ZeroDivisionError: division"
        )
        assert ("Traceback" in ended.stderr, 'broken.py", line 1' in ended.stderr) == (bool(asked), bool(asked))


def test_health_is_ok_when_the_server_answers_and_channels_have_workers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health"]) == 0
    assert main(["health", CHANNEL]) == 0
    assert capsys.readouterr().out == "ok\nok\n"


def test_health_waits_for_a_worker_to_come(own_server: Server, tmp_path: Path) -> None:
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
def test_wrong_arguments_exit_with_two(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
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


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", [("call", CHANNEL, '{"type": "echo"}'), ("call", CHANNEL, '{"type": "closed"}'), ("--help",)]
)
def test_a_closed_output_is_not_a_reason_for_a_traceback(
    served: str, unbuffered: str, arguments: tuple[str, ...]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "servicebus", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED=unbuffered, SERVICEBUS_URL=served),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        printed = process.stderr.read()
    assert b"Traceback" not in printed
    assert b"Exception ignored" not in printed
    assert process.wait(10) in (0, 1)


def test_a_closed_standard_error_ends_a_command_with_one(served: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "servicebus", "call", CHANNEL, '{"type": "closed"}', "--url", served],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PYTHONUNBUFFERED=""),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stderr.close()
    with process.stdout:
        assert process.stdout.read() == b""
    assert process.wait(10) == 1
