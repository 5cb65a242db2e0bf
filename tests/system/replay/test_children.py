from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from services.replay.children import Child, ChildFailed

from ...support.replay.demo_processes import eventually


async def shell(tmp_path: Path, script: str) -> Child:
    return await Child.start("the child", tmp_path / "log", ("sh", "-c", script), os.environ)


async def printed(child: Child, text: str) -> None:
    assert await asyncio.to_thread(eventually, lambda: text in child.tail())


async def is_gone(child: Child) -> bool:
    """Whether nothing of its process group is left, or a moment later is not."""
    return await asyncio.to_thread(eventually, lambda: not _is_there(child.pid))


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_exit_status_is_that_of_the_command(tmp_path: Path) -> None:
    for status in (0, 3):
        child = await shell(tmp_path, f"exit {status}")
        assert await child.wait() == status
        await child.stop()
        assert await is_gone(child)


async def test_a_child_that_fails_is_named_with_its_last_words(tmp_path: Path) -> None:
    child = await shell(tmp_path, "seq 100; echo 'no such table' >&2; exit 4")
    with pytest.raises(ChildFailed) as raised:
        await child.check()
    await child.stop()
    assert str(raised.value) == "the child ended with exit status 4: no such table"
    assert (raised.value.status, raised.value.log.count("\n")) == (4, 14)


async def test_a_child_that_says_nothing_is_named_too(tmp_path: Path) -> None:
    child = await shell(tmp_path, "exit 1")
    with pytest.raises(ChildFailed, match="exit status 1: it printed nothing"):
        await child.check()
    await child.stop()


async def test_stopping_lets_the_command_finish(tmp_path: Path) -> None:
    child = await shell(tmp_path, "trap 'echo drained; exit 0' TERM; echo up; while :; do sleep 0.01; done")
    await printed(child, "up")
    await child.stop()
    await child.stop()
    assert (await child.wait(), child.tail()) == (0, "up\ndrained")
    assert await is_gone(child)


async def test_stopping_kills_what_does_not_finish(tmp_path: Path) -> None:
    child = await shell(tmp_path, "trap '' TERM; sleep 60 & echo up; while :; do sleep 0.01; done")
    await printed(child, "up")
    await child.stop(grace=0.2)
    assert await child.wait() == -9
    assert await is_gone(child)


async def test_a_stop_that_is_cancelled_kills(tmp_path: Path) -> None:
    child = await shell(tmp_path, "trap '' TERM; echo up; while :; do sleep 0.01; done")
    await printed(child, "up")
    stop = asyncio.create_task(child.stop())
    await asyncio.sleep(0.05)
    stop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stop
    assert await child.wait() == -9


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    cancelled = 0
    for turns in range(20):
        start = asyncio.create_task(shell(tmp_path, f"cd {tmp_path}; exec sleep 60"))
        for _ in range(turns):
            await asyncio.sleep(0)
        start.cancel()
        try:
            child = await start
        except asyncio.CancelledError:
            cancelled += 1
        else:
            await child.stop(grace=0)
    assert cancelled > 2
    assert await asyncio.to_thread(eventually, lambda: not _holders(tmp_path))


def _holders(directory: Path) -> list[str]:
    """Processes that work in a directory."""
    return [str(cwd) for cwd in Path("/proc").glob("[0-9]*/cwd") if _points_to(cwd, directory)]


def _points_to(link: Path, target: Path) -> bool:
    try:
        return link.readlink() == target
    except OSError:
        return False


async def test_a_child_has_no_input_and_its_own_session(tmp_path: Path) -> None:
    child = await shell(tmp_path, "cat; ps -o sess= -p $$")
    assert await child.wait() == 0
    await child.stop()
    assert int(child.tail()) == child.pid
