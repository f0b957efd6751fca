"""The task list, its poll, and the counts above it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from tasks.filters import COUNT_LIMIT, TaskFilter
from tasks.models import Connection, ResourceGroup, Task, WriteMode
from tasks.statuses import Status
from tasks.tables import PER_PAGE, BoundedPaginator, TaskTable
from tasks.views import htmx
from tasks.views.access import may_view
from tasks.views.rows import build_rows, render_rows, shown_tasks
from tasks.views.versions import versions_of

#: A list of choices longer than this is no choice; the query takes any name all the same.
_CHOICES = 200
#: Seconds for which what was counted, and what can be chosen, is not asked for again.
_FRESH = 3


@require_GET
def task_list(request: HttpRequest) -> HttpResponse:
    """The list, or for htmx its table alone."""
    may_view(request)
    asked = TaskFilter.read(request.GET)
    counts = counts_of(asked)
    # Ordered and cut by their keys alone: a deep page must not join what it skips.
    table = TaskTable(asked.apply(Task.objects.submitted()).order_by("name", "pk").values("pk"))
    table.order_by = [asked.sort] if asked.sort else []
    page = _paginate(table, request.GET.get("page", ""), counts["found"])
    keys = [row.record["pk"] for row in page.object_list]
    by_key = {task.pk: task for task in shown_tasks().filter(pk__in=keys).order_by()}
    rows = build_rows((by_key[pk] for pk in keys if pk in by_key), request.user.has_perm)
    context = {
        "asked": asked,
        "table": table,
        "headings": _headings(table, asked),
        "rows": render_rows(rows),
        "page": page,
        "previous": asked.query(page=page.previous_page_number()) if page.has_previous() else "",
        "next": asked.query(page=page.next_page_number()) if page.has_next() else "",
        "query": asked.query(),
        **counts,
    }
    if not htmx.wants_fragment(request):
        context |= _choices()
        if rows and asked.status == (Status.DETECTION_EXCEPTION,):
            context["redetect_all"] = f"{reverse('tasks:bulk', args=['detect'])}?{asked.query()}"
    return htmx.page_or_fragment(request, "tasks/list.html", "tasks/partials/task_list.html", context)


@require_GET
def changed_rows(request: HttpRequest) -> HttpResponse:
    """Answer a poll of the list: the rows that changed since `v`, or 204."""
    may_view(request)
    shown = {
        int(name[5:]): version
        for name, version in htmx.shown(request).items()
        if name.startswith("task-") and name[5:].isascii() and name[5:].isdigit() and len(name) < 23
    }
    versions = versions_of(shown)
    changed = [pk for pk, version in versions.items() if version != shown[pk]]
    gone = sorted(set(shown) - versions.keys())
    if not changed and not gone:
        return htmx.no_change()
    rows = build_rows(shown_tasks().filter(pk__in=changed).order_by("pk"), request.user.has_perm)
    return HttpResponse(render_rows(rows, oob=True, gone=gone))


@require_GET
def status_counts(request: HttpRequest) -> HttpResponse:
    """Answer the slower poll of the counts."""
    may_view(request)
    context = {"asked": TaskFilter.read(request.GET), **counts_of(TaskFilter.read(request.GET))}
    if htmx.shown(request).get("status_counts") == context["counts_version"]:
        return htmx.no_change()
    return render(request, "tasks/partials/status_counts.html", context)


def _paginate(table: TaskTable, number: str, count: int) -> Any:
    """Show the page asked for, or the nearest there is."""
    wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 1
    last = BoundedPaginator(table.rows, PER_PAGE, known_count=count).num_pages
    page = min(max(wanted, 1), last)
    table.paginate(paginator_class=BoundedPaginator, per_page=PER_PAGE, page=page, known_count=count)
    return table.page


def _headings(table: TaskTable, asked: TaskFilter) -> list[list[dict[str, Any]]]:
    sorted_by = asked.sort.lstrip("-") or "name"
    descending = asked.sort.startswith("-")
    return [
        [
            {
                "name": column.name,
                "label": str(column.header),
                "query": asked.query(sort=_next_sort(column.name, sorted_by, descending)) if column.orderable else "",
                "direction": ("descending" if descending else "ascending") if column.name == sorted_by else "",
            }
            for column in cell
        ]
        for cell in table.headings()
    ]


def _next_sort(name: str, sorted_by: str, descending: bool) -> str:
    return f"-{name}" if name == sorted_by and not descending else name


def counts_of(asked: TaskFilter) -> dict[str, Any]:
    """Return what stands above the list. Counted anew after some seconds: many look, and a poll brings the rest."""
    counted = cache.get_or_set(f"counts:{htmx.version_of([replace(asked, status=(), sort='')])}", asked.counts, _FRESH)
    counts = [
        {
            "status": status,
            "count": f"{n:,}+" if n >= COUNT_LIMIT else f"{n:,}",
            "value": n,
            "query": asked.toggle(status),
            "wanted": status in asked.status,
        }
        for status, n in counted.items()
    ]
    return {
        "counts": counts,
        "found": sum(n for status, n in counted.items() if not asked.status or status in asked.status),
        "counts_version": htmx.version_of([counted]),
        "total": f"{sum(counted.values()):,}{'+' if max(counted.values()) >= COUNT_LIMIT else ''}",
        "all_query": asked.query(status=()),
        "counts_query": asked.query(),
    }


def _choices() -> dict[str, Any]:
    found: dict[str, Any] = cache.get_or_set("choices", _load_choices, _FRESH)
    return found


def _load_choices() -> dict[str, Any]:
    users = get_user_model().objects.filter(is_active=True).order_by("username", "pk")
    connections = Connection.objects.order_by("name", "pk").values_list("name", flat=True)
    return {
        "groups": list(ResourceGroup.objects.order_by("name", "pk").values_list("name", flat=True)[:_CHOICES]),
        "connections": list(connections[:_CHOICES]),
        "owners": list(users.values_list("username", flat=True)[:_CHOICES]),
        "modes": WriteMode.choices,
        "statuses": list(Status),
    }
