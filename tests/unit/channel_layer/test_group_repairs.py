"""What thousands of frames from other processes make this one do for a group."""

from __future__ import annotations

import asyncio

from servicebus.channel_layer.group_repairs import GroupRepairs
from servicebus.errors import Unavailable
from servicebus.foundation.tasks import TaskSet


async def test_many_requests_for_one_group_run_one_at_a_time_and_once_more() -> None:
    tasks, go_on, done = TaskSet(), asyncio.Event(), list[str]()

    async def work(group: str) -> None:
        await go_on.wait()
        done.append(group)

    repairs = GroupRepairs(work, tasks.spawn, limit=2)
    repairs.ask("chat")
    await asyncio.sleep(0)  # the work has begun
    for _ in range(1000):
        repairs.ask("chat")
        repairs.ask("news")
        repairs.ask("over the limit")
    assert len(tasks) == 2
    go_on.set()
    await tasks.join()
    assert sorted(done) == ["chat", "chat", "news"]
    repairs.ask("over the limit")
    await tasks.join()
    assert done[-1] == "over the limit"


async def test_work_that_fails_is_done_again_when_it_is_asked_for() -> None:
    tasks, tried = TaskSet(), list[str]()

    async def work(group: str) -> None:
        tried.append(group)
        raise Unavailable("no server")

    repairs = GroupRepairs(work, tasks.spawn, limit=1)
    for _ in range(2):
        repairs.ask("chat")
        await tasks.join()
    assert tried == ["chat", "chat"]
