from __future__ import annotations

from itertools import pairwise, product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicebus.resilience.circuit import TRANSITIONS, Change, Circuit, State, Tolerance

TOLERANCE = Tolerance(failures=3, of=5, within=10.0, rest=5.0, probes=2)


def after(outcomes: str, every: float = 0.1, tolerance: Tolerance = TOLERANCE) -> tuple[Circuit, float]:
    """A circuit that has seen ``outcomes``: ``+`` good, ``-`` bad, ``.`` telling nothing."""
    circuit, now = Circuit(tolerance), 0.0
    for outcome in outcomes:
        permit = circuit.admit(now)
        assert permit is not None
        circuit.settle(permit, {"+": True, "-": False, ".": None}[outcome], now)
        now += every
    return circuit, now


def half_open() -> tuple[Circuit, int]:
    circuit, now = after("---")
    permit = circuit.admit(now + 5.0)
    assert permit is not None
    return circuit, permit


def test_the_table_leads_through_every_state_and_has_no_dead_end() -> None:
    assert set(product(State, get_args(Change))) >= set(TRANSITIONS)
    assert {state for state, _ in TRANSITIONS} == set(TRANSITIONS.values()) == set(State)
    assert {change for _, change in TRANSITIONS} == set(get_args(Change))


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ("", State.CLOSED),
        ("++++", State.CLOSED),
        ("--", State.CLOSED),
        ("---", State.OPEN),
        ("-+-+-", State.OPEN),
        ("-++-+-", State.CLOSED),  # the first of them is the sixth last
        ("......", State.CLOSED),
        ("-..-..-", State.OPEN),
    ],
)
def test_so_many_failures_of_so_many_outcomes_open_it(outcomes: str, state: State) -> None:
    assert after(outcomes)[0].state is state


def test_old_failures_do_not_count() -> None:
    assert after("---", every=6.0)[0].state is State.CLOSED
    assert after("---", every=4.0)[0].state is State.OPEN


def test_open_it_refuses_until_it_has_rested() -> None:
    circuit, now = after("---")
    opened = now - 0.1
    assert circuit.admit(opened + 4.9) is None
    assert circuit.retry_after(opened + 4.0) == pytest.approx(1.0)
    assert circuit.admit(opened + 5.0) is not None
    assert circuit.state is State.HALF_OPEN
    assert circuit.retry_after(opened + 5.0) == 0.0


def test_half_open_it_lets_so_many_probes_through_at_once() -> None:
    circuit, first = half_open()
    assert circuit.admit(6.0) is not None
    assert circuit.admit(6.0) is None
    circuit.settle(first, None, 6.0)
    assert circuit.admit(6.0) is not None


def test_as_many_good_probes_close_it() -> None:
    circuit, permit = half_open()
    circuit.settle(permit, True, 6.0)
    states = [circuit.state]
    again = circuit.admit(6.0)
    assert again is not None
    circuit.settle(again, True, 6.0)
    assert [*states, circuit.state] == [State.HALF_OPEN, State.CLOSED]


def test_one_bad_probe_opens_it_again_for_as_long() -> None:
    circuit, permit = half_open()
    circuit.settle(permit, False, 7.0)
    assert circuit.state is State.OPEN
    assert circuit.admit(11.9) is None
    assert circuit.admit(12.0) is not None


def test_what_was_let_through_before_says_nothing_about_a_later_state() -> None:
    circuit = Circuit(TOLERANCE)
    permits = [circuit.admit(0.0) for _ in range(5)]
    for permit in permits[:3]:
        circuit.settle(permit or 0, False, 0.0)
    assert circuit.admit(5.0) is not None
    circuit.settle(permits[3] or 0, False, 5.0)
    circuit.settle(permits[4] or 0, True, 5.0)
    assert circuit.state is State.HALF_OPEN
    assert circuit.admit(5.0) is not None
    assert circuit.admit(5.0) is None


@given(
    tolerance=st.builds(
        Tolerance,
        failures=st.integers(1, 4),
        of=st.integers(4, 8),
        within=st.floats(0.1, 5),
        rest=st.floats(0.1, 5),
        probes=st.integers(1, 3),
    ),
    steps=st.lists(
        st.tuples(st.sampled_from(["admit", "good", "bad", "nothing"]), st.floats(0, 2), st.integers(0, 9)), max_size=80
    ),
)
def test_whatever_happens_it_keeps_to_the_table_and_to_its_probes(
    tolerance: Tolerance, steps: list[tuple[str, float, int]]
) -> None:
    circuit, now = Circuit(tolerance), 0.0
    held: list[tuple[int, State]] = []
    states = [circuit.state]
    for act, seconds, which in steps:
        now += seconds
        if act == "admit":
            before = circuit.state
            permit = circuit.admit(now)
            assert not (permit is None and before is State.CLOSED)
            if permit is not None:
                assert circuit.state is not State.OPEN
                held.append((permit, circuit.state))
        elif held:
            permit, _ = held.pop(which % len(held))
            circuit.settle(permit, {"good": True, "bad": False, "nothing": None}[act], now)
        states.append(circuit.state)
        probing = [permit for permit, state in held if state is State.HALF_OPEN and permit == circuit._epoch]
        assert len(probing) <= tolerance.probes
    legal = {(before, after) for (before, _), after in TRANSITIONS.items()}
    assert {pair for pair in pairwise(states) if pair[0] is not pair[1]} <= legal
    # Each settled permit frees its place, so the circuit never stays closed to messages.
    for permit, _ in held:
        circuit.settle(permit, None, now)
    assert circuit.admit(now + tolerance.rest) is not None
