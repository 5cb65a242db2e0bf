from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.contract.decoding import MAX_DECLARED, SMALL_BODY, SMALL_MAP, body_decoder, check_cost

from ...support.collisions import colliding_map, colliding_tuples
from ...support.strategies import scalars, texts


class Bag(msgspec.Struct):
    stock: dict[UUID, int] = {}
    again: Bag | None = None


class Open(msgspec.Struct):
    fields: dict[str, Any]


keys = texts | st.binary(max_size=9) | st.integers(-(2**63), 2**63) | st.tuples(st.integers(0, 9)) | st.booleans()
plain = st.recursive(
    scalars | st.lists(st.integers(0, 9), max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=20),
    max_leaves=20,
)


def has_costly_map(value: Any) -> bool:
    if isinstance(value, dict):
        costly = len(value) > SMALL_MAP and any(not isinstance(key, str | bytes) for key in value)
        return costly or any(map(has_costly_map, value.values()))
    return isinstance(value, list) and any(map(has_costly_map, value))


def is_refused(body: bytes, limit: int = 0) -> bool:
    try:
        check_cost(body, limit)
    except msgspec.ValidationError:
        return True
    return False


@given(plain)
def test_only_large_maps_with_keys_that_are_no_text_are_refused(value: Any) -> None:
    assert is_refused(msgspec.msgpack.encode(value)) == has_costly_map(value)


@given(st.binary(max_size=200).map(lambda tail: b"\xde\x00\x20" + tail))
def test_any_bytes_are_refused_in_one_way_or_left_to_the_decoder(body: bytes) -> None:
    is_refused(body)
    is_refused(body, MAX_DECLARED)


LARGE = max(SMALL_BODY // 8, 300)
COSTLY = {
    "tuples": colliding_map(LARGE),
    "numbers": msgspec.msgpack.encode({number << 40: 0 for number in range(LARGE)}),
    "one str among tuples": msgspec.msgpack.encode({"type": "x", **dict.fromkeys(colliding_tuples(LARGE), 0)}),
    "tuples in a list": msgspec.msgpack.encode([1, "x", [dict.fromkeys(colliding_tuples(LARGE), 0)]]),
    "instants": msgspec.msgpack.encode({datetime.fromisoformat("2026-01-01T00:00Z"): 0})[1:] * LARGE,
}
COSTLY["instants"] = b"\xde" + LARGE.to_bytes(2, "big") + COSTLY["instants"]


@pytest.mark.parametrize("name", COSTLY)
@pytest.mark.parametrize("declared", [Any, dict[str, Any] | list[Any], Open])
def test_plain_values_are_not_decoded_when_their_keys_may_collide(name: str, declared: Any) -> None:
    body = COSTLY[name]
    if declared is Open:
        body = b"\x81\xa6fields\x81\xa1x" + body
    with pytest.raises(msgspec.ValidationError, match="no str"):
        body_decoder(declared)(body)


@pytest.mark.parametrize(
    "declared", [Bag, set[int], frozenset[tuple[int, int]], dict[UUID, int], dict[Decimal, str], list[set[Decimal]]]
)
def test_declared_keys_that_may_collide_are_bounded_in_number(declared: Any) -> None:
    arrays = b"\xdd" + (MAX_DECLARED + 1).to_bytes(4, "big") + b"\xcc\x80" * (MAX_DECLARED + 1)
    with pytest.raises(msgspec.ValidationError, match=f"over the limit of {MAX_DECLARED}"):
        body_decoder(declared)(arrays)


def test_declared_keys_within_the_limit_are_decoded() -> None:
    stock = {UUID(int=number): number for number in range(MAX_DECLARED)}
    assert body_decoder(Bag)(msgspec.msgpack.encode(Bag(stock))) == Bag(stock)


@pytest.mark.parametrize("declared", [int, list[str], dict[str, int], dict[bytes, list[float]]])
def test_types_by_str_alone_are_decoded_without_a_check(declared: Any) -> None:
    assert body_decoder(declared).__name__ == "decode"


def test_maps_within_maps_are_not_followed_for_ever() -> None:
    assert is_refused(b"\xde\x00\x10" + b"\xa1x\x91" * 100_000 + b"\xde")
