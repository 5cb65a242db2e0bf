"""The groups of a hub against a count of subscribers and the instant of the last ``unsubscribe``."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.layers.memory.groups import Groups, Subscription

EXPIRY = 3
GROUPS, CHANNELS = ["placed", "paid"], ["a.events", "b.events"]
steps = st.lists(
    st.tuples(st.booleans(), st.sampled_from(GROUPS), st.sampled_from(CHANNELS), st.integers(0, 4)), max_size=40
)


@given(steps)
def test_a_channel_is_in_a_group_while_it_is_kept_and_an_expiry_longer(
    steps: list[tuple[bool, str, str, int]],
) -> None:
    groups, now = Groups(), 0
    keepers = {(group, channel): 0 for group in GROUPS for channel in CHANNELS}
    ends: dict[tuple[str, str], int] = {}
    for subscribes, group, channel, passed in steps:
        now += passed
        key = (group, channel)
        if subscribes:
            groups.subscribe(group, channel)
            keepers[key] += 1
        elif keepers[key]:
            groups.unsubscribe(group, channel, now + EXPIRY)
            keepers[key] -= 1
            ends[key] = now + EXPIRY
        for one in GROUPS:
            expected = [name for name in CHANNELS if keepers[one, name] or ends.get((one, name), now) > now]
            assert groups.channels(one, now) == expected


@given(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9))
def test_a_subscription_holds_while_it_is_kept_or_has_not_ended(keepers: int, ends: int, now: int) -> None:
    assert Subscription(keepers, ends).holds(now) == (keepers > 0 or now < ends)


def test_a_new_subscription_that_nobody_keeps_holds_at_no_instant() -> None:
    assert not Subscription().holds(-1e9)
