"""Docstrings state the contract: what is raised, whether cancelling is safe, why a number is what it is."""

from __future__ import annotations

import pytest

from ...support.house import docstrings
from ...support.house.source import held, parse, sources

ERRORS = {"ServiceBusError", "Unavailable"}
"""The error classes of the planted modules."""


def test_public_modules_classes_and_functions_have_a_docstring() -> None:
    assert not held(docstrings.undocumented(sources("servicebus")))


def test_public_coroutines_say_whether_cancelling_is_safe() -> None:
    assert not held(docstrings.silent_about_cancelling(sources("servicebus")))


def test_public_functions_name_the_errors_that_they_raise() -> None:
    files = sources("servicebus")
    errors = docstrings.error_classes(files)
    assert {"ServiceBusError", "Unavailable", "ConfigurationError"} <= errors
    assert not held(docstrings.silent_about_errors(files, errors))


def test_numbers_have_their_unit_and_reason_in_a_docstring() -> None:
    assert not held(docstrings.bare_numbers(sources("servicebus")))


def test_what_has_no_docstring_is_found() -> None:
    planted = parse(
        "house/bare.py", "class Bare:\n    def method(self): ...\n\ndef function(): ...\n\ndef _private(): ...\n"
    )
    assert [(finding.line, finding.what.split()[0]) for finding in docstrings.undocumented([planted])] == [
        (1, "has"), (1, "Bare"), (4, "function"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("class_docstring", "docstring", "is_found"),
    [
        ("A layer.", "Send.", True),
        ("A layer.", "Send. Cancelling is safe: nothing is sent.", False),
        ("A layer.", "", True),
        ("A layer. See ``Layer``.", "", False),
        ("A layer. See ``Layer``.", "Send it twice.", True),
    ],
)
def test_a_coroutine_silent_about_cancelling_is_found(class_docstring: str, docstring: str, is_found: bool) -> None:
    text = f'class Given:\n    """{class_docstring}"""\n    async def send(self):\n        """{docstring}"""\n'
    assert bool(held(docstrings.silent_about_cancelling([parse("house/given.py", text)]))) is is_found


@pytest.mark.parametrize(
    ("docstring", "raised", "is_found"),
    [
        ("Open.", "raise Unavailable(1)", True),
        ("Open.\n\n    Raises:\n        Unavailable: often.\n    ", "raise Unavailable(1)", False),
        ("Open.", "raise ValueError", False),
        ("Open.", "raise errors.Unavailable", True),
        ("Open.", "def inner():\n        raise Unavailable", False),
    ],
)
def test_an_error_that_the_docstring_does_not_name_is_found(docstring: str, raised: str, is_found: bool) -> None:
    planted = parse("house/raises.py", f'def opened():\n    """{docstring}"""\n    {raised}\n')
    assert bool(held(docstrings.silent_about_errors([planted], ERRORS))) is is_found


def test_error_classes_are_found_through_their_bases() -> None:
    text = (
        "class ServiceBusError(Exception): ...\nclass Late(Unavailable): ...\nclass Unavailable(ServiceBusError): ...\n"
    )
    assert docstrings.error_classes([parse("house/errors.py", text)]) == {"ServiceBusError", "Late", "Unavailable"}


@pytest.mark.parametrize("number", ["A = 1", "A = -0.5", "A: int = 64 * 1024", "A = 1_000"])
def test_a_number_without_a_docstring_is_found(number: str) -> None:
    assert held(docstrings.bare_numbers([parse("house/numbers.py", number)]))
    assert not held(docstrings.bare_numbers([parse("house/numbers.py", f'{number}\n"""In seconds."""')]))


@pytest.mark.parametrize("other", ["A = True", "A = 'text'", "A = function(1)", "def f():\n    A = 1"])
def test_what_is_not_a_module_level_number_needs_no_docstring(other: str) -> None:
    assert not held(docstrings.bare_numbers([parse("house/numbers.py", other)]))
