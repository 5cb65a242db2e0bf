"""What is text, a number, bytes or an instant goes as that, whatever class it is of."""

from __future__ import annotations

import enum
import uuid
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.utils.functional import SimpleLazyObject, lazystr
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy, ngettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from servicebus import RemoteError, Request, Service, ServiceBus, ServiceError
from servicebus.foundation.plain import EXACT, plain
from servicebus.foundation.text import as_text
from servicebus.layers.foreign.messages import frame_of
from servicebus.protocol.codec import encode, encode_sorted

from ...support.django_setup import set_up_django
from ...support.shop import CHANNEL
from ...support.strategies import bodies, texts


@pytest.fixture(autouse=True)
def translations() -> None:
    """Translations need Django's settings."""
    set_up_django()


def derived(base: type) -> type:
    """A class whose text says something else."""
    return type(
        f"Derived{base.__name__.title()}", (base,), {"__str__": lambda self: "no", "__repr__": lambda self: "no"}
    )


DERIVED = {base: derived(base) for base in (str, int, float, bytes, list, dict)}
INSTANT = datetime(2026, 11, 27, 20, 45, 1, 7, UTC)


def as_derived(value: Any) -> Any:
    """The same value, of derived classes all through."""
    if isinstance(value, dict):
        return DERIVED[dict]({as_derived(key): as_derived(one) for key, one in value.items()})
    if isinstance(value, list):
        return DERIVED[list](map(as_derived, value))
    return DERIVED[type(value)](value) if type(value) in DERIVED else value


@given(bodies)
def test_values_of_derived_classes_go_as_what_they_are(body: Any) -> None:
    assert encode(as_derived(body)) == encode(body)
    assert encode_sorted(as_derived(body)) == encode_sorted(body)


@given(st.dictionaries(texts, bodies, max_size=3))
def test_so_they_do_out_of_a_channel_layer(message: dict[str, Any]) -> None:
    assert frame_of({**as_derived(message)}, "", 0) == frame_of(message, "", 0)


class Color(str, enum.Enum):  # noqa: UP042 - its text is not its value
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (mark_safe("<b>"), "<b>"),
        (gettext_lazy("Monday"), "Monday"),
        (ngettext_lazy("%d day", "%d days", 2), "%d days"),
        (lazystr("later"), "later"),
        (SimpleLazyObject(lambda: "later"), "later"),
        (SimpleLazyObject(lambda: mark_safe("<b>")), "<b>"),
        (Color.RED, "red"),
        (derived(bytearray)(b"x"), b"x"),
        (derived(datetime)(2026, 11, 27, 20, 45, 1, 7, UTC), INSTANT),
        (derived(date)(2026, 11, 27), INSTANT.date()),
        (derived(timedelta)(seconds=1.5), timedelta(seconds=1.5)),
        (derived(Decimal)("1.50"), Decimal("1.50")),
        (derived(uuid.UUID)(int=3), uuid.UUID(int=3)),
        (OrderedDict(a=gettext_lazy("Monday")), {"a": "Monday"}),
        (UserDict(a=1), {"a": 1}),
        ({lazystr("Monday"): 1}, {"Monday": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_libraries_make_goes_as_what_it_is(value: Any, expected: Any) -> None:
    assert encode(value) == encode(expected)
    assert encode({"in": [value]}) == encode({"in": [expected]})


@pytest.mark.parametrize(
    "value",
    [object(), 1j, range(3), (one for one in [1]), SimpleLazyObject(object)],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_builtin_value_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="nothing that msgpack knows"):
        encode(value)


@pytest.mark.parametrize(("base", "exact"), EXACT)
def test_what_is_made_plain_is_of_a_builtin_class(base: Any, exact: Any) -> None:
    sample = INSTANT if base is datetime else INSTANT.date() if base is date else base()
    made = derived(base)(2026, 11, 27) if base in (date, datetime) else derived(base)()
    assert type(plain(made)) is (bytes if base is bytearray else type(sample))


@pytest.mark.parametrize("text", [mark_safe("<b>"), Color.RED, DERIVED[str]("so"), gettext_lazy("so"), "so"])
def test_the_text_of_a_part_of_an_error_is_its_own(text: Any) -> None:
    found = as_text(text)
    assert type(found) is str
    assert found in ("<b>", "red", "so")


class Greeting(msgspec.Struct):
    text: str


class Greet(Request[Greeting]):
    name: str
    times: int = 1


class Rude(ServiceError, code="tests_plain_rude"):
    word: str
    times: int


async def test_both_sides_of_a_call_may_use_them(fresh_hub: str) -> None:
    service = Service("shop")

    @service.handler
    async def greet(request: Greet) -> Greeting:
        if request.times != 1:
            raise Rude(word=mark_safe("no"), times=DERIVED[int](request.times))
        return Greeting(mark_safe(f"Hello, {request.name}"))

    @service.handler("raw")
    async def raw(message: dict[str, Any]) -> Any:
        if "code" in message:
            raise RemoteError(Color.RED, gettext_lazy("Monday"), {"n": DERIVED[int](1)})  # type: ignore[arg-type]
        return {"day": gettext_lazy("Monday"), "n": DERIVED[int](1)}

    async with ServiceBus(fresh_hub) as bus, bus.serving(service):
        assert (await bus.call(CHANNEL, Greet(name=mark_safe("A")))).text == "Hello, A"
        assert await bus.call(mark_safe(CHANNEL), as_derived({"type": "raw"})) == {"day": "Monday", "n": 1}
        with pytest.raises(Rude) as rude:
            await bus.call(CHANNEL, Greet(name="A", times=DERIVED[int](2)))
        assert (rude.value.word, rude.value.times) == ("no", 2)
        again: Any = type(rude.value)
        assert again(*rude.value.args).details == {"word": "no", "times": 2}
        with pytest.raises(RemoteError, match="red: Monday") as remote:
            await bus.call(CHANNEL, {"type": "raw", "code": 1})
        assert remote.value.details == {"n": 1}


def test_the_arguments_of_an_error_are_builtin_values() -> None:
    error = Rude(word=mark_safe("no"), times=DERIVED[int](2))
    assert error.args == (Rude.code, error.message, {"word": "no", "times": 2})
    assert [type(one) for one in error.args[2].values()] == [str, int]
