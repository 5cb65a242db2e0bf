"""A report as one page that needs no other file: the table, the targets, the charts and the conditions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from .charts import Chart, svg
from .document import Report
from .text import with_interval

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
pre { background: #f5f5f5; padding: 1em; overflow-x: auto; font-size: 13px }
table { border-collapse: collapse; font-size: 13px }
td, th { padding: .2em .8em; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
svg { max-width: 100%; height: auto }
"""


def page(report: Report, table: str, charts: Sequence[Chart]) -> str:
    """Return the whole page."""
    title = f"servicebus benchmark: {escape(report['scenario'])}"
    drawn = "\n".join(f"<figure>{svg(chart)}</figure>" for chart in charts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n<pre>{escape(table)}</pre>\n{drawn}\n"
        f"<h2>Metrics</h2>\n<p>Medians of the repeats with bootstrapped 95 % intervals.</p>\n{_metrics(report)}\n"
        f"<h2>Conditions</h2>\n<pre>{escape(json.dumps(_conditions(report), indent=2))}</pre>\n</body></html>\n"
    )


def _metrics(report: Report) -> str:
    rows = (
        f"<tr><td>{escape(name)}</td><td>{escape(with_interval(one))}</td><td>{escape(one['unit'])}</td></tr>"
        for name, one in report["metrics"].items()
    )
    return f"<table><tr><th>metric</th><th>median [low, high]</th><th>unit</th></tr>\n{chr(10).join(rows)}\n</table>"


def _conditions(report: Report) -> Report:
    return {name: report[name] for name in ("environment", "options") if name in report}
