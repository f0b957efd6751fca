"""Which tasks break a rule just now, and of which nobody can tell. A few queries a rule, however many tasks."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet

from tasks.alerts.metrics import METRICS, How, Metric
from tasks.metrics import resolutions
from tasks.models import AlertRule, Attempt, Comparison, Sample, Scope, Task
from tasks.models.run import AttemptCause
from tasks.statuses import Status

#: A running task that was last looked at longer ago says nothing about now.
HEARD_WITHIN: Final = timedelta(seconds=15)
#: Read of one rule at once; more tasks than this breaking one rule is one disaster, and said as such by those.
MOST: Final = 2_000

Values = dict[int, float]
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    Comparison.ABOVE.value: operator.gt,
    Comparison.BELOW.value: operator.lt,
}


def compares(rule: AlertRule, value: float) -> bool:
    return _COMPARE[rule.comparison](value, rule.threshold)


def in_scope(rule: AlertRule) -> QuerySet[Task]:
    """Return the submitted tasks that `rule` is for."""
    tasks = Task.objects.submitted()
    if rule.scope == Scope.ALL:
        return tasks
    field = {Scope.TASKS: "name", Scope.GROUPS: "group_id", Scope.OWNERS: "owner__username"}[Scope(rule.scope)]
    return tasks.filter(**{f"{field}__in": rule.names})


def covers(rule: AlertRule, task: Task) -> bool:
    """Whether `task` is in the scope of `rule`, without a query where its owner is loaded."""
    if rule.scope == Scope.ALL:
        return True
    owner = task.owner.get_username() if task.owner else None
    name = {Scope.TASKS: task.name, Scope.GROUPS: task.group_id, Scope.OWNERS: owner}[Scope(rule.scope)]
    return name in rule.names


def breaking(rule: AlertRule, now: datetime) -> Values:
    """Return the tasks whose reading breaks `rule` now (see `must_last`), each with the reading in its unit."""
    metric = METRICS[rule.metric]
    found = _READ[metric.how](rule, metric, in_scope(rule).order_by("pk"), now)
    return dict(sorted(found.items())[:MOST])


def must_last(rule: AlertRule) -> timedelta:
    """Return for how long a reading must break `rule` before it is an alert."""
    metric = METRICS[rule.metric]
    told_by_itself = metric.how in (How.STATUS, How.RESTARTS) or metric.averages
    return timedelta(seconds=0 if told_by_itself else rule.window)


def undecided(rule: AlertRule, task_ids: Iterable[int], now: datetime) -> set[int]:
    """Return those of the tasks of which nobody can tell now whether they break `rule`.

    An operation is in progress, or an engine does not answer: an alert stays what it was.
    """
    how = METRICS[rule.metric].how
    unknown: Any = Q(status=Status.OPERATING)
    if METRICS[rule.metric].status is Status.OPERATING:
        return set()
    if how not in (How.STATUS, How.UNHEARD, How.RESTARTS):
        unknown |= Q(status=Status.RUNNING) & ~_heard(now)
    if how in (How.NOW, How.STUCK, How.SNAPSHOT, How.RATE, How.GROWTH):
        unknown |= Q(status=Status.RUNNING, restart_at__isnull=False)
    if how is How.RATE:
        then = Sample.objects.filter(run=OuterRef("run"), **_at_baseline(*_baseline(rule.window, now)))
        unknown |= Q(status=Status.RUNNING) & ~Exists(then)
        unknown |= Q(status=Status.RUNNING, status_since__gt=now - timedelta(seconds=rule.window))
    return set(Task.objects.filter(unknown, pk__in=list(task_ids)).values_list("pk", flat=True))


def _heard(now: datetime) -> Q:
    return Q(observed_at__gte=now - HEARD_WITHIN) & ~Q(engine_state="unreachable")


def _running(tasks: QuerySet[Task], now: datetime) -> QuerySet[Task]:
    return tasks.filter(_heard(now), status=Status.RUNNING, restart_at__isnull=True, run__isnull=False)


# --- one function a way of reading ------------------------------------------------------------------------


def _of_status(rule: AlertRule, metric: Metric, tasks: QuerySet[Task], now: datetime) -> Values:
    seconds = rule.threshold if metric.threshold is not None else rule.window
    found = tasks.filter(status=metric.status, status_since__lte=now - timedelta(seconds=seconds))
    if metric.is_news:
        found = found.filter(status_since__gte=rule.enabled_at)
    return {pk: (now - since).total_seconds() for pk, since in found.values_list("pk", "status_since")[:MOST]}


def _of_column(rule: AlertRule, metric: Metric, tasks: QuerySet[Task], now: datetime) -> Values:
    sign = "gt" if rule.comparison == Comparison.ABOVE else "lt"
    found = _running(tasks, now).filter(**{f"{metric.column}__{sign}": rule.threshold / metric.scale})
    return {pk: value * metric.scale for pk, value in found.values_list("pk", metric.column)[:MOST]}


def _of_rate(rule: AlertRule, metric: Metric, tasks: QuerySet[Task], now: datetime) -> Values:
    """Compare the counter now with the sample from about a window ago; without that sample nothing is known."""
    stretch, begin = _baseline(rule.window, now)
    # What was not running all through the window wrote little for another reason.
    running = _running(tasks, now).filter(status_since__lte=now - timedelta(seconds=rule.window))
    then = {"run__in": running.order_by().values("run"), **_at_baseline(stretch, begin)}
    before = _earliest(Sample.objects.filter(**then), metric.column)
    values = {}
    for pk, run, at, count in running.values_list("pk", "run", "observed_at", metric.column):
        if run in before:
            ended, counted = before[run][0] + stretch, before[run][1]
            values[pk] = max(0, count - counted) / max(1.0, at.timestamp() - ended)
    return {pk: value for pk, value in values.items() if compares(rule, value)}


def _of_growth(rule: AlertRule, metric: Metric, tasks: QuerySet[Task], now: datetime) -> Values:
    """A run that began within the window grew from nothing; after a gap the earliest sample there is must do."""
    stretch, begin = _baseline(rule.window, now)
    running = _running(tasks, now).filter(**{f"{metric.column}__gt": 0})
    within = Sample.objects.filter(run__in=running.order_by().values("run"), resolution=stretch, at__gte=begin)
    before = _earliest(within, metric.column)
    since = now - timedelta(seconds=rule.window)
    values: Values = {}
    for pk, run, started, count in running.values_list("pk", "run", "run__started_at", metric.column):
        counted = 0 if started >= since else before[run][1] if run in before else count
        values[pk] = max(0, count - counted)
    return {pk: value for pk, value in values.items() if compares(rule, value)}


def _baseline(window: int, now: datetime) -> tuple[int, int]:
    """Return the resolution that still has samples from `window` seconds ago, and the stretch that ended then."""
    for stretch, kept in resolutions():
        if kept >= window + 4 * stretch:
            break
    return stretch, int((now.timestamp() - window) // stretch) * stretch - stretch


def _at_baseline(stretch: int, begin: int) -> dict[str, int]:
    return {"resolution": stretch, "at__gte": begin - stretch, "at__lte": begin + 2 * stretch}


def _earliest(samples: QuerySet[Sample], column: str) -> dict[int, tuple[int, int]]:
    """Return run -> (begin of its earliest stretch, the counter at the end of that). Counters only grow."""
    found = samples.order_by().values("run").annotate(then=Min("at"), counted=Min(column))
    return {row["run"]: (row["then"], row["counted"]) for row in found}


def _of_restarts(rule: AlertRule, metric: Metric, tasks: QuerySet[Task], now: datetime) -> Values:
    lately = Attempt.objects.filter(cause=AttemptCause.RESTART, started_at__gte=now - timedelta(seconds=metric.span))
    ongoing = lately.filter(run__task__in=tasks.order_by().values("pk"), run__ended_at__isnull=True)
    counts = ongoing.order_by().values("run__task").annotate(n=Count("pk"))
    return {row["run__task"]: row["n"] for row in counts if compares(rule, row["n"])}


def _of_exception(rule: AlertRule, metric: Metric, tasks: QuerySet[Task], now: datetime) -> Values:
    wrong = Q(restart_at__isnull=False) | (~Q(fault_code="") & _heard(now))
    found = tasks.filter(wrong, status=Status.RUNNING)
    return {pk: float(restarts) for pk, restarts in found.values_list("pk", "restarts_in_row")[:MOST]}


def _of_snapshot(rule: AlertRule, metric: Metric, tasks: QuerySet[Task], now: datetime) -> Values:
    late = Q(last_write_at__gt=F("snapshot_at")) | Q(snapshot_at__isnull=True, last_write_at__isnull=False)
    fields = ("pk", "snapshot_interval", "snapshot_at", "last_write_at", "run__started_at")
    values = {}
    for pk, interval, taken_at, written_at, started_at in _running(tasks, now).filter(late).values_list(*fields):
        values[pk] = (written_at - (taken_at or started_at)).total_seconds() / interval
    return {pk: value for pk, value in values.items() if compares(rule, value)}


def _of_stuck(rule: AlertRule, metric: Metric, tasks: QuerySet[Task], now: datetime) -> Values:
    behind = Q(lag_rows__gt=0) | Q(lag_seconds__gt=0)
    values = {}
    for pk, written_at, since in _running(tasks, now).filter(behind).values_list("pk", "last_write_at", "status_since"):
        values[pk] = (now - max(written_at or since, since)).total_seconds()
    return {pk: value for pk, value in values.items() if compares(rule, value)}


def _of_unheard(rule: AlertRule, metric: Metric, tasks: QuerySet[Task], now: datetime) -> Values:
    before = now - timedelta(seconds=rule.threshold)
    silent = Q(observed_at__lt=before) | Q(observed_at__isnull=True, status_since__lt=before)
    found = tasks.filter(silent, status=Status.RUNNING, restart_at__isnull=True)
    seen = found.values_list("pk", "observed_at", "status_since")[:MOST]
    return {pk: (now - (at or since)).total_seconds() for pk, at, since in seen}


_READ: Final[dict[How, Callable[[AlertRule, Metric, QuerySet[Task], datetime], Values]]] = {
    How.STATUS: _of_status,
    How.NOW: _of_column,
    How.RATE: _of_rate,
    How.GROWTH: _of_growth,
    How.RESTARTS: _of_restarts,
    How.EXCEPTION: _of_exception,
    How.SNAPSHOT: _of_snapshot,
    How.STUCK: _of_stuck,
    How.UNHEARD: _of_unheard,
}
