from __future__ import annotations

from services.inventory.contract import Line
from services.inventory.moves import COMMIT, RECEIVE, RELEASE, RESERVE, Move, added_up, shortage


def test_lines_of_one_sku_are_added_up_in_sku_order() -> None:
    assert list(added_up([Line("B", 2), Line("A", 1), Line("B", 3)]).items()) == [("A", 1), ("B", 5)]


def test_the_first_sku_in_order_that_is_short_is_named() -> None:
    refusal = shortage({"A": 1, "B": 9, "C": 9}, {"A": 1, "B": 2})
    assert refusal is not None
    assert (refusal.sku, refusal.available, refusal.requested) == ("B", 2, 9)
    assert shortage({"A": 1}, {"A": 1}) is None


def test_an_unknown_sku_has_nothing_available() -> None:
    refusal = shortage({"A": 1}, {})
    assert refusal is not None
    assert refusal.available == 0


def test_a_release_undoes_what_came_before_it() -> None:
    def after(*moves: Move) -> tuple[int, int]:
        return sum(move.on_hand for move in moves), sum(move.reserved for move in moves)

    assert after(RESERVE, RELEASE["reserved"]) == (0, 0)
    assert after(RESERVE, COMMIT, RELEASE["committed"]) == (0, 0)
    assert after(RECEIVE, RESERVE, COMMIT) == (0, 0)
