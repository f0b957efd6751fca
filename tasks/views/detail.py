"""The page of one task: its header on each tab, and the overview that lives below it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from tasks.guards import load_facts
from tasks.impact import duplicates, replay_rows
from tasks.models import DirtyRow, Run, Snapshot, StatusChange, Task
from tasks.statuses import Status
from tasks.views import htmx
from tasks.views.access import viewable_task
from tasks.views.rows import buttons_of, kinds_of, overlays_of

_DIRTY_ROWS = 10
_RUNS = 5


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
    changed = [
        region for region in live_regions(request, task, shown.keys()) if region["version"] != shown[region["id"]]
    ]
    if not changed:
        return htmx.no_change()
    return render(request, "tasks/partials/accepted.html", {"regions": changed})


def shell(request: HttpRequest, task: Task, tab: str, **context: Any) -> dict[str, Any]:
    """Return what each tab of the task page needs around its own content."""
    context.setdefault("regions", live_regions(request, task, ["task_header"], oob=False))
    return {"task": task, "tab": tab, "status": Status(task.status), **context}


def live_regions(request: HttpRequest, task: Task, names: Collection[str], *, oob: bool = True) -> list[dict[str, Any]]:
    """Render the wanted regions of the task page. Unknown names are left out: they come from a query."""
    makers = {"task_header": _header, "task_overview": _overview}
    return [
        htmx.region(request, name, f"tasks/partials/{name}.html", make(request, task), oob=oob)
        for name, make in makers.items()
        if name in names
    ]


def _header(request: HttpRequest, task: Task) -> dict[str, Any]:
    facts = load_facts([task], request.user.has_perm)[task.pk]
    return {
        "task": task,
        "status": Status(task.status),
        "overlays": [overlay for overlay in overlays_of(task, timezone.now()) if overlay.name != "fault"],
        "buttons": buttons_of(task, facts, task.get_absolute_url()),
        "last_change": StatusChange.objects.filter(task=task).order_by("-pk").first(),
        "open_request": facts.open_request,
        "last_request": task.last_request,
    }


def _overview(request: HttpRequest, task: Task) -> dict[str, Any]:
    newest = Snapshot.objects.filter(task=task, unusable="").order_by("-taken_at", "-pk").first()
    kinds = kinds_of([task])
    replay = replay_rows(task, newest)
    return {
        "task": task,
        "source_kind": kinds.get(task.source_connection_id or "", "missing"),
        "target_kind": kinds.get(task.target_connection_id or "", "missing"),
        "newest": newest,
        "replay": replay,
        "duplicates": duplicates(task, replay),
        "dirty_rows": DirtyRow.objects.filter(run=task.run).order_by("-n", "-pk")[:_DIRTY_ROWS] if task.run else [],
        "runs": Run.objects.filter(task=task).order_by("-number", "-pk")[:_RUNS],
    }
