"""What a worker says of a reply that it cannot send."""

from __future__ import annotations

from typing import Any

import pytest

from servicebus import RemoteError, Service, ServiceBus, context


async def test_the_log_names_the_operation_call_and_type_of_a_bad_reply(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service("shop")

    @service.handler("thing")
    async def thing(message: dict[str, Any]) -> object:
        return object()

    async with ServiceBus(url) as bus, bus.serving(service):
        with context(correlation_id="c-1"), pytest.raises(RemoteError, match="reply_not_encodable"):
            await bus.call("shop.request", {"type": "thing"})
    (record,) = [one for one in caplog.records if one.name == "servicebus.serving.replies"]
    assert record.getMessage() == "the reply of 'thing' cannot be encoded (correlation ID 'c-1')"
    assert "objects of type 'object' are nothing that msgpack knows" in caplog.text
