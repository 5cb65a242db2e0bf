from __future__ import annotations

from typing import Any

import pytest

import servicebus
from servicebus import ConfigurationError, Context, InvalidRequest, Request, Service
from servicebus.contract.request import idempotency_of
from servicebus.resilience import idempotent, without_key
from servicebus.resilience.idempotency import repeatable

from ...support.policy_desk import Charge, Look, Note
from ...support.shop import calling


class Derived(Look, tag="derived"):
    """Another operation than the one it derives from."""


@pytest.mark.parametrize(
    ("message", "promised"),
    [
        (Look(), True),
        (Charge(amount=1), "keyed"),
        (Note(), False),
        (Derived(), False),
        ({"type": "look"}, False),
        (None, False),
    ],
    ids=str,
)
def test_the_contract_says_what_may_be_repeated(message: Any, promised: Any) -> None:
    assert idempotency_of(message) == promised


@pytest.mark.parametrize("value", ["yes", 1, None, ""])
def test_a_contract_says_true_false_or_keyed(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="Wrong: idempotent is True, False"):

        class Wrong(Request[int], idempotent=value): ...


def test_a_marked_request_is_still_a_value() -> None:
    assert Look(number=1) == Look(number=1)
    assert hash(Look(number=1)) == hash(Look(number=1))
    with pytest.raises(AttributeError):
        Look().number = 2  # type: ignore[misc]


def test_what_is_keyed_may_be_repeated_under_a_key_only() -> None:
    assert repeatable(Look())
    assert not repeatable(Charge(amount=1))
    with idempotent("order 1"):
        assert repeatable(Charge(amount=1))
        assert not repeatable(Note())


@pytest.mark.parametrize("key", ["", "x" * 129, 7, None, "a\nb"])
def test_what_is_not_a_key_is_refused(key: Any) -> None:
    with pytest.raises(InvalidRequest):
        with idempotent(key):
            raise AssertionError("inside")


async def test_a_key_travels_as_a_header_and_ends_at_a_service_that_lets_it_end(url: str) -> None:
    seen: dict[str, dict[str, str]] = {}

    def relay(name: str, onward: str, **options: Any) -> Service:
        service = Service(name, **options)

        @service.handler("ask")
        async def ask(message: dict[str, Any], context: Context) -> None:
            seen[name] = dict(context.headers)
            if onward:
                await context.bus.call(onward, {"type": "ask"})

        return service

    a, b, c = relay("a", "b.request"), relay("b", "c.request", middleware=[without_key]), relay("c", "")
    async with calling(url, a, b, c) as bus:
        with servicebus.context(headers={"tenant": "t1"}), idempotent("order 1"):
            await bus.call("a.request", {"type": "ask"})
    assert seen == {
        "a": {"tenant": "t1", "idempotency_key": "order 1"},
        "b": {"tenant": "t1"},
        "c": {"tenant": "t1"},
    }
