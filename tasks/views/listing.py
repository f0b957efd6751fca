"""The task list, its poll, and the counts above it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
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
from tasks.views.rows import build_rows, versions_of

#: A list of choices longer than this is no choice; the query takes any name all the same.
_CHOICES = 200
# What the list doesn't show is not read: a task's options can be long.
_UNSHOWN = ("description", "source_options", "target_key", "offset_text", "fault_advice", "fault_subject")


def shown_tasks() -> Any:
    return Task.objects.submitted().select_related("owner", "last_request").defer(*_UNSHOWN)


@require_GET
def task_list(request: HttpRequest) -> HttpResponse:
    """The list, or for htmx its table alone."""
    may_view(request)
    asked = TaskFilter.read(request.GET)
    table = TaskTable(asked.apply(shown_tasks()).order_by("name", "pk"))
    table.order_by = [asked.sort] if asked.sort else []
    page = _paginate(table, request.GET.get("page", ""))
    rows = build_rows((row.record for row in page.object_list), request.user.has_perm)
    context = {
        "asked": asked,
        "table": table,
        "headings": _headings(table, asked),
        "rows": rows,
        "page": page,
        "previous": asked.query(page=page.previous_page_number()) if page.has_previous() else "",
        "next": asked.query(page=page.next_page_number()) if page.has_next() else "",
        "query": asked.query(),
        **counts_of(asked),
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
    tasks = list(shown_tasks().filter(pk__in=shown).order_by("pk"))
    versions = versions_of(tasks, request.user.has_perm)
    changed = [task for task in tasks if versions[task.pk] != shown[task.pk]]
    gone = sorted(set(shown) - versions.keys())
    if not changed and not gone:
        return htmx.no_change()
    rows = build_rows(changed, request.user.has_perm)
    return render(request, "tasks/partials/changed_rows.html", {"rows": rows, "gone": gone})


@require_GET
def status_counts(request: HttpRequest) -> HttpResponse:
    """Answer the slower poll of the counts."""
    may_view(request)
    context = {"asked": TaskFilter.read(request.GET), **counts_of(TaskFilter.read(request.GET))}
    if htmx.shown(request).get("status_counts") == context["counts_version"]:
        return htmx.no_change()
    return render(request, "tasks/partials/status_counts.html", context)


def _paginate(table: TaskTable, number: str) -> Any:
    """Show the page asked for, or the nearest there is."""
    wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 1
    last = BoundedPaginator(table.rows, PER_PAGE).num_pages
    table.paginate(paginator_class=BoundedPaginator, per_page=PER_PAGE, page=min(max(wanted, 1), last))
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
    counted = asked.counts()
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
        "counts_version": htmx.version_of([counted]),
        "total": f"{sum(counted.values()):,}{'+' if max(counted.values()) >= COUNT_LIMIT else ''}",
        "all_query": asked.query(status=()),
        "counts_query": asked.query(),
    }


def _choices() -> dict[str, Any]:
    users = get_user_model().objects.filter(is_active=True).order_by("username", "pk")
    connections = Connection.objects.order_by("name", "pk").values_list("name", flat=True)
    return {
        "groups": list(ResourceGroup.objects.order_by("name", "pk").values_list("name", flat=True)[:_CHOICES]),
        "connections": list(connections[:_CHOICES]),
        "owners": list(users.values_list("username", flat=True)[:_CHOICES]),
        "modes": WriteMode.choices,
        "statuses": list(Status),
    }
