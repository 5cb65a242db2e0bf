from __future__ import annotations

from services.replay.plan import make_plan
from services.replay.sample import sample_orders


def test_the_sample_is_the_same_every_time() -> None:
    assert sample_orders() == sample_orders()


def test_the_sample_shows_sales_returns_skipped_sales_and_bad_lines() -> None:
    plan = make_plan(sample_orders())
    assert plan.sales + plan.returns == 60
    assert plan.sales > 50
    assert plan.returns > 3
    assert plan.skipped
    assert set(plan.invalid_lines) == {"not_in_catalogue", "price_not_positive", "quantity_not_positive"}
