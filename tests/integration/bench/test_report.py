from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench import histogram
from bench.report.charts import Bars, Chart, Lines, percentile_chart, svg
from bench.report.document import metric, ratio_metric
from bench.report.html import page
from bench.report.text import figure, table

ENCODED = histogram.summary(histogram.of_seconds([0.001, 0.002, 0.05]))["histogram"]
CHARTS: dict[str, Chart] = {
    "lines": Lines("Rate", "in flight", "calls/s", {"ours": [(1, 10), (256, 900)]}, log_x=True, log_y=True),
    "bars": Bars("Peers", "calls/s", {"ours & theirs": (10.0, 9.0, 12.0), "other": (5.0, 5.0, 5.0)}),
    "percentiles": percentile_chart("Latency", {"ours": [ENCODED, ENCODED]}),
}


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)
def test_a_chart_is_an_svg_element_with_its_words_as_text(chart: Chart) -> None:
    drawn = svg(chart)
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert chart.title in "".join(root.itertext())


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)
def test_the_same_data_draws_the_same_chart(chart: Chart) -> None:
    assert svg(chart) == svg(chart)


def test_a_page_needs_nothing_from_elsewhere_and_escapes_what_it_shows() -> None:
    report = {
        "scenario": "rpc <x>",
        "metrics": {"a < b": metric([1.0, 2.0, 3.0], "ms", "lower")},
        "environment": {"machine": "<m>"},
    }
    text = page(report, "1 < 2", list(CHARTS.values()))
    assert "<script" not in text
    assert "src=" not in text
    assert "rpc &lt;x&gt;" in text
    assert "a &lt; b" in text
    assert "1 &lt; 2" in text
    assert "&lt;m&gt;" in text
    assert text.count("<svg") == len(CHARTS)


def test_a_metric_has_its_repeats_their_median_and_an_interval() -> None:
    found = metric([3.0, 1.0, 2.0], "ms", "lower")
    assert found["values"] == [3.0, 1.0, 2.0]
    assert found["low"] <= found["median"] == 2.0 <= found["high"]


def test_a_ratio_is_that_of_the_medians() -> None:
    found = ratio_metric([2.0, 4.0, 6.0], [1.0, 1.0, 2.0], "higher")
    assert found["median"] == 4.0
    assert found["values"] == [2.0, 4.0, 3.0]


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123")]
)
def test_a_figure_has_as_many_digits_as_it_is_worth(value: float, text: str) -> None:
    assert figure(value) == text


def test_the_columns_of_a_table_line_up() -> None:
    lines = table(("name", "value"), [["a", "1"], ["longer", "1,000"]]).splitlines()
    assert [line.rstrip()[-1] for line in lines] == ["e", "1", "0"]
    assert len({len(line) for line in lines}) == 1
