"""Frames of 64 KiB that would become something large: reading one costs a worker next to nothing."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from servicebus.config import DEFAULT_MAX_MESSAGE_SIZE
from servicebus.contract.decoding import body_decoder
from servicebus.protocol.bundles import unbundled
from servicebus.protocol.codec import (
    UNDECODABLE,
    MalformedFrame,
    decode_reply,
    decode_request,
)

from ...support.collisions import colliding_map
from ...support.faults.record import Figures

MEBIBYTE = 2**20
HEAD = b"\x94\x00\x00\xa0"
ROOM = DEFAULT_MAX_MESSAGE_SIZE - len(HEAD)
MAP_WITH_BODY = b"\x82\xa4type\xa1x\xa4body"
BODY_ROOM = ROOM - len(MAP_WITH_BODY)
ARRAY = b"\xdd" + (BODY_ROOM - 5).to_bytes(4, "big")
BOMBS = {
    "arrays in arrays": HEAD + b"\x91" * ROOM,
    "maps in maps": HEAD + b"\x81\xa1x" * (ROOM // 3),
    "an array that promises four billion elements": HEAD + b"\xdd\xff\xff\xff\xff",
    "a map that promises four billion entries": HEAD + b"\xdf\xff\xff\xff\xff",
    "a str that promises four gigabytes": HEAD + b"\xdb\xff\xff\xff\xff",
    "bytes that promise four gigabytes": HEAD + b"\xc6\xff\xff\xff\xff",
    "an extension that promises four gigabytes": HEAD + b"\xc9\xff\xff\xff\xff\x01",
    "arrays in the body's arrays": HEAD + MAP_WITH_BODY + b"\x91" * BODY_ROOM,
    "many empty maps": HEAD + MAP_WITH_BODY + ARRAY + b"\x80" * (BODY_ROOM - 5),
    "many empty arrays": HEAD + MAP_WITH_BODY + ARRAY + b"\x90" * (BODY_ROOM - 5),
}


BUNDLES = {
    "a bundle of empty frames": b"\x91\xdc\x7f\xfa" + b"\xc4\x00" * 32_762,
    "a bundle that promises four billion frames": b"\x91\xdd\xff\xff\xff\xff",
    "a bundle of a frame that promises four gigabytes": b"\x91\x91\xc6\xff\xff\xff\xff",
    "bundles in bundles": b"\x91" * DEFAULT_MAX_MESSAGE_SIZE,
}

HONEST = HEAD + MAP_WITH_BODY + msgspec.msgpack.encode([[1, 2]] * (BODY_ROOM // 3 - 1))
"""A message of the same size that a client may well send: a list of pairs, of which each is an object to create too."""
MAX_RATIO = 3
"""How many times as long as ``HONEST`` a bomb may take. The worst holds three times as many objects."""


@pytest.mark.row(29)
@pytest.mark.parametrize("name", [*BOMBS, *BUNDLES])
def test_a_bomb_costs_little_memory_and_time(name: str, figures: Figures) -> None:
    bomb, reading = (BOMBS[name], read) if name in BOMBS else (BUNDLES[name], opened)
    assert len(bomb) <= DEFAULT_MAX_MESSAGE_SIZE
    # In alternation with an honest message, and the least of many: busy processes beside this one slow both down.
    costs = [(cpu_seconds(bomb, reading), cpu_seconds(HONEST, read)) for _ in range(100)]
    seconds, honest = map(min, zip(*costs, strict=True))
    tracemalloc.start()
    try:
        reading(bomb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    figures(29, f"{name}: {seconds * 1000:.2f} ms, {seconds / honest:.2f} honest messages, {peak / MEBIBYTE:.1f} MiB")
    assert seconds <= MAX_RATIO * honest
    assert peak <= 8 * MEBIBYTE


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_that_is_a_bomb_stays_closed(name: str) -> None:
    assert unbundled([BUNDLES[name]]) == [BUNDLES[name]]


COSTLY = {
    "plain values": colliding_map(40_000),
    "behind a str": b"\xdf\x00\x00\x9c\x41\xa1x\x00" + colliding_map(40_000)[3:],
    "in a list": b"\x91" + colliding_map(40_000),
}
"""Bodies of half a megabyte that kept a reader busy for eight seconds."""


@pytest.mark.row(46)
@pytest.mark.parametrize("name", COSTLY)
def test_keys_that_collide_cost_no_more_than_their_bytes(name: str, figures: Figures) -> None:
    body = COSTLY[name]
    honest = msgspec.msgpack.encode([[1, 2]] * (len(body) // 3))
    decode = body_decoder(Any)
    costs = [(cpu_seconds(body, plain_values), cpu_seconds(honest, decode)) for _ in range(20)]
    seconds, least = map(min, zip(*costs, strict=True))
    figures(46, f"{len(body):,} bytes of keys that collide, {name}: refused after {seconds * 1000:.2f} ms")
    assert seconds <= MAX_RATIO * least


def plain_values(body: bytes) -> None:
    """As a caller reads an untyped reply."""
    with suppress(*UNDECODABLE):
        body_decoder(Any)(body)


def opened(bomb: bytes) -> None:
    """As a caller does."""
    for frame in unbundled([bomb]):
        with suppress(MalformedFrame):
            decode_reply(frame, DEFAULT_MAX_MESSAGE_SIZE)


def cpu_seconds(bomb: bytes, how: Callable[[bytes], None]) -> float:
    before = time.thread_time()
    how(bomb)
    return time.thread_time() - before


def read(bomb: bytes) -> None:
    """As a worker does: the frame, then the body."""
    with suppress(MalformedFrame, *UNDECODABLE):
        body_decoder(Any)(decode_request(bomb, DEFAULT_MAX_MESSAGE_SIZE).message.body)
