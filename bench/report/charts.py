"""Charts as SVG, drawn by matplotlib without a display. The data is plain, so that a test can check it."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import histogram

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Lines:
    """Series of points. ``nines`` puts percentiles on the x axis: the x values are shares below 1."""

    title: str
    x: str
    y: str
    series: Mapping[str, Points]
    log_x: bool = False
    log_y: bool = False
    nines: bool = False
    marks: Mapping[str, Points] = field(default_factory=dict)

    def draw(self, axes: Any) -> None:
        """Draw the chart with matplotlib."""
        for name, points in self.series.items():
            axes.plot([self._at(x) for x, _ in points], [y for _, y in points], marker="o", markersize=3, label=name)
        for name, points in self.marks.items():
            axes.plot([self._at(x) for x, _ in points], [y for _, y in points], "x", label=name)
        if self.log_x:
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_formatter("{x:,.0f}")
        if self.log_y:
            axes.set_yscale("log")
        if self.nines:
            shares = (0.0, 0.9, 0.99, 0.999, 0.9999)
            axes.set_xticks([self._at(share) for share in shares], [f"{share * 100:g} %" for share in shares])
            axes.minorticks_off()
        axes.set_xlabel(self.x)
        axes.set_ylabel(self.y)
        axes.legend(fontsize="small")

    def _at(self, x: float) -> float:
        return -math.log10(1 - x) if self.nines else x


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar per name: a median, with the ends of its interval."""

    title: str
    y: str
    bars: Mapping[str, tuple[float, float, float]]

    def draw(self, axes: Any) -> None:
        """Draw the chart with matplotlib."""
        names, values = list(self.bars), [value for value, _, _ in self.bars.values()]
        below = [max(0.0, value - low) for value, low, _ in self.bars.values()]
        above = [max(0.0, high - value) for value, _, high in self.bars.values()]
        axes.barh(names, values, xerr=[below, above], capsize=3)
        axes.invert_yaxis()
        axes.set_xlabel(self.y)


Chart = Lines | Bars


def percentile_chart(title: str, encoded: Mapping[str, Sequence[str]]) -> Lines:
    """Return a chart of latency against the share of calls that were no slower, from encoded histograms."""
    series = {name: histogram.curve(repeats) for name, repeats in encoded.items()}
    return Lines(title, "calls that were no slower", "ms", series, log_y=True, nines=True)


def svg(chart: Chart) -> str:
    """Return the chart as an SVG element. The same data gives the same text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "servicebus", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_title(chart.title)
        axes.grid(alpha=0.3)
        chart.draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
