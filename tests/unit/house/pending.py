"""The rooms that a check does not hold yet, as prefixes of paths. A room that is clean loses its line here."""

from __future__ import annotations

CIRCLES: tuple[str, ...] = ()

CLASSES: tuple[str, ...] = ()

FUNCTIONS: tuple[str, ...] = ()

MODULES: tuple[str, ...] = ()

DOCSTRINGS: tuple[str, ...] = ()

CANCELLING: tuple[str, ...] = ()

RAISES: tuple[str, ...] = ()

NUMBERS: tuple[str, ...] = ()

TEST_NAMES: tuple[str, ...] = ()

TEST_IMPORTS: tuple[str, ...] = ()

WORDS: tuple[str, ...] = ("tests/unit/house/pending.py",)

TERMS: tuple[str, ...] = ()
"""Terms of the glossary that no code uses yet."""
