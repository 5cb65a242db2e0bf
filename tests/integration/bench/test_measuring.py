"""What the harness measures of processes and servers, compared with what certainly happened to them."""

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
        assert await ask(child, {"n": 1}, LONG) == {"n": 1}
    assert not is_running(child.pid)


async def test_a_child_that_ignores_sigterm_is_killed() -> None:
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('{}', flush=True)\ntime.sleep(60)"
    async with process(sys.executable, "-c", deaf, talks=True, end_within=50 * MS) as child:
        await answer(child, LONG)
    assert not is_running(child.pid)


async def test_a_child_that_ends_fails_or_does_not_answer_is_an_error() -> None:
    async with process(sys.executable, "-c", "", talks=True) as child:
        with pytest.raises(ChildFailed, match="ended"):
            await answer(child, LONG)
    async with process(sys.executable, "-c", ECHO, talks=True) as child:
        with pytest.raises(ChildFailed, match="it broke"):
            await ask(child, {"error": "it broke"}, LONG)
        with pytest.raises(ChildFailed, match="no answer"):
            await answer(child, 10 * MS)


async def test_processor_time_and_memory_of_a_child_are_read() -> None:
    work = "import time\nheld = bytearray(64 << 20)\nwhile time.process_time() < 0.2: pass\nprint('{}')\ninput()"
    async with process(sys.executable, "-u", "-c", work, talks=True) as child:
        await answer(child, LONG)
        assert 0.15 <= cpu_seconds(child.pid) < 30
        assert 64 << 20 < resident_bytes(child.pid) < 256 << 20


@pytest.mark.parametrize(("others", "share"), [(0.0, 0.0), (1.0, 0.25), (40.0, 1.0), (-0.01, 0.0)])
def test_the_share_of_others_leaves_out_this_process(
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
def test_the_work_of_this_process_counts_for_the_machine() -> None:
    busy, own = busy_seconds(), own_seconds()
    while own_seconds() < own + 200 * MS:
        pass
    assert busy_seconds() >= busy + 100 * MS


def test_commands_of_clients_and_of_scripts_are_counted_apart(server: Server) -> None:
    observer = Observer(server.url)
    before = observer.look()
    for _ in range(10):
        server.run("EVAL", "return redis.call('PTTL', KEYS[1])", 1, "list")
        server.run("STRLEN", "key")
    found = difference(before, observer.look(), calls=10)
    observer.close()
    assert found["commands"] == {"eval": 1.0, "pttl": 1.0, "strlen": 1.0}
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


async def test_a_run_stops_waiting_when_its_patience_is_used_up() -> None:
    quiet = Quiet(patience=30 * MS, quiet_share=-1.0, window=5 * MS)  # no machine is that quiet
    with Stopwatch() as first:
        await quiet.wait()
    with Stopwatch() as second:
        await quiet.wait()
    assert first.seconds >= 30 * MS
    assert second.seconds < first.seconds


async def test_a_run_does_not_wait_on_a_quiet_machine() -> None:
    quiet = Quiet(patience=3600, quiet_share=2.0, window=5 * MS)  # every machine is that quiet
    async with asyncio.timeout(LONG):
        await quiet.wait()
