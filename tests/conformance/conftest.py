"""Layers on every transport, and on a channel layer that somebody else wrote."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from channels.layers import channel_layers

from ..support.transport import Everywhere, Layers

TRANSPORTS = ["memory", "redis", "sentinel", "cluster", "django"]

KNOWS_NO_WORKERS = "a foreign layer knows no workers, and refuses nothing for want of one"
TAKES_NOTHING_BACK = "a foreign layer gives back nothing that it has taken"
HAS_NO_INBOXES = "a foreign layer names its process-local channels itself, one for each reply"
MOVES_DICTS = "a foreign layer moves messages, not bytes"
KEEPS_MEMBERS = "a foreign layer does not tell who is in a group, and ends memberships in its own time"

CANNOT = {
    "test_a_message_to_an_inbox_reaches_the_process_that_reads_it": HAS_NO_INBOXES,
    "test_messages_are_bytes_that_nobody_looks_into": MOVES_DICTS,
    "test_a_message_that_needs_a_worker_is_refused_when_there_is_none": KNOWS_NO_WORKERS,
    "test_a_consumer_that_is_no_worker_is_not_taken_for_one": KNOWS_NO_WORKERS,
    "test_a_worker_counts_from_the_moment_it_is_ready_until_it_leaves": KNOWS_NO_WORKERS,
    "test_no_worker_is_said_within_50_ms": KNOWS_NO_WORKERS,
    "test_a_queued_message_can_be_taken_back_and_is_never_delivered": TAKES_NOTHING_BACK,
    "test_of_two_equal_messages_one_is_taken_back": TAKES_NOTHING_BACK,
    "test_of_many_messages_those_are_taken_back_that_are_still_queued": TAKES_NOTHING_BACK,
    "test_a_layer_holds_what_a_list_would_hold": TAKES_NOTHING_BACK,
    "test_subscribers_are_sorted_and_named_once": KEEPS_MEMBERS,
    "test_a_subscription_is_kept_until_it_is_given_up_and_ends_an_expiry_later": KEEPS_MEMBERS,
    "test_a_subscription_outlives_one_of_two_that_keep_it": KEEPS_MEMBERS,
}
"""What the tests of this directory ask of our own layers only."""


@pytest.fixture
def foreign() -> Iterator[str]:
    """The URL of a layer of channels."""
    alias = uuid.uuid4().hex
    yield f"django://{alias}"
    channel_layers.backends.pop(alias, None)


@pytest.fixture(params=TRANSPORTS)
def url(request: pytest.FixtureRequest) -> str:
    """A bus URL: of a fresh hub, of the real server, a primary behind Sentinels, a Cluster, a layer of channels."""
    if request.param == "django" and request.function.__name__ in CANNOT:
        pytest.skip(CANNOT[request.function.__name__])
    return url_on(request.param, request)


def url_on(transport: str, request: pytest.FixtureRequest) -> str:
    if transport in ("memory", "django"):
        found: str = request.getfixturevalue("fresh_hub" if transport == "memory" else "foreign")
        return found
    return str(request.getfixturevalue("server" if transport == "redis" else transport).url)


@pytest.fixture
async def everywhere(request: pytest.FixtureRequest) -> AsyncIterator[Everywhere]:
    """Every transport at once, for tests in which time has to pass: it passes once for all of them."""
    able = [name for name in TRANSPORTS if name != "django" or request.function.__name__ not in CANNOT]
    opened = {name: Layers(url_on(name, request)) for name in able}
    yield Everywhere(opened)
    for layers in opened.values():
        await layers.close()


@pytest.fixture
async def layers(url: str) -> AsyncIterator[Layers]:
    opened = Layers(url)
    yield opened
    await opened.close()
