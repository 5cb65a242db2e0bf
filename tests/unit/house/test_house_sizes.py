"""Classes, functions and modules are small enough to be read at one go."""

from __future__ import annotations

from ...support.house import sizes
from ...support.house.source import held, parse, sources

EXCEPTIONS: dict[str, str] = {
    "servicebus.bus.ServiceBus": "ADR 11",
    "servicebus.layers.redis.sending.pipeline.Pipeline": "ADR 11",
    "servicebus.layers.redis.topology.cluster.ClusterNodes": "ADR 11",
}
"""Classes over the class rule, with the ADR that gives the reason."""

MOST_EXCEPTIONS = 6
"""Entries of ``EXCEPTIONS``, at most: a rule with more exceptions is not kept."""


def test_no_class_is_over_the_class_rule() -> None:
    big = {size.name for size in sizes.class_sizes(sources("servicebus")) if size.is_over}
    assert not held(sizes.big_classes(sources("servicebus"), EXCEPTIONS))
    not_needed = set(EXCEPTIONS) - big
    assert not not_needed, f"no longer over the class rule; remove from EXCEPTIONS: {sorted(not_needed)}"


def test_exceptions_to_the_class_rule_are_few() -> None:
    assert len(EXCEPTIONS) <= MOST_EXCEPTIONS


def test_no_function_is_longer_than_a_screen() -> None:
    assert not held(sizes.long_functions(sources("servicebus")))


def test_no_module_is_too_long() -> None:
    assert not held(sizes.long_modules(sources("servicebus")))


def test_few_modules_lie_loose_at_the_top_of_the_package() -> None:
    loose = sizes.loose_modules(sources("servicebus"))
    assert len(loose) <= sizes.LOOSE_MODULES, f"move one of {loose} to the room whose work it does"


def test_a_class_with_too_many_attributes_is_found() -> None:
    sets = "".join(f"        self.a{number} = {number}\n" for number in range(sizes.CLASS_ATTRIBUTES + 1))
    planted = parse("house/big.py", f"class Big:\n    def __init__(self) -> None:\n{sets}")
    assert "house/big.py:1: house.big.Big has 15 lines, 1 methods, 13 attributes" in held(
        sizes.big_classes([planted]), ()
    )


def test_attributes_set_together_are_counted_one_by_one() -> None:
    planted = parse(
        "house/pair.py", "class Pair:\n    def __init__(self, one, two):\n        self.one, self.two = one, two\n"
    )
    assert [size.attributes for size in sizes.class_sizes([planted])] == [2]


def test_overloads_are_not_counted_as_methods() -> None:
    methods = "    @overload\n    def get(self): ...\n" * 20
    planted = parse("house/typed.py", f"class Typed:\n{methods}    def get(self): ...\n")
    assert [size.methods for size in sizes.class_sizes([planted])] == [1]


def test_a_long_function_and_a_long_module_are_found() -> None:
    lines = "    x = 1\n" * sizes.MODULE_LINES
    planted = [parse("house/long.py", f"def long():\n{lines}")]
    assert "long has 401 lines (at most 50)" in held(sizes.long_functions(planted))
    assert "house/long.py:401: has 401 lines (at most 400)" in held(sizes.long_modules(planted))
