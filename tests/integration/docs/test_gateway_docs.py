"""docs/topics/gateway.md says what the code does."""

from __future__ import annotations

import argparse
import inspect
import re

from servicebus.cli.gateway import add_arguments
from servicebus.gateway import Gateway
from servicebus.gateway.problems import MISTAKE, REFUSED, REMOTE, TABLE

from ...support.processes import ROOT

PAGE = ROOT.joinpath("docs", "topics", "gateway.md").read_text(encoding="utf-8")


def test_the_table_of_statuses_is_that_of_the_code() -> None:
    shown = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", PAGE, re.MULTILINE)
    rows = {row[:2] for row in (*TABLE.values(), *REMOTE.values(), REFUSED, MISTAKE)}
    assert shown == sorted(shown, key=lambda row: row[0])
    assert {(int(status), code) for status, code in shown} == rows


def test_every_option_is_named_with_its_default() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    options = [action for action in parser._actions if action.option_strings]
    for option in options:
        assert f"`{option.option_strings[0]}" in PAGE
        if isinstance(option.default, int | float):
            assert re.search(rf"{option.option_strings[0]}\b.*\b{option.default:.0f}\b", PAGE)


def test_the_command_and_the_class_have_the_same_bounds() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    parameters = inspect.signature(Gateway).parameters
    for name in ("timeout", "max_body", "body_within", "max_requests", "forward"):
        assert parser.get_default(name) == parameters[name].default


def test_the_example_is_an_application() -> None:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(source, names)
    assert isinstance(names["application"], Gateway)
