"""The tabs of a task page that look back: snapshots, history, configuration."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from tasks.impact import duplicates, replay_rows
from tasks.models import Attempt, Connection, OperationRequest, ResourceGroup, Run, Snapshot, StatusChange
from tasks.statuses import Operation, Status
from tasks.tables import page_of
from tasks.views.access import viewable_task
from tasks.views.detail import shell


@require_GET
def snapshots(request: HttpRequest, task_id: int) -> HttpResponse:
    task = viewable_task(request, task_id)
    ordered = Snapshot.objects.filter(task=task).select_related("run").order_by("-taken_at", "-pk")
    page = page_of(ordered, request.GET.get("page", ""))
    newest = Snapshot.objects.filter(task=task, unusable="").order_by("-taken_at", "-pk").first()
    rows = []
    for snapshot in page.object_list:
        replay = replay_rows(task, snapshot)
        next_one = newest is not None and snapshot.pk == newest.pk
        rows.append({"it": snapshot, "replay": replay, "duplicates": duplicates(task, replay), "is_next": next_one})
    return render(request, "tasks/snapshots.html", shell(request, task, "snapshots", rows=rows, page=page))


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
    context = {
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
        "ended_runs": {run.number: run for run in Run.objects.filter(task=task).order_by("-number", "-pk")[:25]},
    }
    return render(request, "tasks/history.html", shell(request, task, "history", **context))


@require_GET
def configuration(request: HttpRequest, task_id: int) -> HttpResponse:
    """Every setting of the task and of what it names. A secret is said to be there, nothing more."""
    task = viewable_task(request, task_id)
    names = {task.source_connection_id, task.target_connection_id}
    connections = {connection.name: connection for connection in Connection.objects.filter(name__in=names)}
    context = {
        "source": connections.get(task.source_connection_id or ""),
        "target": connections.get(task.target_connection_id or ""),
        "group": ResourceGroup.objects.filter(name=task.group_id).first(),
        "source_options": sorted(task.source_options.items()) if isinstance(task.source_options, dict) else [],
    }
    return render(request, "tasks/configuration.html", shell(request, task, "configuration", **context))
