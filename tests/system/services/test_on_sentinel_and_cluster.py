"""The three services as they are deployed, on servers that stand in for one another; nothing in them is changed."""

from __future__ import annotations

import pytest

from ...support.replay.demo_processes import summary_of


@pytest.mark.parametrize("fixture", ["sentinel", "cluster"])
def test_every_order_of_the_sample_is_confirmed_and_the_books_balance(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(fixture).url
    summary = summary_of("--url", url, "--workers", "2", "--concurrency", "16")
    assert (summary["confirmed"], summary["rejected"]) == (53, {})
    assert summary["confirmed"] == summary["sales"] - summary["skipped"]
