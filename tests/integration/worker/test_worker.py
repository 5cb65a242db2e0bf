from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from servicebus import (
    ConfigurationError,
    DeadlineExceeded,
    NoWorkers,
    RemoteError,
    ServiceBus,
    ServiceBusError,
    WorkerLost,
)
from servicebus.testing.servers import Server, is_running
from servicebus.worker.loading import load_service

from ...support import workshop
from ...support.processes import Worker, servicebus, worker
from ...support.timing import (
    LONG,
    MS,
    Stopwatch,
    allowed,
    eventually,
    eventually_sync,
)

CHANNEL = "workshop.request"


@pytest.mark.parametrize("target", ["tests.support.workshop", "tests.support.workshop:service"])
def test_a_service_is_found_by_its_module_and_name(target: str, no_server: None) -> None:
    assert load_service(target) is workshop.service


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("no_such_module", "no module 'no_such_module'"),
        ("tests.no_such_module", "no module 'tests.no_such_module'"),
        ("tests.support.shop", "holds 0 services: name one as tests.support.shop:ATTR"),
        ("tests.support.workshop:nothing", "tests.support.workshop:nothing is not a Service"),
        ("tests.support.workshop:_not_a_service", "is not a Service"),
    ],
)
def test_what_is_not_a_service_is_refused_with_a_reason(target: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        load_service(target)


def test_a_module_with_a_missing_import_names_that_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_another.py").write_text("import not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    complaint = r"needs_another cannot be imported: .*needs_another\.py, line 1: .*: No module named 'not_there'"
    with pytest.raises(ConfigurationError, match=complaint):
        load_service("needs_another")


async def outcome_of(bus: ServiceBus, message: dict[str, Any]) -> Any:
    """The reply, or what the error says of whether it ran."""
    try:
        return await bus.call(CHANNEL, message, timeout=3.0)
    except ServiceBusError as error:
        return error.executed


async def everything_taken(bus: ServiceBus) -> None:
    """Wait until a worker has what tasks made just now have sent: it takes what comes first, first."""
    await asyncio.sleep(0)
    await bus.call(CHANNEL, {"type": "pid"})


async def test_a_worker_drains_under_load_when_it_is_told_to_stop(own_server: Server, tmp_path: Path) -> None:
    outcomes: Counter[Any] = Counter()

    async def keep_calling() -> None:
        while True:
            try:
                outcomes[await bus.call(CHANNEL, {"type": "wait", "seconds": 20 * MS}, timeout=1.0)] += 1
            except NoWorkers:
                return
            except DeadlineExceeded as error:
                outcomes[error.executed] += 1

    with worker(tmp_path, own_server.url, "--concurrency", "50") as process:
        async with ServiceBus(own_server.url) as bus:
            callers = [asyncio.create_task(keep_calling()) for _ in range(100)]
            await eventually(lambda: outcomes[1] > 100)
            process.signal()
            with Stopwatch() as watch:
                assert await asyncio.to_thread(process.ended) == 0
            await asyncio.gather(*callers)
        assert "draining workshop.request" in process.log
        assert "Traceback" not in process.log
    assert watch.seconds < allowed(5.0)
    assert set(outcomes) <= {1, "no"}, outcomes


async def test_the_second_signal_ends_a_worker_at_once(own_server: Server, tmp_path: Path) -> None:
    with worker(tmp_path, own_server.url) as process:
        async with ServiceBus(own_server.url) as bus:
            call = asyncio.create_task(outcome_of(bus, {"type": "wait", "seconds": 20}))
            await everything_taken(bus)
            process.signal()
            await eventually(lambda: "draining" in process.log)
            assert process.process.poll() is None
            process.signal()
            assert await asyncio.to_thread(process.ended) == 128 + signal.SIGTERM
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)


@pytest.mark.parametrize("kind", ["wait", "block", "deaf", "offload"])
async def test_a_handler_that_outlasts_the_drain_does_not_keep_the_worker(
    own_server: Server, tmp_path: Path, kind: str
) -> None:
    with worker(tmp_path, own_server.url, "--drain", "0.2") as process:
        async with ServiceBus(own_server.url) as bus:
            call = asyncio.create_task(bus.call(CHANNEL, {"type": kind, "seconds": 20}, timeout=5.0))
            await everything_taken(bus)
            process.signal(signal.SIGINT)
            with pytest.raises(WorkerLost) as caught:
                await call
            assert caught.value.executed == "maybe"
            assert await asyncio.to_thread(process.ended, 3.0) == 0


@pytest.mark.parametrize("kind", ["exit", "exit in a task", "exit in a thread"])
async def test_a_handler_that_calls_exit_ends_only_itself(own_server: Server, tmp_path: Path, kind: str) -> None:
    with worker(tmp_path, own_server.url) as process:
        async with ServiceBus(own_server.url) as bus:
            for code in (0, 3):
                with pytest.raises(RemoteError) as caught:
                    await bus.call(CHANNEL, {"type": kind, "code": code}, timeout=30.0)
                assert (caught.value.code, caught.value.executed) == ("internal", "yes")
            assert await bus.call(CHANNEL, {"type": "pid"}, timeout=30.0) == process.process.pid
        process.signal()
        assert await asyncio.to_thread(process.ended) == 0
        assert "stopped workshop.request" in process.log


async def test_a_handler_may_fork_and_end_its_children(own_server: Server, tmp_path: Path) -> None:
    """A child inherits the handlers of signals, and the descriptor by which they wake the worker's event loop."""
    with worker(tmp_path, own_server.url) as process:
        async with ServiceBus(own_server.url) as bus:
            for kind in ("fork", "fork in a thread"):
                assert await bus.call(CHANNEL, {"type": kind}, timeout=60.0) == -signal.SIGTERM
            assert await bus.call(CHANNEL, {"type": "pool"}, timeout=60.0) == [1, 4, 9]
            assert await bus.call(CHANNEL, {"type": "pid"}) == process.process.pid
        assert "draining" not in process.log
        process.signal()
        assert await asyncio.to_thread(process.ended) == 0


async def test_a_worker_reports_that_its_wall_clock_is_wrong(own_server: Server, tmp_path: Path) -> None:
    """Its own calls go on: the bus reads the server's clock."""
    (tmp_path / "sitecustomize.py").write_text("import time\nright = time.time\ntime.time = lambda: right() + 600.0\n")
    with worker(tmp_path, own_server.url, PYTHONPATH=str(tmp_path)) as process:
        await eventually(lambda: "600 s ahead of the server's" in process.log)
        async with ServiceBus(own_server.url) as bus:
            assert await bus.call(CHANNEL, {"type": "pid"}, timeout=LONG) == process.process.pid


async def test_a_killed_process_is_replaced_and_all_end_with_the_supervisor(own_server: Server, tmp_path: Path) -> None:
    with worker(tmp_path, own_server.url, "--processes", "2", processes=2) as process:
        async with ServiceBus(own_server.url) as bus:
            before = process.children
            assert len(before) == 2
            assert await bus.workers(CHANNEL) == 2
            os.kill(before[0], signal.SIGKILL)
            await eventually(lambda: process.is_serving(3), within=LONG)
            after = process.children
            assert (len(after), before[0] in after, before[1] in after) == (2, False, True)
            answers = await bus.gather(*[(CHANNEL, {"type": "pid"})] * 200)
            assert set(answers) <= set(after)
        process.signal()
        assert await asyncio.to_thread(process.ended) == 0
        assert not any(map(is_running, after))


def test_the_workers_of_a_killed_supervisor_end_too(own_server: Server, tmp_path: Path) -> None:
    with worker(tmp_path, own_server.url, "--processes", "2", processes=2) as process:
        children = process.children
        process.signal(signal.SIGKILL)
        process.ended()
        eventually_sync(lambda: not any(map(is_running, children)), within=5.0)
    assert own_server.all_keys() == []


@pytest.mark.parametrize("processes", [1, 2])
async def test_workers_wait_for_a_server_that_is_away(own_server: Server, tmp_path: Path, processes: int) -> None:
    url = own_server.url
    own_server.kill()
    arguments = ("tests.support.workshop", "--url", url, "--processes", str(processes))
    process = Worker(tmp_path / "worker.log", *arguments)
    try:
        await eventually(lambda: process.log.count("the worker waits for it") >= 2 * processes)
        assert process.process.poll() is None
        await own_server.restart()
        await eventually(lambda: process.is_serving(processes), within=LONG)
        async with ServiceBus(url) as bus:
            assert isinstance(await bus.call(CHANNEL, {"type": "pid"}, timeout=LONG), int)
        assert "ended with" not in process.log
    finally:
        process.signal()
        assert await asyncio.to_thread(process.ended) == 0


def test_a_worker_that_waits_for_a_server_can_be_stopped(tmp_path: Path) -> None:
    process = Worker(tmp_path / "worker.log", "tests.support.workshop", "--url", "redis://127.0.0.1:1")
    eventually_sync(lambda: "no server at redis://127.0.0.1:1: Connection refused" in process.log)
    process.signal()
    assert process.ended() == 0
    assert "Traceback" not in process.log


async def test_a_worker_that_dies_again_and_again_ends_no_other(own_server: Server, tmp_path: Path) -> None:
    with worker(tmp_path, own_server.url, "--processes", "2", processes=2) as process:
        kept, sick = process.children
        for killed in range(6):
            os.kill(sick, signal.SIGKILL)
            await eventually(lambda: process.log.count("ended with -9") > killed, within=LONG)  # noqa: B023
            await eventually(lambda: len(process.children) == 2, within=LONG)
            (sick,) = [child for child in process.children if child != kept]
        async with ServiceBus(own_server.url) as bus:
            assert await bus.call(CHANNEL, {"type": "pid"}, timeout=LONG) in {kept, sick}
        assert kept in process.children
        process.signal()
        assert await asyncio.to_thread(process.ended) == 0


def test_a_supervisor_whose_workers_cannot_be_configured_gives_up(own_server: Server, tmp_path: Path) -> None:
    process = Worker(tmp_path / "worker.log", "tests.no_such_module", "--url", own_server.url, "--processes", "2")
    assert process.ended(60.0) == 1
    assert "no module 'tests.no_such_module'" in process.log
    assert "Traceback" not in process.log


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("text", ["import sys\nsys.exit(0)\n", "settings = {}\nsettings['host']\n"])
def test_a_module_that_cannot_be_imported_ends_all_with_its_line(tmp_path: Path, text: str, processes: str) -> None:
    """A worker whose module ends the program, with status 0 too, would be started again for ever."""
    (tmp_path / "ends_early.py").write_text(text)
    arguments = ("ends_early", "--url", "redis://127.0.0.1:1", "--processes", processes)
    ended = servicebus("worker", *arguments, PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    assert "ends_early.py, line 2: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("tests.no_such_module", "--url", "redis://127.0.0.1:1"), "no module 'tests.no_such_module'"),
        (("tests.support.shop", "--url", "redis://127.0.0.1:1"), "tests.support.shop holds 0 services"),
        (("tests.support.workshop", "--url", "memory://"), "memory:// ends with this process: give --url redis://"),
        (("tests.support.workshop", "--url", "embedded://"), "embedded:// ends with this process: give --url redis://"),
        (("tests.support.workshop",), "memory:// ends with this process: give --url redis://"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_worker_that_cannot_serve_says_why_in_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    ended = servicebus("worker", *arguments)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("servicebus worker: ")
    assert complaint in ended.stderr
    assert ended.stderr.count("\n") == 1
