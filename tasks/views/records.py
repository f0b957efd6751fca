"""The tabs of a task page that look back: snapshots, history, configuration."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from tasks.guards import load_facts, refusal
from tasks.impact import duplicates, replay_rows
from tasks.matrix import OPERATE
from tasks.models import Attempt, Connection, OperationRequest, ResourceGroup, Run, Snapshot, StatusChange, Task
from tasks.runs import settings_of
from tasks.snapshots import MOST_PINNED, ask_for, moment, pin, unpin
from tasks.statuses import Operation, Status
from tasks.submission.writing import tags_of
from tasks.tables import page_of
from tasks.task_forms import spoken
from tasks.views.access import viewable_task
from tasks.views.detail import live_regions, shell
from tasks.views.ranges import RANGES, read_range
from tasks.views.timeline import timeline_of

_DAY = 86_400


@require_GET
def snapshots(request: HttpRequest, task_id: int) -> HttpResponse:
    task = viewable_task(request, task_id)
    ordered = Snapshot.objects.filter(task=task).select_related("run").order_by("-taken_at", "-pk")
    page = page_of(ordered, request.GET.get("page", ""))
    newest = Snapshot.objects.filter(task=task).continuable().first()
    rows = []
    for snapshot in page.object_list:
        replay = replay_rows(task, snapshot)
        next_one = newest is not None and snapshot.pk == newest.pk
        rows.append({"it": snapshot, "replay": replay, "duplicates": duplicates(task, replay), "is_next": next_one})
    facts = load_facts([task], request.user.has_perm)[task.pk]
    context = {
        "regions": live_regions(request, task, ["task_header", "snapshot_news"], oob=False),
        "live_query": f"newest={Snapshot.objects.filter(task=task).aggregate(pk=Max('pk'))['pk'] or 0}",
        "rows": rows,
        "page": page,
        "may_operate": request.user.has_perm(OPERATE),
        "may_continue": refusal(Operation.CONTINUE, facts) is None and not task.exactly_once,
        "may_take": task.status == Status.RUNNING and task.restart_at is None,
    }
    return render(request, "tasks/snapshots.html", shell(request, task, "snapshots", **context))


@require_POST
def take_snapshot(request: HttpRequest, task_id: int) -> HttpResponse:
    """Ask for a snapshot while the task goes on."""
    task = viewable_task(request, task_id)
    _must_operate(request)
    if ask_for(task, timezone.now(), request.user.get_username()):
        messages.success(request, "A snapshot is asked for.")
    else:
        now = "between two attempts" if task.restart_at else str(task.get_status_display())
        messages.error(request, f"Only a Running task takes a snapshot; {task.name} is {now}.")
    return redirect("tasks:snapshots", task.pk)


@require_POST
def pin_snapshot(request: HttpRequest, task_id: int, snapshot_id: int) -> HttpResponse:
    """Pin a snapshot, or let it go, as the form says: pressed twice, it stays so."""
    task = viewable_task(request, task_id)
    _must_operate(request)
    snapshot = Snapshot.objects.filter(task=task, pk=snapshot_id).first()
    if snapshot is None:
        messages.error(request, "This snapshot is gone: newer ones took its place, or Stop or Run discarded it.")
    elif request.POST.get("pinned") != "1":
        unpin(snapshot, request.user.get_username())
    elif not pin(snapshot, request.user.get_username()):
        messages.error(request, f"{MOST_PINNED} snapshots of a task can be pinned: let one go first.")
    return redirect("tasks:snapshots", task.pk)


def _must_operate(request: HttpRequest) -> None:
    if not request.user.has_perm(OPERATE):
        raise PermissionDenied("You may not take or pin snapshots. Ask for the right to operate tasks.")


@require_GET
def history(request: HttpRequest, task_id: int) -> HttpResponse:
    """What was asked for, refused things too; what the status did; what ran. Each paged by itself."""
    task = viewable_task(request, task_id)
    query = request.GET
    requests = page_of(OperationRequest.objects.filter(task=task).order_by("-pk"), query.get("requests", ""))
    changes = page_of(StatusChange.objects.filter(task=task).order_by("-pk"), query.get("changes", ""))
    attempts = page_of(
        Attempt.objects.filter(run__task=task)
        .select_related("run", "from_snapshot")
        .order_by("-run__number", "-epoch", "-pk"),
        query.get("attempts", ""),
    )
    now = time.time()
    chosen = read_range(query, now, _range_of(task, now))
    context = {
        "chosen": chosen,
        "ranges": [(name, label) for name, (label, _) in RANGES.items()],
        "timeline": timeline_of(task, moment(chosen.begin), moment(chosen.end)),
        "requests": requests,
        "request_rows": [
            {"it": it, "operation": Operation(it.operation), "allowed": [Operation(o).label for o in it.allowed]}
            for it in requests.object_list
        ],
        "changes": changes,
        "change_rows": [
            {
                "it": it,
                "before": Status(it.from_status) if it.from_status else None,
                "after": Status(it.to_status),
            }
            for it in changes.object_list
        ],
        "attempts": attempts,
        "attempt_rows": _with_actual(task, list(attempts.object_list)),
        "ended_runs": {run.number: run for run in Run.objects.filter(task=task).order_by("-number", "-pk")[:25]},
    }
    return render(request, "tasks/history.html", shell(request, task, "history", **context))


def _range_of(task: Task, now: float) -> str:
    """Return the range that shows the whole life of a young task; of an old one its last day."""
    age = now - (task.submitted_at or task.status_since).timestamp()
    return next((name for name, (_, seconds) in RANGES.items() if age <= seconds <= _DAY), "24h")


def _with_actual(task: Task, attempts: list[Attempt]) -> list[dict[str, Any]]:
    """Return each attempt with how many rows it did replay: up to where the next one of its run began, or until now."""
    rows, later = [], None
    for it in attempts:
        follows = later is not None and later.run_id == it.run_id and later.epoch == it.epoch + 1
        until = later.replayed_before if later is not None and follows else None
        if task.run_id == it.run_id and it.ended_at is None:
            until = task.rows_replayed
        known = until is not None and it.replayed_before is not None
        rows.append({"it": it, "replayed": max(0, until - it.replayed_before) if known else None})
        later = it
    return rows


@require_GET
def configuration(request: HttpRequest, task_id: int) -> HttpResponse:
    """Every setting of the task and of what it names. A secret is said to be there, nothing more."""
    task = viewable_task(request, task_id)
    names = {task.source_connection_id, task.target_connection_id}
    connections = {connection.name: connection for connection in Connection.objects.filter(name__in=names)}
    context = {
        "source": connections.get(task.source_connection_id or ""),
        "target": connections.get(task.target_connection_id or ""),
        "tags": tags_of(task),
        "group": ResourceGroup.objects.filter(name=task.group_id).first(),
        "source_options": sorted(task.source_options.items()) if isinstance(task.source_options, dict) else [],
    }
    # The one that runs, or the one that a Continue would follow.
    newest = task.run.attempts.first() if task.run else None
    if newest is not None and newest.settings:
        now = settings_of(task)
        context["differs"] = [
            {"name": spoken(name), "used": used, "now": now.get(name)}
            for name, used in newest.settings.items()
            if now.get(name) != used
        ]
        context["attempt"] = newest
    context["may_change"] = request.user.has_perm("tasks.change_task")
    context["may_add"] = request.user.has_perm("tasks.add_task")
    return render(request, "tasks/configuration.html", shell(request, task, "configuration", **context))
