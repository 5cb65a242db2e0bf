"""The rooms that a check does not hold yet, as prefixes of paths. A room that is clean loses its line here."""

from __future__ import annotations

CIRCLES: tuple[str, ...] = ()

CLASSES: tuple[str, ...] = ("servicebus/layers/redis/", "servicebus/bus.py")

FUNCTIONS: tuple[str, ...] = ()

MODULES: tuple[str, ...] = ()

DOCSTRINGS: tuple[str, ...] = ()

CANCELLING: tuple[str, ...] = ("servicebus/layers/redis/",)

RAISES: tuple[str, ...] = ("servicebus/layers/redis/",)

NUMBERS: tuple[str, ...] = ("servicebus/layers/redis/",)

TEST_NAMES: tuple[str, ...] = ()

TEST_IMPORTS: tuple[str, ...] = ()

WORDS: tuple[str, ...] = ("servicebus/layers/redis/", "tests/unit/house/")

TERMS: tuple[str, ...] = ("reconnecting connection",)
"""Terms of the glossary that no code uses yet."""
