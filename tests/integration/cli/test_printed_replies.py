"""What ``servicebus call`` prints cannot control a terminal, and is the reply."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from servicebus.cli.call import _shown

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.recursive(texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10))
def test_a_printed_reply_is_printable_json_of_the_reply(reply: Any) -> None:
    printed = _shown(reply).decode()
    assert printed.replace("\n", "").isprintable()
    assert json.loads(printed) == reply


def test_characters_that_control_a_terminal_are_escaped() -> None:
    assert _shown("\x9b\u202e\x7f\u2028\x1bß") == '"\\u009b\\u202e\\u007f\\u2028\\u001bß"'.encode()
