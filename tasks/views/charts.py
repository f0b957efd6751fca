"""Charts as SVG: geometry and labels. The lines stretch with the page; the labels are text beside them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from tasks.locale import written
from tasks.series import Measure, Series
from tasks.views import words

WIDTH: Final = 1000
HEIGHT: Final = 100
_TICKS: Final = 5


@dataclass(frozen=True, slots=True)
class Line:
    measure: Measure
    path: str  # empty: nothing known
    latest: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, at a place on the time axis."""

    at: datetime
    tone: str
    text: str
    x: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    key: str
    title: str
    lines: list[Line]
    y_labels: list[str]  # from the top
    x_labels: list[str]
    marks: list[Mark] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not any(line.path for line in self.lines)


def chart(key: str, title: str, measures: Sequence[Measure], series: Series, marks: Iterable[Mark]) -> Chart:
    top = nice_top(max((v for m in measures for v in series.values[m.key] if v is not None), default=0.0))
    lines = [Line(m, path(series.values[m.key], top), latest(series.values[m.key], m.unit)) for m in measures]
    unit = measures[0].unit
    y_labels = [shown(top * part, unit) for part in (1.0, 0.5, 0.0)]
    return Chart(key, title, lines, y_labels, x_labels(series), list(marks))


def nice_top(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20 ... that is not below `value`; 1 for nothing."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def path(values: Sequence[float | None], top: float) -> str:
    """Return the line through `values`, broken where one is not known; one that stands alone is a dot."""
    parts: list[str] = []
    width = WIDTH / max(1, len(values))
    drawing = False
    for place, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        x, y = (place + 1) * width, HEIGHT - min(max(value, 0.0), top) / top * HEIGHT
        alone = not drawing and (place + 1 == len(values) or values[place + 1] is None)
        parts.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}{'h0' if alone else ''}")
        drawing = True
    return "".join(parts)


def latest(values: Sequence[float | None], unit: str) -> str:
    return shown(next((value for value in reversed(values) if value is not None), None), unit)


def shown(value: float | None, unit: str) -> str:
    """Return a value as people read it, with its unit."""
    if value is None:
        return words.NOTHING
    if unit == "bytes/s":
        return f"{words.size(value)}/s"
    if unit == "bytes":
        return words.size(value)
    if unit == "s":
        return words.lag(value)
    if unit == "ms":
        return f"{value:.2g} ms" if value < 10 else words.milliseconds(value)
    number = written(value, 1) if 0 < value < 10 and value != int(value) else words.number(value)
    return f"{number} {unit}" if unit == "rows/s" else number


def x_labels(series: Series) -> list[str]:
    """Return the times of evenly spread ticks, first to last; with the day where the range is longer than one."""
    return time_labels(series.begin, series.end)


def time_labels(begin: float, end: float) -> list[str]:
    form = "%H:%M" if end - begin <= 86_400 else "%d %b %H:%M"
    return [
        datetime.fromtimestamp(begin + (end - begin) * n / (_TICKS - 1), tz=UTC).strftime(form) for n in range(_TICKS)
    ]


def placed(marks: Iterable[Mark], series: Series) -> list[Mark]:
    """Return the marks that lie in the range, each with its place."""
    span = series.end - series.begin
    found = []
    for mark in marks:
        part = (mark.at.timestamp() - series.begin) / span
        if 0 <= part <= 1:
            found.append(Mark(mark.at, mark.tone, mark.text, f"{part * WIDTH:.1f}"))
    return found
