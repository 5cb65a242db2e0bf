"""Every scenario from its command line, as small as possible, on its own server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import SCENARIOS, main
from bench.peers import FLOORS, MODULES, OURS, PEERS, load
from servicebus.testing.servers import is_running

from ...support.processes import ROOT, environment
from ...support.timing import LONG, eventually_sync

SHORT = ("--repeats", "1", "--seconds", "0.05")
SMOKE: dict[str, tuple[str, ...]] = {
    "rpc": ("--in-flight", "1", "8", *SHORT),
    "floor": ("--in-flight", "1", *SHORT),
    "peers": ("--in-flight", "2", "--peers", *SHORT),
    "dispatch": ("--repeats", "1", "--messages", "200"),
    "load": ("--rates", "200", "--repeats", "1", "--seconds", "0.2"),
    "sweep": ("--shares", "0.1", "--peers", OURS, "--repeats", "1", "--seconds", "0.1"),
    "events": ("--subscribers", "2", "--copies", "40", "--repeats", "1"),
    "scale": (
        *("--in-flight", "1", "8", "--workers", "2", "--channels", "3"),
        *("--bodies", "70000", "--working", "1", *SHORT),
    ),
    "layers": ("--messages", "10", "--members", "5", "--repeats", "1"),
    "soak": ("--calls", "500", "--in-flight", "4"),
    "all": ("--parts", "dispatch", "--repeats", "1", "--quick"),
}


def test_every_scenario_has_a_smoke_test() -> None:
    assert SMOKE.keys() == SCENARIOS.keys()


@pytest.mark.parametrize("scenario", SMOKE)
def test_a_scenario_runs_and_reports(scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    as_json, as_page = tmp_path / "report.json", tmp_path / "report.html"
    assert main([scenario, *SMOKE[scenario], "--json", str(as_json), "--html", str(as_page)]) == 0
    report = json.loads(as_json.read_text())
    assert report["scenario"] == scenario
    assert report["environment"]["packages"]["servicebus"]
    assert report["metrics"]
    assert all(one["low"] <= one["median"] <= one["high"] for one in report["metrics"].values())
    assert "others used" in capsys.readouterr().out
    assert "<svg" in as_page.read_text()


def test_a_report_goes_to_stdout_when_json_names_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dispatch", *SMOKE["dispatch"], "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ratio"] > 0
    assert report["blocks_in_flight"] > 1


def closed(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The report of a few calls in flight over one system beside ours."""
    reason = load(name).PEER.missing()
    if reason:
        pytest.skip(f"{name}: {reason}")
    assert main(["rpc", "--peers", OURS, name, "--in-flight", "1", *SHORT, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


@pytest.mark.parametrize("name", [*PEERS, *FLOORS])
def test_a_peer_answers_and_is_compared_with_ours(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = closed(name, capsys)
    assert report["absent"] == {}
    row = report["results"][name]["1"][0]
    assert row["calls"] > 0
    assert row["failed"] == 0
    assert report["metrics"][f"servicebus / {name}, 1 in flight: calls_per_second"]["median"] > 0


def test_one_call_takes_four_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rpc", "--peers", OURS, "--in-flight", "1", "--repeats", "1", "--seconds", "0.3", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)["results"][OURS]["1"][0]
    assert row["commands_sent"] == pytest.approx(4, abs=0.1)
    assert row["net_bytes"] > 400


def test_a_peer_that_is_not_here_is_left_out_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.peers.base.find_spec", lambda name: None)
    assert main(["peers", "--peers", "grpc.aio", "--in-flight", "1", *SHORT]) == 0
    said = capsys.readouterr()
    assert said.out.count("grpc.aio is left out: grpc not installed") == 1


def test_every_peer_names_the_documentation_of_its_setup() -> None:
    assert all("https://" in (load(name).__doc__ or "") for name in PEERS)
    assert set(MODULES) == {OURS, *FLOORS, *PEERS}


def test_a_model_is_made_of_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "scale.json"
    scale = ["scale", "--groups", "in flight", "--in-flight", "1", "8", *SHORT, "--json", str(path)]
    assert main(scale) == 0
    capsys.readouterr()
    assert main(["model", str(path), "--workers", "10", "--primaries", "3", "--channels", "1"]) in (0, 1)
    said = capsys.readouterr().out
    assert "in flight 8" in said
    assert "one channel on one primary" in said


def test_sigterm_ends_a_run_and_everything_that_it_started() -> None:
    command = [sys.executable, "-m", "bench", "rpc", "--peers", OURS, "--seconds", "60"]
    run = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually_sync(lambda: len(descendants(run.pid)) >= 4, within=LONG)  # guard, server, worker, driver
        started = descendants(run.pid)
        run.send_signal(signal.SIGTERM)
        assert run.wait(LONG) != 0
        eventually_sync(lambda: not any(map(is_running, started)), within=LONG)
    finally:
        run.kill()
        run.wait()


def descendants(pid: int) -> set[int]:
    """The processes that a process started, and the ones that these started."""
    try:
        children = {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return children.union(*(descendants(child) for child in children)) - {os.getpid()}
