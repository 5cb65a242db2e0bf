"""What the harness says of processes and servers, held against what it certainly did to them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bench.environment import Meanwhile, busy_seconds, environment, own_seconds
from bench.pipes import ChildFailed, answer, ask
from bench.processes import cpu_seconds, process, resident_bytes
from bench.quiet import Quiet
from bench.server_info import Observer, commands_of_scripts, difference
from servicebus.testing.servers import Server, is_running

from ...support.timing import LONG, MS, Stopwatch

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


async def test_a_child_is_gone_when_its_block_ends() -> None:
    async with process(sys.executable, "-c", ECHO, talks=True) as child:
        assert await ask(child, {"n": 1}, 10.0) == {"n": 1}
    assert not is_running(child.pid)


async def test_a_child_that_ignores_being_asked_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.processes.PATIENCE", 50 * MS)
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('{}', flush=True)\ntime.sleep(60)"
    async with process(sys.executable, "-c", deaf, talks=True) as child:
        await answer(child, 10.0)
    assert not is_running(child.pid)


async def test_a_child_that_ends_or_fails_or_says_nothing_is_an_error() -> None:
    async with process(sys.executable, "-c", "", talks=True) as child:
        with pytest.raises(ChildFailed, match="ended"):
            await answer(child, 10.0)
    async with process(sys.executable, "-c", ECHO, talks=True) as child:
        with pytest.raises(ChildFailed, match="it broke"):
            await ask(child, {"error": "it broke"}, 10.0)
        with pytest.raises(ChildFailed, match="no answer"):
            await answer(child, 10 * MS)


async def test_processor_time_and_memory_are_those_of_the_process() -> None:
    work = "import time\nheld = bytearray(64 << 20)\nwhile time.process_time() < 0.2: pass\nprint('{}')\ninput()"
    async with process(sys.executable, "-u", "-c", work, talks=True) as child:
        await answer(child, 20.0)
        assert 0.15 <= cpu_seconds(child.pid) < 5
        assert 64 << 20 < resident_bytes(child.pid) < 256 << 20


@pytest.mark.parametrize(("others", "share"), [(0.0, 0.0), (1.0, 0.25), (40.0, 1.0), (-0.01, 0.0)])
def test_what_others_use_is_not_what_this_process_uses(
    others: float, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, own, busy = 100.0, 5.0, 60.0
    monkeypatch.setattr("bench.environment.time.monotonic", lambda: now)
    monkeypatch.setattr("bench.environment.os.cpu_count", lambda: 2)
    monkeypatch.setattr("bench.environment.own_seconds", lambda: own)
    monkeypatch.setattr("bench.environment.busy_seconds", lambda: busy)
    meanwhile = Meanwhile()
    now, own, busy = now + 2.0, own + 1.5, busy + 1.5 + others
    assert meanwhile.others_share() == pytest.approx(share)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the machine's processor time is read from /proc/stat")
def test_work_of_this_process_is_work_of_the_machine() -> None:
    busy, own = busy_seconds(), own_seconds()
    while own_seconds() < own + 200 * MS:
        pass
    assert busy_seconds() >= busy + 100 * MS


def test_commands_are_counted_by_what_clients_sent_and_by_what_scripts_called(server: Server) -> None:
    observer = Observer(server.url)
    before = observer.look()
    for _ in range(10):
        server.run("EVAL", "return redis.call('PTTL', KEYS[1])", 1, "list")
        server.run("GET", "key")
    found = difference(before, observer.look(), calls=10)
    observer.close()
    assert found["commands"] == {"eval": 1.0, "get": 1.0, "pttl": 1.0}
    assert found["commands_sent"] == 2.0
    assert found["net_bytes"] > 50


def test_the_commands_that_scripts_call_are_read_from_the_scripts() -> None:
    assert {"rpush", "pttl", "pexpire"} <= commands_of_scripts()
    assert not {"evalsha", "blmpop"} & commands_of_scripts()


def test_a_server_is_described_by_its_version(server: Server) -> None:
    observer = Observer(server.url)
    described = observer.description()
    observer.close()
    assert int(described["version"].split(".")[0]) >= 7
    assert described["settings"]["appendonly"] == "no"


def test_the_environment_names_what_a_figure_depends_on() -> None:
    found = environment()
    assert f"{os.cpu_count()} cores" in found["machine"]
    assert {"servicebus", "msgspec", "hiredis"} <= found["packages"].keys()


async def test_a_run_waits_for_a_quiet_machine_no_longer_than_its_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.quiet.QUIET", -1.0)  # no machine is that quiet
    monkeypatch.setattr("bench.quiet.WINDOW", 5 * MS)
    quiet = Quiet(patience=30 * MS)
    with Stopwatch() as first:
        await quiet.wait()
    with Stopwatch() as second:
        await quiet.wait()
    assert first.seconds >= 30 * MS
    assert second.seconds < first.seconds


async def test_a_run_does_not_wait_for_a_machine_that_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.quiet.QUIET", 2.0)  # every machine is that quiet
    monkeypatch.setattr("bench.quiet.WINDOW", 5 * MS)
    async with asyncio.timeout(LONG):
        await Quiet(patience=3600).wait()
