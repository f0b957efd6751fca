"""Samples as series: what a chart, a table, a file and an alert read of a run's metrics.

A series is at most MOST_POINTS long, whatever its range, and costs one query a resolution and one more. Its step is a
whole number of the samples that it is made of. What nobody knows is None: a stretch without a sample, and the rate
over a gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Max, Q

from tasks.metrics import COUNTERS, GAUGES, resolutions
from tasks.models import GroupSample, Run, Sample

MOST_POINTS: Final = 400

Row = dict[str, Any]
Values = list[float | None]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is shown of the samples: the rate or the growth of a counter, or a gauge as it is."""

    key: str
    label: str
    unit: str  # "rows/s", "bytes/s", "rows", "s", "ms", "bytes", "times"
    column: str
    how: str = "gauge"  # "rate", "growth"


MEASURES: Final = (
    Measure("read_rate", "Read", "rows/s", "rows_read", "rate"),
    Measure("write_rate", "Written", "rows/s", "rows_written", "rate"),
    Measure("read_bytes_rate", "Read", "bytes/s", "bytes_read", "rate"),
    Measure("write_bytes_rate", "Written", "bytes/s", "bytes_written", "rate"),
    Measure("lag_seconds", "Behind", "s", "lag_seconds"),
    Measure("lag_rows", "Waiting in the source", "rows", "lag_rows"),
    Measure("delivery_ms", "From read to written", "ms", "delivery_ms"),
    Measure("event_lag_ms", "From event to written", "ms", "event_lag_ms"),
    Measure("dirty_rows", "Dirty rows", "rows", "rows_dirty", "growth"),
    Measure("replayed_rows", "Replayed rows", "rows", "rows_replayed", "growth"),
    Measure("restarts", "Automatic restarts", "times", "restarts", "growth"),
    Measure("snapshot_ms", "Taking it", "ms", "snapshot_ms"),
    Measure("snapshot_age", "Age", "s", "snapshot_age"),
    Measure("snapshot_bytes", "Size of a snapshot", "bytes", "snapshot_bytes"),
)


@dataclass(slots=True)
class Series:
    """`values[key][i]` is of the stretch from `begin + i * step`, in seconds since the epoch."""

    begin: int
    step: int
    length: int
    values: dict[str, Values] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return self.begin + self.step * self.length

    def at(self, index: int) -> int:
        return self.begin + index * self.step

    @property
    def is_empty(self) -> bool:
        return not any(value is not None for values in self.values.values() for value in values)


def of_run(run: Run, begin: float, end: float, now: float) -> Series:
    """Return all MEASURES of `run` from `begin` to `end`, in seconds since the epoch."""
    series, rows = _fetch(Sample.objects.filter(run=run), (*COUNTERS, *GAUGES), begin, end, now)
    began_at = run.started_at.timestamp()
    collapsed = _collapse(rows, series, dict.fromkeys((*COUNTERS, *GAUGES), _largest))
    for measure in MEASURES:
        column = [row.get(measure.column) for row in collapsed]
        if measure.how == "gauge":
            series.values[measure.key] = column[1:]
        else:
            growth = _growth(column, series, began_at)
            per = float(series.step) if measure.how == "rate" else 1.0
            series.values[measure.key] = [None if value is None else value / per for value in growth]
    return series


SUMS: Final = ("rows_read", "rows_written", "bytes_read", "bytes_written")


def of_groups(names: Iterable[str] | None, begin: float, end: float, now: float) -> Series:
    """Return rates and running tasks of groups (None: of all), added up."""
    samples = GroupSample.objects.all() if names is None else GroupSample.objects.filter(group__in=names)
    series, rows = _fetch(samples, (*SUMS, "running", "lag_seconds"), begin, end, now)
    stretches: dict[tuple[int, int], Row] = {}
    for row in rows:
        known = stretches.setdefault((row["resolution"], row["at"]), {**row, **dict.fromkeys((*SUMS, "running"), 0)})
        for name in (*SUMS, "running"):
            known[name] += row[name]
        known["lag_seconds"] = _largest(known["lag_seconds"], row["lag_seconds"])
    how: dict[str, Callable[[Any, Any], Any]] = dict.fromkeys(SUMS, _sum)
    collapsed = _collapse(list(stretches.values()), series, {**how, "running": _largest, "lag_seconds": _largest})[1:]
    for name in SUMS:
        series.values[name] = [None if row.get(name) is None else row[name] / series.step for row in collapsed]
    for name in ("running", "lag_seconds"):
        series.values[name] = [row.get(name) for row in collapsed]
    return series


def _fetch(samples: Any, columns: tuple[str, ...], begin: float, end: float, now: float) -> tuple[Series, list[Row]]:
    """Return the empty series of a range, and the samples for it, oldest first: those of the coarsest resolution that
    serves, finer ones where it has none yet, and one step before it for the first difference."""
    stored, step = _steps(begin, end, now)
    first = int(begin // step) * step
    length = max(1, math.ceil((end - first) / step))
    series = Series(first, step, length)
    wanted, begins = Q(resolution=0), first - step
    for finer, _ in reversed([kept for kept in resolutions() if kept[0] <= stored]):
        wanted |= Q(resolution=finer, at__gte=begins, at__lt=series.end)
        newest = samples.filter(resolution=finer).aggregate(at=Max("at"))["at"]
        begins = begins if newest is None else max(begins, newest + finer)
    return series, list(samples.filter(wanted).order_by("at").values("at", "resolution", *columns))


def _steps(begin: float, end: float, now: float) -> tuple[int, int]:
    """Return the resolution of the samples to read, and the step of the series that is made of them."""
    kept = resolutions()
    for stretch, lasts in kept:
        if begin >= now - lasts and (end - begin) / stretch <= 8 * MOST_POINTS:
            break
    else:
        stretch = kept[-1][0]
    factor = max(1, -(-int(end - begin) // (stretch * (MOST_POINTS - 2))))
    return stretch, stretch * factor


def _collapse(rows: list[Row], series: Series, how: dict[str, Callable[[Any, Any], Any]]) -> list[Row]:
    """Return one row a step, the first of them the step before the series; empty where there was no sample."""
    found: list[Row] = [{} for _ in range(series.length + 1)]
    for row in rows:
        place = (row["at"] - series.begin) // series.step + 1
        if 0 <= place <= series.length:
            into = found[place]
            for name, join in how.items():
                into[name] = join(into.get(name), row[name])
    return found


def _largest(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else max(one, other)


def _sum(one: Any, other: Any) -> Any:
    return (one or 0) + (other or 0)


def _growth(column: Values, series: Series, began_at: float) -> Values:
    """Return by how much a counter grew in each step; a run that began within a step grew from nothing."""
    found: Values = []
    for place in range(1, len(column)):
        before, value = column[place - 1], column[place]
        if before is None and series.at(place - 1) <= began_at < series.at(place):
            before = 0
        found.append(None if before is None or value is None else max(0, value - before))
    return found


def recent_rate(run: Run, column: str, now: float, seconds: float = 60.0) -> float | None:
    """Return how fast a counter of `run` grows, per second, over the last `seconds`; None where that is not known."""
    finest = resolutions()[0][0]
    since = now - max(seconds, 3 * finest)
    found = list(
        Sample.objects.filter(run=run, resolution=finest, at__gte=since).order_by("at").values_list("at", column)
    )
    if len(found) < 2:
        return None
    (first, before), (last, value) = found[0], found[-1]
    return float(value - before) / float(last - first)
