from __future__ import annotations

import asyncio
from typing import Any

import pytest

from servicebus.layers.foreign.outbox import ForeignSender
from servicebus.layers.foreign.reply_channels import WAKE_UP, ReplyChannels
from servicebus.layers.foreign.timing import ForeignTiming
from servicebus.protocol.codec import MAX_FRAME, decode_raw
from servicebus.protocol.credit import Credit

from ....support.failing_layer import FailingLayer
from ....support.timing import MS, eventually
from ....support.transport import Sent

INBOX = "0123456789abcdef!"
REPLY_CHANNEL = f"response.shop.{INBOX}call-1"
TIMING = ForeignTiming(verdict_within=10 * MS, wake_up_within=20 * MS)


class Received:
    """An inbox with its sink."""

    def __init__(self, foreign: FailingLayer) -> None:
        self.replies = ReplyChannels(foreign, ForeignSender(foreign, 5.0).send_now, 60.0, TIMING, lambda: 1000)
        self.frames: list[bytes] = []
        self.credit = Credit(10)
        self.inbox = self.replies.consume(INBOX, self._sink, self.credit)

    def _sink(self, frames: list[bytes], fence: int) -> None:
        self.frames += frames

    async def request(self, delivery: Sent, **fields: Any) -> dict[str, Any]:
        message = {"type": "reserve", "reply_channel": REPLY_CHANNEL, **fields}
        return await self.replies.redirect(delivery, message)


@pytest.fixture
def received(foreign: FailingLayer) -> Received:
    return Received(foreign)


async def test_a_reply_comes_to_the_inbox_under_its_local_name(foreign: FailingLayer, received: Received) -> None:
    delivery = Sent()
    sent = await received.request(delivery)
    assert (sent["caller"], sent["correlation_id"]) == ("shop", "call-1")
    assert not sent["reply_channel"].startswith("response.")
    received.replies.expect(delivery, awaited=True)
    await foreign.send(sent["reply_channel"], {"type": "reply", "body": 7})
    await eventually(lambda: len(received.frames) == 1)
    frame = decode_raw(received.frames[0], MAX_FRAME)
    assert frame.local.endswith("!call-1")
    assert frame.expires == 61_000
    assert received.credit.held == 1
    await received.inbox.stop()


async def test_a_message_without_a_reply_channel_of_ours_is_sent_as_it_is(received: Received) -> None:
    for message in ({"type": "n"}, {"type": "n", "reply_channel": "specific.other!x"}):
        assert await received.replies.redirect(Sent(), message) is message


async def test_what_the_request_states_itself_is_kept(received: Received) -> None:
    delivery = Sent()
    sent = await received.request(delivery, caller="gateway", correlation_id="abc")
    assert (sent["caller"], sent["correlation_id"]) == ("gateway", "abc")
    received.replies.expect(delivery, awaited=False)


async def test_a_request_that_was_not_sent_is_not_received_for(foreign: FailingLayer, received: Received) -> None:
    delivery = Sent()
    await received.request(delivery)
    received.replies.expect(delivery, awaited=False)
    await received.inbox.stop()
    assert foreign.receiving == {}


async def test_receiving_ends_a_moment_after_the_deadline(foreign: FailingLayer, received: Received) -> None:
    delivery = Sent()
    sent = await received.request(delivery, deadline=1005)
    received.replies.expect(delivery, awaited=True)
    await eventually(lambda: foreign.receiving.get(sent["reply_channel"]) == 0)
    assert [(channel, message) for channel, message in foreign.sent] == [(sent["reply_channel"], WAKE_UP)]
    assert received.frames == []


async def test_a_shortened_wait_ends_before_its_deadline(foreign: FailingLayer, received: Received) -> None:
    delivery = Sent()
    sent = await received.request(delivery, deadline=3_600_000)
    received.replies.expect(delivery, awaited=True)
    await eventually(lambda: foreign.receiving.get(sent["reply_channel"]) == 1)
    received.replies.shorten(delivery)
    await eventually(lambda: foreign.receiving[sent["reply_channel"]] == 0)


async def test_a_receive_that_cannot_be_woken_is_cancelled(foreign: FailingLayer, received: Received) -> None:
    delivery = Sent()
    sent = await received.request(delivery)
    received.replies.expect(delivery, awaited=True)
    await eventually(lambda: foreign.receiving.get(sent["reply_channel"]) == 1)
    foreign.send_error = OSError("gone")
    await received.inbox.stop()
    assert foreign.receiving[sent["reply_channel"]] == 0


async def test_a_stopped_inbox_receives_no_reply(foreign: FailingLayer, received: Received) -> None:
    before, after = Sent(), Sent()
    await received.request(before)
    await received.inbox.stop()
    await received.inbox.stop()
    received.replies.expect(before, awaited=True)
    message = {"type": "reserve", "reply_channel": REPLY_CHANNEL}
    assert await received.replies.redirect(after, message) is message
    assert foreign.receiving == {}


async def test_stopping_goes_on_when_the_wait_for_it_is_cancelled(foreign: FailingLayer, received: Received) -> None:
    delivery = Sent()
    sent = await received.request(delivery)
    received.replies.expect(delivery, awaited=True)
    await eventually(lambda: foreign.receiving.get(sent["reply_channel"]) == 1)
    stopping = asyncio.create_task(received.inbox.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    await eventually(lambda: foreign.receiving[sent["reply_channel"]] == 0)
    await received.inbox.stop()


async def test_a_reply_that_is_no_message_is_dropped(foreign: FailingLayer, received: Received) -> None:
    delivery = Sent()
    sent = await received.request(delivery)
    received.replies.expect(delivery, awaited=True)
    await foreign.send(sent["reply_channel"], {"type": "reply", "body": object()})
    await eventually(lambda: foreign.receiving.get(sent["reply_channel"]) == 0)
    await received.inbox.stop()
    assert (received.frames, received.credit.held) == ([], 0)
