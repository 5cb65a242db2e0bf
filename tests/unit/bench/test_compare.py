from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main
from bench.report.compare import compare
from bench.report.document import Better, metric


def report(better: Better = "higher", **metrics: list[float]) -> dict[str, Any]:
    return {"metrics": {name: metric(values, "x", better) for name, values in metrics.items()}}


def verdicts(before: dict[str, Any], after: dict[str, Any], threshold: float = 0.1) -> dict[str, str]:
    return {one.name: one.verdict for one in compare(before, after, threshold)}


def test_a_throughput_that_fell_is_worse_and_one_that_rose_is_better() -> None:
    before = report(fell=[100.0, 101.0, 102.0], rose=[100.0, 101.0, 102.0])
    after = report(fell=[80.0, 81.0, 82.0], rose=[130.0, 131.0, 132.0])
    assert verdicts(before, after) == {"fell": "worse", "rose": "better"}


def test_a_latency_that_rose_is_worse() -> None:
    before, after = report("lower", p99=[1.0, 1.1, 1.2]), report("lower", p99=[2.0, 2.1, 2.2])
    assert verdicts(before, after) == {"p99": "worse"}


def test_a_change_within_the_threshold_is_none() -> None:
    before, after = report(rate=[100.0, 100.0, 100.0]), report(rate=[95.0, 95.0, 95.0])
    assert verdicts(before, after) == {"rate": ""}
    assert verdicts(before, after, threshold=0.01) == {"rate": "worse"}


def test_a_change_that_noise_explains_is_none() -> None:
    assert verdicts(report(rate=[50.0, 100.0, 150.0]), report(rate=[40.0, 80.0, 160.0])) == {"rate": ""}


def test_only_what_both_reports_have_is_compared() -> None:
    assert verdicts(report(old=[1.0], both=[1.0]), report(new=[1.0], both=[1.0])) == {"both": ""}


def test_a_metric_that_is_zero_has_no_ratio() -> None:
    assert verdicts(report(growth=[0.0]), report(growth=[1.0])) == {}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps(report(rate=[100.0, 101.0, 102.0])))
    after.write_text(json.dumps(report(rate=[70.0, 71.0, 72.0])))
    return str(before), str(after)


def test_the_command_fails_on_a_regression(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *files]) == 1
    assert "worse" in capsys.readouterr().out


def test_the_command_succeeds_when_the_threshold_allows_it(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *files, "--threshold", "50"]) == 0
    assert "none changed" in capsys.readouterr().out


def test_the_command_succeeds_on_an_improvement(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    before, after = files
    assert main(["compare", after, before]) == 0
    assert "better" in capsys.readouterr().out
