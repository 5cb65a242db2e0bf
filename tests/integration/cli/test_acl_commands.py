"""The key file on the command line and in the environment of processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from servicebus.cli import main
from servicebus.testing.servers import Server

from ...support.keys import KEYS, STRANGERS, content
from ...support.processes import servicebus, worker

CALL = ("call", "workshop.request", '{"type": "echo"}', "--timeout", "5")


def key_file(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("processes", [1, 2])
def test_workers_and_callers_are_given_their_keys(own_server: Server, tmp_path: Path, processes: int) -> None:
    url, keys = own_server.url, key_file(tmp_path / "keys.json", content(KEYS))
    with worker(tmp_path, url, "--keys", keys, "--processes", str(processes), processes=processes) as process:
        assert main([*CALL, "--url", url, "--keys", keys]) == 0
        assert main(["health", "workshop.request", "--url", url, "--keys", keys]) == 0
        assert servicebus(*CALL, "--url", url, SERVICEBUS_KEYS=keys).returncode == 0
        others = key_file(tmp_path / "others.json", content(STRANGERS))
        assert main([*CALL[:-1], "0.2", "--url", url, "--keys", others]) == 1
        assert main([*CALL[:-1], "0.2", "--url", url]) == 1
        assert process.log.count("a frame was dropped: it") == 2
        assert not any(key.decode() in process.log for key in KEYS.keys.values())


@pytest.mark.parametrize("command", [CALL, ("health",), ("worker", "tests.support.workshop")])
def test_keys_that_cannot_be_used_are_reported_in_one_line(
    own_server: Server, tmp_path: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    keys = key_file(tmp_path / "keys.json", b"{}")
    assert main([*command, "--url", own_server.url, "--keys", keys]) == 1
    printed = capsys.readouterr()
    assert "is not a key file" in printed.err
    assert printed.err.count("\n") == 1
