from __future__ import annotations

import argparse
from decimal import Decimal
from pathlib import Path

import pytest

from services.replay.options import SCHEMES, Options, add_arguments, from_args


def parse(*arguments: str) -> Options:
    parser = argparse.ArgumentParser("servicebus demo")
    add_arguments(parser)
    return from_args(parser.parse_args(arguments))


def test_the_defaults_are_those_of_the_design() -> None:
    assert parse() == Options(orders=None, stock_ratio=Decimal(1), concurrency=8, workers=1, url=None, json=False)


def test_every_option_is_taken() -> None:
    found = parse(
        *("--orders", "a.csv", "--stock-ratio", "0.5", "--concurrency", "64", "--workers", "2", "--json"),
        *("--url", "redis://localhost:6379/0", "--prefix", "mine"),
    )
    assert found == Options(Path("a.csv"), Decimal("0.5"), 64, 2, "redis://localhost:6379/0", "mine", True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_server_that_processes_can_share_is_taken(scheme: str) -> None:
    assert parse("--url", f"{scheme}://host").url == f"{scheme}://host"


@pytest.mark.parametrize("ratio", ["0", "0.0", ".5", "1.", "1000", "0.333333333333"])
def test_a_ratio_is_exact(ratio: str) -> None:
    assert parse("--stock-ratio", ratio).stock_ratio == Decimal(ratio)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--stock-ratio", "-1"], "--stock-ratio"),
        (["--stock-ratio=-1"], "'-1' is not a decimal number from 0 to 1000"),
        (["--stock-ratio", "NaN"], "'NaN' is not a decimal number from 0 to 1000"),
        (["--stock-ratio", "1e9999999"], "'1e9999999' is not a decimal number"),
        (["--stock-ratio", "1000.1"], "'1000.1' is not a decimal number from 0 to 1000"),
        (["--concurrency", "0"], "'0' is not a whole number from 1 to 1000"),
        (["--concurrency", "1001"], "'1001' is not a whole number from 1 to 1000"),
        (["--concurrency", "many"], "'many' is not a whole number from 1 to 1000"),
        (["--workers", "²"], "'²' is not a whole number from 1 to 64"),
        (["--workers", "0"], "'0' is not a whole number from 1 to 64"),
        (["--url", "memory://"], "the workers share a server: a URL starts with redis://"),
        (["--url", "redis+queue://host"], "rediss+sentinel://, redis+cluster://, rediss+cluster://"),
        (["--url", "localhost"], "the workers share a server: a URL starts with redis://"),
    ],
)
def test_a_bad_option_exits_2_and_says_why(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        parse(*arguments)
    assert raised.value.code == 2
    assert complaint in capsys.readouterr().err
