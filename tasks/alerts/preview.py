"""What a rule would have done in the last day, from the history and the samples that are kept; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from django.db.models import QuerySet

from tasks.alerts.life import FLAPS_WITHIN
from tasks.alerts.metrics import METRICS, How, Metric
from tasks.alerts.readings import compares, in_scope, must_last
from tasks.metrics import resolutions
from tasks.models import AlertRule, Attempt, Comparison, Sample, StatusChange, Task
from tasks.models.run import AttemptCause
from tasks.snapshots import moment

SPAN: Final = timedelta(days=1)
#: Tasks whose samples are read; the rest of the scope is said to be left out.
MOST_TASKS: Final = 100
_MOST_ROWS: Final = 200_000

_SAMPLED: Final = """\
Read from the samples of runs that go on, each the largest of its stretch; those of runs that were stopped are gone."""
_RESTARTS_ONLY: Final = "Of the past only automatic restarts are known; an error that was retried without one is not."


@dataclass(frozen=True, slots=True)
class Firing:
    task_id: int
    task_name: str
    at: datetime
    until: datetime
    value: float


@dataclass(slots=True)
class Preview:
    """`before` counts tasks that broke the rule before the day began, and still did then."""

    firings: list[Firing] = field(default_factory=list)
    before: int = 0
    tasks: int = 0
    has_more: bool = False
    note: str = ""
    is_known: bool = True


@dataclass(slots=True)
class _Span:
    """A stretch of time in which a task broke the rule, with the worst reading in it."""

    task: int
    begin: float
    end: float
    value: float


def preview(rule: AlertRule, now: datetime) -> Preview:
    """Return what `rule`, saved or not, would have fired within SPAN before `now`."""
    metric = METRICS[rule.metric]
    if metric.how is How.UNHEARD:
        return Preview(note="For how long an engine was silent is not kept, so this can't be told.", is_known=False)
    tasks = dict(in_scope(rule).order_by("name", "pk").values_list("pk", "name")[: MOST_TASKS + 1])
    shown = dict(list(tasks.items())[:MOST_TASKS])
    begin = (now - SPAN).timestamp()
    found = Preview(tasks=len(shown), has_more=len(tasks) > MOST_TASKS, note=_NOTES.get(metric.how, _SAMPLED))
    spans = list(_SPANS[metric.how](rule, metric, list(shown), begin, now.timestamp()))
    wait = _wait(rule, metric).total_seconds()
    # A sample tells the worst of its stretch: a single one may have been a moment only.
    least = wait + (_stretch(begin, now.timestamp()) if wait and metric.how is How.NOW else 0)
    for span in _undamped(rule, [span for span in spans if span.end - span.begin >= least]):
        fires = span.begin + wait
        if fires <= begin:
            found.before += 1
        else:
            name = shown[span.task]
            found.firings.append(Firing(span.task, name, moment(fires), moment(span.end), span.value))
    found.firings.sort(key=lambda firing: firing.at, reverse=True)
    return found


_NOTES: Final = {How.STATUS: "", How.RESTARTS: "", How.EXCEPTION: _RESTARTS_ONLY}


def _wait(rule: AlertRule, metric: Metric) -> timedelta:
    """Return how long a span must be: of a status its own rule says that, elsewhere `must_last`."""
    if metric.how is How.STATUS:
        return timedelta(seconds=rule.threshold if metric.threshold is not None else rule.window)
    return must_last(rule)


def _undamped(rule: AlertRule, spans: list[_Span]) -> Iterator[_Span]:
    """Join spans that would have been one alert: it breaks again soon after it has resolved."""
    worst = _worst(rule)
    close = FLAPS_WITHIN.total_seconds() + rule.resolve_after
    for _, own in groupby(sorted(spans, key=lambda span: (span.task, span.begin)), key=lambda span: span.task):
        joined: _Span | None = None
        for span in own:
            if joined is not None and span.begin - joined.end <= close:
                joined.end, joined.value = max(joined.end, span.end), worst(joined.value, span.value)
                continue
            if joined is not None:
                yield joined
            joined = span
        if joined is not None:
            yield joined


# --- one function a way of reading ------------------------------------------------------------------------


def _of_status(rule: AlertRule, metric: Metric, tasks: list[int], begin: float, end: float) -> Iterator[_Span]:
    begin -= _wait(rule, metric).total_seconds()  # what began before the day may fire within it
    changes = StatusChange.objects.filter(task__in=tasks, at__gte=moment(begin)).order_by("task", "pk")
    told = changes.values_list("task", "at", "from_status", "to_status")[:_MOST_ROWS]
    by_task = {task: list(rows) for task, rows in groupby(told, key=itemgetter(0))}
    for task, status in Task.objects.filter(pk__in=tasks).order_by("pk").values_list("pk", "status"):
        rows = by_task.get(task, [])
        now, since = (rows[0][2] if rows else status), begin
        for _, at, _, after in rows:
            if now == metric.status != after:
                yield _Span(task, since, at.timestamp(), at.timestamp() - since)
            if after != now:
                now, since = after, at.timestamp()
        if now == metric.status:
            yield _Span(task, since, end, end - since)


def _stretch(begin: float, now: float) -> int:
    """Return the finest resolution that is kept since `begin`."""
    return next((stretch for stretch, kept in resolutions() if kept >= now - begin), resolutions()[-1][0])


def _samples(tasks: list[int], begin: float, stretch: int) -> QuerySet[Sample]:
    wanted = Sample.objects.filter(run__task__in=tasks, resolution=stretch, at__gte=int(begin))
    return wanted.order_by("run", "at")


Reading = tuple[float, float]  # when its stretch ended, and the value that breaks the rule


def _worst(rule: AlertRule) -> Callable[[float, float], float]:
    return max if rule.comparison == Comparison.ABOVE else min


def _joined(rule: AlertRule, task: int, readings: Iterable[Reading], stretch: int) -> Iterator[_Span]:
    """Join readings of stretches that follow one another."""
    worst = _worst(rule)
    span: _Span | None = None
    for at, value in readings:
        if span is not None and at - span.end <= 1.5 * stretch:
            span.end, span.value = at, worst(span.value, value)
            continue
        if span is not None:
            yield span
        span = _Span(task, at - stretch, at, value)
    if span is not None:
        yield span


def _of_column(rule: AlertRule, metric: Metric, tasks: list[int], begin: float, end: float) -> Iterator[_Span]:
    stretch = _stretch(begin, end)
    sign = "gt" if rule.comparison == Comparison.ABOVE else "lt"
    broken = _samples(tasks, begin, stretch).filter(**{f"{metric.column}__{sign}": rule.threshold / metric.scale})
    rows = broken.values_list("run__task", "at", metric.column)[:_MOST_ROWS]
    for task, own in groupby(rows, key=itemgetter(0)):
        yield from _joined(rule, task, ((at + stretch, value * metric.scale) for _, at, value in own), stretch)


def _of_counter(rule: AlertRule, metric: Metric, tasks: list[int], begin: float, end: float) -> Iterator[_Span]:
    """The rate, or the growth, of a counter over the window that ends with each sample."""
    stretch = _stretch(begin, end)
    window = max(1, round(rule.window / stretch)) * stretch
    columns = ("run__task", "run__started_at", "at", metric.column)
    rows = _samples(tasks, begin - window, stretch).values_list("run", *columns)[:_MOST_ROWS]
    for _, own in groupby(rows, key=itemgetter(0)):
        yield from _of_run(rule, metric, list(own), window, stretch)


def _of_run(rule: AlertRule, metric: Metric, rows: list[Any], window: int, stretch: int) -> Iterator[_Span]:
    counted = {at: count for _, _, _, at, count in rows}
    readings: list[Reading] = []
    for _, _, started_at, at, count in rows:
        before = counted.get(at - window)
        if before is None and metric.how is How.GROWTH and started_at.timestamp() >= at - window:
            before = 0  # a run that began within the window grew from nothing
        if before is None:
            continue
        value = (count - before) / (window if metric.how is How.RATE else 1)
        if compares(rule, value):
            readings.append((at + stretch, value))
    yield from _joined(rule, rows[0][1], readings, stretch)


def _of_snapshot(rule: AlertRule, metric: Metric, tasks: list[int], begin: float, end: float) -> Iterator[_Span]:
    def reading(before: Any, row: Any) -> float | None:
        written, age, interval = row[3:6]
        return age / interval if age is not None and before is not None and written > before[3] else None

    columns = ("rows_written", "snapshot_age", "run__task__snapshot_interval")
    yield from _of_pairs(rule, tasks, begin, end, columns, reading)


def _of_stuck(rule: AlertRule, metric: Metric, tasks: list[int], begin: float, end: float) -> Iterator[_Span]:
    moved: dict[int, int] = {}  # run -> when it was last seen to write

    def reading(before: Any, row: Any) -> float | None:
        run, _, at, written, lag_rows, lag_seconds = row
        if before is None or written > before[3] or not (lag_rows or lag_seconds):
            moved[run] = at
            return None
        return float(at - moved[run])

    yield from _of_pairs(rule, tasks, begin, end, ("rows_written", "lag_rows", "lag_seconds"), reading)


def _of_pairs(
    rule: AlertRule,
    tasks: list[int],
    begin: float,
    end: float,
    columns: tuple[str, ...],
    reading: Callable[[Any, Any], float | None],
) -> Iterator[_Span]:
    """What only a sample and the one before it tell together. A row is run, task, at and `columns`."""
    stretch = _stretch(begin, end)
    rows = _samples(tasks, begin, stretch).values_list("run", "run__task", "at", *columns)[:_MOST_ROWS]
    for _, own in groupby(rows, key=itemgetter(0)):
        before, task, readings = None, 0, []
        for row in own:
            value = reading(before, row)
            before, task = row, row[1]
            if value is not None and compares(rule, value):
                readings.append((row[2] + stretch, value))
        yield from _joined(rule, task, readings, stretch)


def _restarts(tasks: list[int], begin: float) -> list[tuple[int, datetime, datetime | None]]:
    """Return task, start, and when it was seen to run, of each automatic restart."""
    lately = Attempt.objects.filter(cause=AttemptCause.RESTART, run__task__in=tasks, started_at__gte=moment(begin))
    columns = ("run__task", "started_at", "running_at")
    return list(lately.order_by("run__task", "started_at").values_list(*columns)[:_MOST_ROWS])


def _of_restarts(rule: AlertRule, metric: Metric, tasks: list[int], begin: float, end: float) -> Iterator[_Span]:
    for task, own in groupby(_restarts(tasks, begin - metric.span), key=itemgetter(0)):
        times = [at.timestamp() for _, at, _ in own]
        for n, at in enumerate(times):
            count = sum(1 for other in times[: n + 1] if other > at - metric.span)
            if at >= begin and compares(rule, count):
                # It is over when so many of them are older than the span that the rest no longer break it.
                over = times[max(0, n - int(rule.threshold))] + metric.span
                yield _Span(task, at, min(end, max(at, over)), count)


def _of_exception(rule: AlertRule, metric: Metric, tasks: list[int], begin: float, end: float) -> Iterator[_Span]:
    for task, at, running_at in _restarts(tasks, begin):
        yield _Span(task, at.timestamp(), (running_at or at).timestamp(), 1.0)


_SPANS: Final[dict[How, Callable[[AlertRule, Metric, list[int], float, float], Iterator[_Span]]]] = {
    How.STATUS: _of_status,
    How.NOW: _of_column,
    How.RATE: _of_counter,
    How.GROWTH: _of_counter,
    How.RESTARTS: _of_restarts,
    How.EXCEPTION: _of_exception,
    How.SNAPSHOT: _of_snapshot,
    How.STUCK: _of_stuck,
}
