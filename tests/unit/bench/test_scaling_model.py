from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bench.model import (
    SLOTS,
    Cost,
    Point,
    bounds,
    check,
    fitted,
    primary_of,
    projected,
    slot_of,
    speedup,
)

COSTS = {"client": Cost(7, 9), "worker": Cost(5, 8), "server": Cost(1.5, 14)}


def point(**changes: float) -> Point:
    values = {"in_flight": 256, "workers": 1, "commands": 0.0, "handler_us": 0.0, "measured": 0.0} | changes
    return Point("a point", **values)  # type: ignore[arg-type] # the integers stay integers


def test_a_fitted_cost_gives_back_the_points_it_was_fitted_to() -> None:
    cost = fitted((4.0, 60.0), (0.0, 8.0))
    assert (cost.at(4.0), cost.at(0.0)) == (60.0, 8.0)


def test_a_cost_is_never_negative_however_noisy_the_points() -> None:
    assert fitted((4.0, 5.0), (0.01, 8.0)) == Cost(8.0, 0.0)


def test_a_cost_too_small_to_be_measured_bounds_nothing() -> None:
    found = bounds(COSTS | {"server": Cost(0.0, 0.0)}, point())
    assert (found.bottleneck, found.high) == ("client", 1e6 / 7)
    assert bounds(dict.fromkeys(COSTS, Cost(0.0, 0.0)), point()).high == float("inf")


def test_a_single_call_in_flight_has_one_possible_throughput() -> None:
    found = bounds(COSTS, point(in_flight=1, commands=4.0))
    assert found.low == found.high == 1e6 / (7 + 36 + 5 + 32 + 1.5 + 56)
    assert found.bottleneck == "in flight"


def test_the_slowest_process_bounds_a_closed_loop() -> None:
    found = bounds(COSTS, point())
    assert (found.bottleneck, found.high) == ("client", 1e6 / 7)


def test_handlers_that_compute_are_bounded_by_their_workers() -> None:
    one, two = (bounds(COSTS, point(handler_us=1000, workers=count)) for count in (1, 2))
    assert one.bottleneck == two.bottleneck == "workers"
    assert two.high == 2 * one.high


def test_workers_beyond_the_cores_do_not_help() -> None:
    found = bounds(COSTS, point(handler_us=1000, workers=4), cores=2)
    assert found.bottleneck == "cores"
    assert found.high < 2000


@given(st.integers(1, 4096), st.integers(1, 64), st.floats(0, 4), st.floats(0, 5000))
def test_the_lower_bound_is_never_above_the_upper(
    in_flight: int, workers: int, commands: float, handler_us: float
) -> None:
    found = bounds(COSTS, point(in_flight=in_flight, workers=workers, commands=commands, handler_us=handler_us))
    assert 0 < found.low <= found.high * (1 + 1e-9)


def test_a_point_outside_its_bounds_is_found_out() -> None:
    points = [point(measured=100_000.0), point(measured=1e6), point(measured=1000.0)]
    assert [holds for _, _, holds in check(COSTS, points, cores=2)] == [True, False, False]


def test_calls_that_come_alone_fill_a_primary_much_sooner() -> None:
    together, alone = (projected(COSTS, 100, 1000.0, commands) for commands in (0.016, 4.0))
    assert (together.bottleneck, alone.bottleneck) == ("workers", "server")
    assert alone.primaries > 1 > together.primaries


def test_idle_workers_cost_a_primary_little_but_not_nothing() -> None:
    few, many = (projected(COSTS, workers, 0.0, 4.0) for workers in (10, 1000))
    assert 0 < few.idle_share < many.idle_share < 0.1
    assert many.by_server < few.by_server


def test_slots_are_those_of_redis() -> None:
    # the example of the Cluster specification, and what CLUSTER KEYSLOT says of the second
    assert slot_of("123456789") == 0x31C3
    assert slot_of("foo") == 12182


def test_slots_are_dealt_out_evenly_and_in_order() -> None:
    owners = [slot * 3 // SLOTS for slot in range(SLOTS)]
    assert owners == sorted(owners)
    assert {owners.count(owner) for owner in range(3)} == {5461, 5462}
    assert primary_of("foo", 3) == 2


def test_one_channel_never_gets_more_than_two_primaries_worth_of_work() -> None:
    assert 1.0 < speedup(3, 1) < speedup(100, 1) < 2.0


def test_more_channels_use_more_of_a_cluster_and_never_more_than_all_of_it() -> None:
    found = [speedup(10, channels) for channels in (1, 10, 100, 1000)]
    assert found == sorted(found)
    assert found[-1] < 10
