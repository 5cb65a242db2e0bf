from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.foundation.text import CONTROL, printable


@given(st.text(st.characters()))
def test_what_is_made_printable_has_no_control_characters_and_stays_so(text: str) -> None:
    shown = printable(text)
    assert not CONTROL.search(shown)
    assert printable(shown) == shown


@given(st.text(st.characters(exclude_categories=["C", "Z"])) | st.just("naïve 価格 \N{NO-BREAK SPACE}€"))
def test_text_that_may_be_shown_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_what_is_not_shown_is_escaped() -> None:
    assert printable("a\nb\x1b[31m\u2028\u202e") == r"a\nb\x1b[31m\u2028\u202e"
