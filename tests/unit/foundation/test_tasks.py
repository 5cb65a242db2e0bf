"""Tasks with an owner, and work that is done once."""

from __future__ import annotations

import asyncio

import pytest

from servicebus.foundation.tasks import Once, TaskSet


async def test_a_task_leaves_its_set_when_it_ends() -> None:
    tasks, go_on = TaskSet(), asyncio.Event()
    task = tasks.spawn(go_on.wait())
    assert len(tasks) == 1
    go_on.set()
    assert await task
    await asyncio.sleep(0)
    assert len(tasks) == 0


async def test_joining_waits_for_every_task_and_raises_no_error() -> None:
    async def fail() -> None:
        raise ValueError

    tasks = TaskSet()
    failing, waiting = tasks.spawn(fail()), tasks.spawn(asyncio.sleep(0))
    await tasks.join()
    assert isinstance(failing.exception(), ValueError)
    assert waiting.done()


async def test_cancelling_a_set_waits_until_its_tasks_have_cleaned_up() -> None:
    ended: list[str] = []

    async def clean_up() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("clean")

    tasks = TaskSet()
    tasks.spawn(clean_up())
    await asyncio.sleep(0)
    await tasks.cancel()
    assert ended == ["clean"]


async def test_a_task_may_be_named() -> None:
    tasks = TaskSet()
    assert tasks.spawn(asyncio.sleep(0), name="reader").get_name() == "reader"
    await tasks.join()


async def test_work_is_done_once_for_all_who_wait() -> None:
    runs: list[int] = []

    async def work(number: int) -> int:
        await asyncio.sleep(0)
        runs.append(number)
        return number

    once = Once(work)
    assert list(await asyncio.gather(once(1), once(2), once(3))) == [1, 1, 1]
    assert runs == [1]
    assert await once(4) == 1


async def test_work_goes_on_when_the_one_who_waits_is_cancelled() -> None:
    go_on = asyncio.Event()
    once = Once(go_on.wait)
    waiting = asyncio.create_task(once())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert once.task is not None
    assert not once.task.done()
    go_on.set()
    assert await once()


async def test_an_error_of_the_work_is_raised_for_all_who_wait() -> None:
    async def fail() -> None:
        raise ValueError("broken")

    once = Once(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            await once()
