from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servicebus.resilience.gate import Gate


def test_a_place_that_gets_free_belongs_to_who_waited_longest() -> None:
    gate: Gate[str] = Gate(1, 2)
    assert gate.enter()
    assert not gate.enter()
    assert [gate.join("a"), gate.join("b"), gate.join("c")] == [True, True, False]
    assert gate.leave() == "a"
    assert not gate.withdraw("a")
    assert gate.withdraw("b")
    assert gate.leave() is None
    assert (gate.inside, gate.waiting) == (0, 0)


@given(
    limit=st.integers(1, 4),
    queue=st.integers(0, 4),
    steps=st.lists(st.tuples(st.sampled_from(["come", "leave", "withdraw"]), st.integers(0, 9)), max_size=100),
)
def test_no_more_than_the_limit_are_inside_and_all_come_in_turn(
    limit: int, queue: int, steps: list[tuple[str, int]]
) -> None:
    gate: Gate[int] = Gate(limit, queue)
    inside: list[int] = []
    line: list[int] = []
    for who, (act, which) in enumerate(steps):
        if act == "come":
            if gate.enter():
                assert not line
                inside.append(who)
            elif gate.join(who):
                line.append(who)
            else:
                assert len(line) == queue
        elif act == "leave" and inside:
            inside.pop(which % len(inside))
            following = gate.leave()
            assert following == (line[0] if line else None)
            if following is not None:
                inside.append(line.pop(0))
        elif act == "withdraw" and line:
            assert gate.withdraw(line.pop(which % len(line)))
        assert (gate.inside, gate.waiting) == (len(inside), len(line))
        assert len(inside) <= limit
        assert not line or len(inside) == limit
