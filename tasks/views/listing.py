"""The task list, its poll, and the counts above it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from django.core.cache import cache, caches
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from tasks.filters import COUNT_LIMIT, TaskFilter
from tasks.guards import not_allowed
from tasks.locale import separators, written
from tasks.models import Task, WriteMode
from tasks.owners import BY_OWNER, found_by_owner
from tasks.sign_in import poll
from tasks.statuses import Operation, Status
from tasks.tables import PER_PAGE, BoundedPaginator, TaskTable
from tasks.views import htmx
from tasks.views.access import may_poll, may_view
from tasks.views.addresses import whole_number
from tasks.views.icons import icon
from tasks.views.preferences import preferences_of
from tasks.views.pulse import changed_pulse
from tasks.views.rows import KINDS, build_rows, render_rows
from tasks.views.versions import FRESH, read_versions, rights_mark, versions_of

#: Seconds for which what was counted is not counted again.
_FRESH: Final = 3
#: Seconds for which the polls of many share an answer.
_SHARED: Final = 1
#: Question -> what it is about, and the words of its values.
_QUESTIONS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "group": ("group", {}),
    "owner": ("owner", {}),
    "source_kind": ("source", KINDS),
    "target_kind": ("target", KINDS),
    "mode": ("mode", {value: str(label) for value, label in WriteMode.choices}),
    "tag": ("tag", {}),
}
_UP: Final = icon("up")
_DOWN: Final = icon("down")


@require_GET
def task_list(request: HttpRequest) -> HttpResponse:
    """The list, or for htmx its table alone."""
    may_view(request)
    asked = TaskFilter.read(request.GET)
    context = {
        "asked": asked,
        "query": asked.query(),
        "list_url": reverse("tasks:list"),
        "as_fragment": htmx.wants_fragment(request),
        **counts_of(asked),
    }
    table = _render_table(request, context)
    if context["as_fragment"]:
        return htmx.varied(HttpResponse(table))
    context |= {
        "table": table,
        "status_counts": htmx.render_part("status_counts.html", context),
        "facets": _facets(asked),
        **preferences_of(request),
    }
    if context["found"] and asked.status == (Status.DETECTION_EXCEPTION,):
        context["redetect_all"] = f"{reverse('tasks:bulk', args=['detect'])}?{asked.query()}"
    return htmx.varied(render(request, "tasks/list.html", context))


def _render_table(request: HttpRequest, context: dict[str, Any]) -> SafeString:
    asked: TaskFilter = context["asked"]
    table = _table(asked)
    page = _paginate(table, request.GET.get("page", ""), context["found"])
    keys = _keys(page)
    rows = build_rows(keys, request.user.has_perm)
    plus = "+" if page.paginator.is_cut else ""
    shown = {
        "headings": _headings(table, asked),
        "rows": render_rows(rows),
        "keys_version": htmx.version_of([row.id for row in rows]),
        "kept": [(name, value) for name, value in asked.pairs() if name != "sort"],
        "operations": _bulk_buttons(request.user.has_perm),
        "bulk_url": reverse("tasks:bulk", args=[Operation.PAUSE.value]),  # where no button says another
        "all": f"{written(context['found'])}{plus}",
        "number": page.number,
        "last": f"{page.paginator.num_pages}{plus}",
        "previous": asked.query(page=page.number - 1) if page.has_previous() else None,
        "next": asked.query(page=page.number + 1) if page.has_next() else None,
        "here": asked.query(page=page.number),
        "now": f"{timezone.now():%H:%M:%S}",
        "rows_url": reverse("tasks:rows"),
        "draft_url": reverse("admin:tasks_task_add") if request.user.is_staff else "",
    }
    return htmx.render_part("task_list.html", context | shown)


@poll
@require_GET
def changed_rows(request: HttpRequest) -> HttpResponse:
    """Answer a poll of the list: what changed since `v` of all that it names, or 204.

    Rows each time; every third poll names the counts, the news and what each page carries as well. One request for all:
    five hundred open lists are five hundred polls in less than two seconds, whatever they show.
    """
    may = may_poll(request)
    shown = htmx.shown(request)
    found = _changed_rows(shown, may)
    if "status_counts" in shown:
        found += _changed_counts(request, shown)
    if regions := changed_pulse(request, shown):
        found += render_to_string("tasks/partials/accepted.html", {"regions": regions}, request=request)
    return HttpResponse(found) if found else htmx.no_change()


def _changed_rows(shown: dict[str, str], may: Callable[[str], bool]) -> str:
    named = ((whole_number(name.removeprefix("task-")), version) for name, version in shown.items())
    rights = rights_mark(may)
    # What is shown to other rights than there are now is not as it should be, whatever the task does.
    rows = {pk: v.removesuffix(rights) if v.endswith(rights) else "" for pk, v in named if pk is not None}
    if not rows:
        return ""
    lately = versions_of(rows)
    differing = {pk: version for pk, version in rows.items() if lately.get(pk) != version}
    # What was read a moment ago may be older than what the page shows: somebody's click must not be taken back. What is
    # shared here was read for a page that showed the same, so after it.
    versions: dict[int, str] = {}
    if differing:
        since = f"since:{htmx.version_of(sorted(differing.items()))}"
        versions = cache.get_or_set(since, lambda: read_versions(differing), FRESH)
    changed = [pk for pk, version in versions.items() if version != rows[pk]]
    gone = sorted(differing.keys() - versions.keys())
    if not changed and not gone:
        return ""
    # All who look at these rows and may do the same are told the same: what failed with an engine is rendered once.
    told = [sorted((pk, versions[pk]) for pk in changed), gone, rights, separators()]

    def render() -> str:
        built = build_rows(changed, may) if changed else []
        return render_rows(built, oob=True, gone=gone)

    found: str = caches["answers"].get_or_set(f"rows:{htmx.version_of(told)}", render, _SHARED)
    return found


def _changed_counts(request: HttpRequest, shown: dict[str, str]) -> str:
    """The counts, and whether other tasks would stand on the page that is shown."""
    asked = TaskFilter.read(request.GET)
    counts = counts_of(asked)
    has_news = _has_news(asked, request.GET.get("page", ""), counts["found"], shown.get("task_list"))
    news_as_shown = shown.get("list_news", "0") == str(int(has_news))
    if shown.get("status_counts") == counts["counts_version"] and news_as_shown:
        return ""
    here = request.GET.copy()
    here.pop("v", None)
    context = {"asked": asked, **counts, "has_news": has_news, "here": here.urlencode()}
    return htmx.render_part("list_poll.html", context | {"list_url": reverse("tasks:list")})


def _has_news(asked: TaskFilter, page: str, count: int, shown: str | None) -> bool:
    """Whether other tasks would stand on the page than what is `shown`."""

    def read() -> str:
        return htmx.version_of(_keys(_paginate(_table(asked), page, count)))

    name = f"keys:{htmx.version_of([asked, page, count])}"
    if shown is None or cache.get_or_set(name, read, _SHARED) == shown:
        return False
    # What was read for others may be older than the page. What is shared here was read for one that showed the same.
    return bool(cache.get_or_set(f"{name}:{shown[:40]}", read, _SHARED) != shown)


def _table(asked: TaskFilter) -> TaskTable:
    # Ordered and cut by their keys alone: a deep page must not join what it skips.
    table = TaskTable(asked.apply(Task.objects.submitted()).order_by("name", "pk").values("pk"))
    table.order_by = [asked.sort] if asked.sort else []
    return table


def _paginate(table: TaskTable, number: str, count: int) -> Any:
    """Show the page asked for, or the nearest there is."""
    wanted = whole_number(number) or 1
    last = BoundedPaginator(table.rows, PER_PAGE, known_count=count).num_pages
    page = min(max(wanted, 1), last)
    table.paginate(paginator_class=BoundedPaginator, per_page=PER_PAGE, page=page, known_count=count)
    return table.page


def _keys(page: Any) -> list[int]:
    tasks: QuerySet[Task] = page.object_list.data
    if connection.vendor == "postgresql" and str(tasks.query.order_by[0]).lstrip("-") == BY_OWNER:
        tasks = found_by_owner(tasks)
    return list(tasks.values_list("pk", flat=True))


def _headings(table: TaskTable, asked: TaskFilter) -> list[list[dict[str, Any]]]:
    sorted_by = asked.sort.lstrip("-") or "name"
    descending = asked.sort.startswith("-")
    direction = {"direction": "descending", "arrow": _DOWN} if descending else {"direction": "ascending", "arrow": _UP}
    return [
        [
            {
                "name": column.name,
                "label": str(column.header),
                "query": asked.query(sort=_next_sort(column.name, sorted_by, descending)) if column.orderable else "",
                **(direction if column.name == sorted_by else {}),
            }
            for column in cell
        ]
        for cell in table.headings()
    ]


def _bulk_buttons(may: Callable[[str], bool]) -> list[dict[str, str]]:
    return [
        {
            "name": operation.value,
            "label": operation.label,
            "url": reverse("tasks:bulk", args=[operation.value]),
            "refused": not_allowed(operation, may),
        }
        for operation in Operation
    ]


def _next_sort(name: str, sorted_by: str, descending: bool) -> str:
    return f"-{name}" if name == sorted_by and not descending else name


def counts_of(asked: TaskFilter) -> dict[str, Any]:
    """Return what stands above the list. Counted anew after some seconds: many look, and a poll brings the rest."""
    counted = cache.get_or_set(f"counts:{htmx.version_of([replace(asked, status=(), sort='')])}", asked.counts, _FRESH)
    counts = [
        {
            "status": status,
            "count": f"{written(n)}{'+' if n >= COUNT_LIMIT else ''}",
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
        "total": f"{written(sum(counted.values()))}{'+' if max(counted.values()) >= COUNT_LIMIT else ''}",
        "all_query": asked.query(status=()),
    }


def _facets(asked: TaskFilter) -> SafeString:
    """Return the questions beside the statuses as HTML, each with its values and how many tasks have them."""
    name = f"facets:{htmx.version_of([replace(asked, sort=''), separators()])}"
    found: SafeString = cache.get_or_set(name, lambda: _render_facets(asked), 2 * _FRESH)
    return found


def _render_facets(asked: TaskFilter) -> SafeString:
    facets = asked.facets()
    found = []
    for name, (label, words) in _QUESTIONS.items():
        counted, wanted = dict(facets.values[name]), getattr(asked, name)
        if wanted:
            counted.setdefault(wanted, 0)
        plus = "+" if facets.is_cut else ""
        values = [(value, words.get(value, value), f"{written(n)}{plus}") for value, n in sorted(counted.items())]
        if values:
            found.append({"name": name, "label": label, "wanted": wanted, "values": values})
    return htmx.render_part("facets.html", {"facets": found})
