"""Every example of docs/topics/resilience.md, run as a reader would run it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import servicebus
from servicebus import resilience

from ...support.processes import ROOT
from ...support.pytest_runs import run

PAGE = ROOT.joinpath("docs", "topics", "resilience.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"```python\n# (test_\w+\.py)\n(.*?)```", PAGE, re.DOTALL))


def test_every_block_of_python_is_an_example_with_a_name() -> None:
    assert PAGE.count("```python") == len(EXAMPLES) == 6


@pytest.mark.parametrize("url", ["memory://", "embedded://"])
def test_the_examples_do_what_the_page_says(tmp_path: Path, url: str) -> None:
    assert "6 passed" in run(tmp_path, EXAMPLES, "--servicebus-url", url)


@pytest.mark.parametrize("name", ["Retry", "CircuitBreaker", "Bulkhead", "Hedge", "Shedding", "Adaptive"])
def test_the_page_names_the_parameters_and_defaults_that_a_policy_has(name: str) -> None:
    shown = re.search(rf"^    {name}\((.*)\)$", PAGE, re.MULTILINE)
    assert shown is not None
    policy = getattr(resilience if name in resilience.__all__ else servicebus, name)
    parameters = inspect.signature(policy).parameters
    for part in shown[1].split(", "):
        parameter, _, default = part.partition("=")
        assert repr(parameters[parameter].default) == (default or repr(inspect.Parameter.empty)), part


def test_every_public_name_is_listed_sorted_and_explained() -> None:
    assert resilience.__all__ == sorted(resilience.__all__)
    for name in resilience.__all__:
        assert (getattr(resilience, name).__doc__ or "").strip(), name


def test_who_uses_no_policy_does_not_even_import_them() -> None:
    script = "import sys, servicebus; assert not [name for name in sys.modules if 'resilience' in name]"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)
