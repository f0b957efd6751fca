"""A task's metrics: charts, the same numbers as a table, and as a file."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from tasks import series as metric_series
from tasks.models import OperationRequest, Sample, StatusChange, Task
from tasks.phases import progress_of
from tasks.series import MEASURES, Series
from tasks.snapshots import moment
from tasks.statuses import Operation, Status
from tasks.views import charts, htmx
from tasks.views.access import viewable_task
from tasks.views.charts import Mark
from tasks.views.detail import shell
from tasks.views.ranges import RANGES, TimeRange, read_range

_MARKS: Final = 100
_CHARTS: Final = (
    ("rows", "Rows a second", ("read_rate", "write_rate")),
    ("bytes", "Bytes a second", ("read_bytes_rate", "write_bytes_rate")),
    ("lag", "Behind its source", ("lag_seconds",)),
    ("waiting", "Rows waiting in the source", ("lag_rows",)),
    ("latency", "Slowest delivery", ("delivery_ms", "event_lag_ms")),
    ("dirty", "Dirty and replayed rows", ("dirty_rows", "replayed_rows")),
    ("restarts", "Automatic restarts", ("restarts",)),
    ("snapshots", "Duration of a snapshot", ("snapshot_ms",)),
    ("snapshot_age", "Age of the latest snapshot", ("snapshot_age",)),
)
_BY_KEY: Final = {measure.key: measure for measure in MEASURES}


@require_GET
def metrics(request: HttpRequest, task_id: int) -> HttpResponse:
    task = viewable_task(request, task_id)
    chosen = read_range(request.GET, time.time())
    version = _version(task, chosen)
    polled = htmx.shown(request).get("task_charts") if htmx.wants_fragment(request) else None
    if polled == version:
        return htmx.no_change()
    context = {**_context(task, chosen), "version": version, "table": "table" in request.GET}
    if htmx.wants_fragment(request):
        return render(request, "tasks/partials/task_charts.html", {"task": task, **context})
    return render(request, "tasks/metrics.html", shell(request, task, "metrics", **context))


def _version(task: Task, chosen: TimeRange) -> str:
    """Return what changes when there is something new to draw: one small query instead of all of it."""
    newest = Sample.objects.filter(run=task.run).order_by("-at").values_list("at", flat=True).first()
    changed = StatusChange.objects.filter(task=task).order_by("-pk").values_list("pk", flat=True).first()
    return htmx.version_of([task.run_id, newest, changed, task.last_request_id, chosen.query])


def _context(task: Task, chosen: TimeRange) -> dict[str, Any]:
    now = time.time()
    found = metric_series.of_run(task.run, chosen.begin, chosen.end, now) if task.run else None
    context: dict[str, Any] = {
        "chosen": chosen,
        "ranges": [(name, label) for name, (label, _) in RANGES.items()],
        "progress": progress_of(task, now),
        "series": found,
        "is_empty": found is None or found.is_empty,
    }
    if found is None or found.is_empty:
        return context
    marks = charts.placed(_marks(task, found), found)
    context |= {
        "charts": [
            charts.chart(key, title, [_BY_KEY[name] for name in names], found, marks) for key, title, names in _CHARTS
        ],
        "marks": marks,
        "marks_cut": len(marks) >= _MARKS,
        "data": _data(found),
        "measures": MEASURES,
        "rows": list(_rows(found)),
    }
    return context


def _marks(task: Task, found: Series) -> list[Mark]:
    """Return what was asked for and what the status did, newest of them at most _MARKS, oldest first."""
    ends = moment(found.begin), moment(found.end)
    changes = StatusChange.objects.filter(task=task, at__range=ends).exclude(to_status=Status.OPERATING)
    requests = OperationRequest.objects.filter(task=task, requested_at__range=ends).order_by("-pk")[:_MARKS]
    marks = [
        Mark(change.at, Status(change.to_status).tone, f"{Status(change.to_status).label} ({change.actor_name})")
        for change in changes.order_by("-pk")[:_MARKS]
    ]
    marks += [
        Mark(
            asked.requested_at,
            "progress",
            f"{Operation(asked.operation).label} asked for by {asked.actor_name}: {asked.get_outcome_display()}",
        )
        for asked in requests
    ]
    return sorted(marks, key=lambda mark: mark.at)[-_MARKS:]


def _data(found: Series) -> dict[str, Any]:
    """Return what charts.js shows under the crosshair."""
    values = {
        measure.key: [charts.shown(value, measure.unit) for value in found.values[measure.key]] for measure in MEASURES
    }
    return {"begin": found.begin, "step": found.step, "length": found.length, "values": values}


def _rows(found: Series) -> Iterator[tuple[datetime, list[float | None]]]:
    """Return each step in which something is known, newest first."""
    for place in range(found.length - 1, -1, -1):
        values = [found.values[measure.key][place] for measure in MEASURES]
        if any(value is not None for value in values):
            yield datetime.fromtimestamp(found.at(place), tz=UTC), values


class _Line:
    """What csv.writer writes to: each line is handed on as it comes."""

    def write(self, line: str) -> str:
        return line


@require_GET
def metrics_file(request: HttpRequest, task_id: int) -> HttpResponse | StreamingHttpResponse:
    """The same numbers as CSV, times in UTC; what is not known is empty."""
    task = viewable_task(request, task_id)
    now = time.time()
    chosen = read_range(request.GET, now)
    if chosen.problem:
        return HttpResponse(chosen.problem, status=400, content_type="text/plain")
    found = metric_series.of_run(task.run, chosen.begin, chosen.end, now) if task.run else Series(0, 1, 0)
    writer = csv.writer(_Line())
    head = ["from", "seconds", *(measure.key for measure in MEASURES)]

    def lines() -> Iterator[str]:
        yield writer.writerow(head)
        for at, values in _rows(found) if found.values else ():
            numbers = ["" if value is None else f"{value:.6g}" if value % 1 else f"{value:.0f}" for value in values]
            yield writer.writerow([at.strftime("%Y-%m-%dT%H:%M:%SZ"), found.step, *numbers])

    response = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{task.name}-metrics.csv"'
    return response
