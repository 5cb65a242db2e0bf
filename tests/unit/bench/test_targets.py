from __future__ import annotations

from typing import Any

from bench.targets import TARGETS, as_table, judged


def metrics(**values: float) -> dict[str, Any]:
    names = {
        "nats": "peers: servicebus / nats-py, 256 in flight: calls_per_second",
        "channels": "scale: channels 100 / 1: calls_per_second",
        "client": "soak: client: growth",
        "worker": "soak: worker: growth",
    }
    return {names[key]: {"median": value} for key, value in values.items()}


def passed(found: dict[str, Any]) -> dict[str, bool]:
    return {one["target"]: one["passed"] for one in judged(found) if one["passed"] is not None}


def test_a_run_without_measurements_judges_nothing() -> None:
    judgements = judged({})
    assert len(judgements) == len(TARGETS)
    assert {one["passed"] for one in judgements} == {None}
    assert as_table(judgements).count("not measured") == len(TARGETS)


def test_a_ratio_is_to_be_at_least_its_bound() -> None:
    assert passed(metrics(nats=2.5)) == {"throughput, 256 in flight / nats-py": True}
    assert passed(metrics(nats=2.49)) == {"throughput, 256 in flight / nats-py": False}


def test_time_per_call_is_the_inverse_of_throughput() -> None:
    assert passed(metrics(channels=0.5)) == {"time per call, 100 channels / one": True}
    assert passed(metrics(channels=0.49)) == {"time per call, 100 channels / one": False}


def test_the_process_that_grew_most_counts() -> None:
    assert list(passed(metrics(client=0.1, worker=9.0)).values()) == [False]
    assert "FAIL" in as_table(judged(metrics(client=9.0, worker=0.1)))
