"""The EVALSHA command of a script, over every number of keys and arguments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.redis.schema.scripts import ALL, Script

PARTS = st.lists(st.one_of(st.binary(), st.text()), max_size=5)


@given(script=st.sampled_from(ALL), keys=PARTS, arguments=PARTS)
def test_a_command_counts_its_keys_and_puts_them_first(
    script: Script, keys: list[bytes | str], arguments: list[bytes | str]
) -> None:
    name, sha, count, *rest = script.command(keys, *arguments)
    assert (name, sha, count) == (b"EVALSHA", script.sha, str(len(keys)).encode())
    assert rest == [*keys, *arguments]
