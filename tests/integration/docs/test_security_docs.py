"""Every example of docs/topics/security.md, run as a reader would run it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ...support.processes import ROOT
from ...support.pytest_runs import run

PAGE = ROOT.joinpath("docs", "topics", "security.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"```python\n# (test_\w+\.py)\n(.*?)```", PAGE, re.DOTALL))


def test_every_block_of_python_is_an_example_with_a_name() -> None:
    assert PAGE.count("```python") == len(EXAMPLES) == 1


@pytest.mark.parametrize("url", ["memory://", "embedded://"])
def test_the_examples_do_what_the_page_says(tmp_path: Path, url: str) -> None:
    assert "2 passed" in run(tmp_path, EXAMPLES, "--servicebus-url", url)
