"""The page of one task: its header on each tab, and the overview that lives below it."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from tasks.detection import sharing
from tasks.guards import Facts, load_facts
from tasks.impact import duplicates, replay_rows
from tasks.models import Connection, DirtyRow, OperationRequest, Run, Snapshot, StatusChange, Task
from tasks.models.run import AttemptCause
from tasks.series import recent_rate
from tasks.statuses import Operation, Outcome, Status
from tasks.views import htmx
from tasks.views.access import viewable_task
from tasks.views.addresses import whole_number
from tasks.views.rows import Button, buttons_of, overlays_of, render_buttons

_DIRTY_ROWS = 10
_RUNS = 5
_RESTARTS = 5
_SHARING = 50


@require_GET
def overview(request: HttpRequest, task_id: int) -> HttpResponse:
    task = viewable_task(request, task_id)
    regions = live_regions(request, task, ["task_header", "task_overview"], oob=False)
    return render(request, "tasks/detail.html", shell(request, task, "overview", regions=regions))


@require_GET
def live(request: HttpRequest, task_id: int) -> HttpResponse:
    """Answer the poll of a task page: of the regions it shows, those that changed, or 204."""
    task = viewable_task(request, task_id)
    shown = htmx.shown(request)
    return htmx.changed(request, live_regions(request, task, shown.keys()), shown)


def shell(request: HttpRequest, task: Task, tab: str, **context: Any) -> dict[str, Any]:
    """Return what each tab of the task page needs around its own content."""
    context.setdefault("regions", live_regions(request, task, ["task_header"], oob=False))
    return {"task": task, "tab": tab, "status": Status(task.status), **context}


def live_regions(request: HttpRequest, task: Task, names: Collection[str], *, oob: bool = True) -> list[dict[str, Any]]:
    """Render the wanted regions of the task page. Unknown names are left out: they come from a query."""
    makers = {"task_header": _header, "task_overview": _overview, "snapshot_news": _snapshot_news}
    return [
        htmx.region(request, name, f"tasks/partials/{name}.html", make(request, task), oob=oob)
        for name, make in makers.items()
        if name in names
    ]


def _snapshot_news(request: HttpRequest, task: Task) -> dict[str, Any]:
    """What came since the page was made, whose newest snapshot `newest` is: told, not forced into the table."""
    newest = whole_number(request.GET.get("newest", ""))
    newer = 0 if newest is None else Snapshot.objects.filter(task=task, pk__gt=newest).count()
    return {"task": task, "newer": newer}


def _header(request: HttpRequest, task: Task) -> dict[str, Any]:
    facts = load_facts([task], request.user.has_perm)[task.pk]
    last = task.last_request
    unknown = last.operation if last is not None and last.outcome == Outcome.UNKNOWN else None
    overlays = overlays_of(task, unknown, timezone.now())
    return {
        "task": task,
        "status": Status(task.status),
        "overlays": [overlay for overlay in overlays if overlay.name != "fault"],
        "buttons": render_buttons("header", task.name, _buttons(task, facts)),
        "steps": _steps(facts.open_request),
        "last_change": StatusChange.objects.filter(task=task).order_by("-pk").first(),
        "open_request": facts.open_request,
        "last_request": last,
        **_sharing(task),
    }


def _buttons(task: Task, facts: Facts) -> list[Button]:
    """The buttons of the row, with the one marked that most people would press now."""
    wanted = {
        Status.INITIALIZE: Operation.RUN,
        Status.STOPPED: Operation.RUN,
        Status.PAUSED: Operation.CONTINUE,
        Status.FAILURE: Operation.CONTINUE if facts.has_snapshot else Operation.RUN,
        Status.DETECTION_EXCEPTION: Operation.DETECT,
    }.get(facts.status)
    last = task.last_request
    if facts.status is Status.RUNNING and last is not None:
        failed = last.operation == Operation.PAUSE and last.outcome in (Outcome.FAILED, Outcome.UNKNOWN)
        wanted = Operation.FORCED_PAUSE if failed else None
    return [
        replace(button, is_next=not button.code and wanted is not None and button.operation == wanted.value)
        for button in buttons_of(facts, task.get_absolute_url())
    ]


def _steps(request: OperationRequest | None) -> list[tuple[str, datetime | None]]:
    """Return the steps of an operation under way, each with when it was taken; None: not yet."""
    if request is None:
        return []
    return [
        ("accepted", request.requested_at),
        ("a worker has it in hand", request.begun_at),
        ("the engine is asked", request.asked_at),
        ("the engine shows the end", request.settled_at),
    ]


def _sharing(task: Task) -> dict[str, Any]:
    """Who else needs what is missing: a few by name, and all that a bulk Re-detect would be for."""
    if task.status != Status.DETECTION_EXCEPTION:
        return {}
    others = list(sharing(task)[: _SHARING + 1])
    stuck = [other.pk for other in others if other.status == Status.DETECTION_EXCEPTION]
    chosen = urlencode({"task": [task.pk, *stuck]}, doseq=True)
    return {
        "sharing": others[:_SHARING],
        "sharing_more": len(others) > _SHARING,
        "redetect_all": f"{reverse('tasks:bulk', args=['detect'])}?{chosen}" if stuck else "",
    }


def _overview(request: HttpRequest, task: Task) -> dict[str, Any]:
    newest = Snapshot.objects.filter(task=task).continuable().first()
    names = [task.source_connection_id, task.target_connection_id]
    kinds = {connection.name: connection.get_kind_display() for connection in Connection.objects.filter(name__in=names)}
    replay = replay_rows(task, newest)
    now = time.time()
    return {
        "task": task,
        "read_rate": recent_rate(task.run, "rows_read", now) if task.run else None,
        "write_rate": recent_rate(task.run, "rows_written", now) if task.run else None,
        "source_kind": kinds.get(task.source_connection_id or "", "missing"),
        "target_kind": kinds.get(task.target_connection_id or "", "missing"),
        "newest": newest,
        "replay": replay,
        "duplicates": duplicates(task, replay),
        "dirty_rows": DirtyRow.objects.filter(run=task.run).order_by("-n", "-pk")[:_DIRTY_ROWS] if task.run else [],
        "restarts": _restarts(task),
        "restart_window": settings.OPS_RESTART_WINDOW,
        "runs": Run.objects.filter(task=task).order_by("-number", "-pk")[:_RUNS],
    }


def _restarts(task: Task) -> list[dict[str, Any]]:
    """The latest automatic restarts of the present run, each with what ended the attempt before it."""
    if task.run is None or not task.restarts:
        return []
    attempts = list(task.run.attempts.order_by("-epoch", "-pk")[: 4 * _RESTARTS])
    found = [
        {"at": later.started_at, "epoch": later.epoch, "why": earlier.end_reason}
        for later, earlier in pairwise(attempts)
        if later.cause == AttemptCause.RESTART
    ]
    return found[:_RESTARTS]
