"""The rooms that a check does not hold yet, as prefixes of paths. A room that is clean loses its line here."""

from __future__ import annotations

CIRCLES: tuple[str, ...] = ("servicebus/",)

CLASSES: tuple[str, ...] = (
    "servicebus/bus.py",
    "servicebus/calling/",
    "servicebus/layers/redis/",
    "servicebus/protocol/",
    "servicebus/serving/",
)

FUNCTIONS: tuple[str, ...] = ()

MODULES: tuple[str, ...] = ("servicebus/bus.py",)

DOCSTRINGS: tuple[str, ...] = ()

CANCELLING: tuple[str, ...] = (
    "servicebus/bus.py",
    "servicebus/calling/",
    "servicebus/contrib/",
    "servicebus/layers/foreign/",
    "servicebus/layers/redis/",
    "servicebus/serving/",
)

RAISES: tuple[str, ...] = (
    "servicebus/api/",
    "servicebus/bus.py",
    "servicebus/calling/",
    "servicebus/config.py",
    "servicebus/contract/",
    "servicebus/layers/foreign/",
    "servicebus/layers/redis/",
    "servicebus/protocol/",
    "servicebus/serving/",
)

NUMBERS: tuple[str, ...] = (
    "servicebus/api/",
    "servicebus/bus.py",
    "servicebus/calling/",
    "servicebus/contrib/",
    "servicebus/layers/foreign/",
    "servicebus/layers/redis/",
    "servicebus/protocol/",
    "servicebus/serving/",
)

TEST_NAMES: tuple[str, ...] = (
    "tests/conformance/test_delivery.py",
    "tests/conformance/test_presence.py",
    "tests/conformance/test_refusal.py",
    "tests/integration/bus/",
    "tests/integration/contrib/",
    "tests/integration/foreign/",
    "tests/integration/redis/",
    "tests/unit/layers/",
    "tests/unit/protocol/",
    "tests/unit/test_errors.py",
)

TEST_IMPORTS: tuple[str, ...] = ()

WORDS: tuple[str, ...] = (
    "docs/adr/0002-delivery.md",
    "docs/adr/0007-retries.md",
    "docs/adr/0008-signatures.md",
    "docs/architecture.md",
    "docs/spec.md",
    "docs/topics/acl.md",
    "docs/topics/performance.md",
    "docs/topics/security.md",
    "servicebus/bus.py",
    "servicebus/calling/",
    "servicebus/contrib/",
    "servicebus/layers/delivery.py",
    "servicebus/layers/foreign/",
    "servicebus/layers/redis/",
    "servicebus/protocol/",
    "servicebus/serving/",
    "tests/integration/bus/",
    "tests/integration/foreign/",
    "tests/integration/redis/",
    "tests/support/runworker_site/",
    "tests/unit/house/",
    "tests/unit/protocol/",
)

TERMS: tuple[str, ...] = (
    "reconnecting connection",
    "arming",
    "observer",
    "cancel notice",
)
"""Terms of the glossary that no code uses yet."""
