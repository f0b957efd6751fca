"""A task's log: filter, live tail, diagnosis, download."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from tasks import diagnosis
from tasks import logs as run_logs
from tasks.models import LogLine, OperationRequest, Task
from tasks.models.log import Level
from tasks.snapshots import moment
from tasks.statuses import Operation
from tasks.views import htmx
from tasks.views.access import viewable_task
from tasks.views.addresses import whole_number
from tasks.views.detail import shell
from tasks.views.ranges import RANGES, TimeRange, read_range

PER_PAGE: Final = 300
_DIAGNOSED: Final = 1_000
_JUMPS: Final = 10
_LONGEST_SEARCH: Final = 500


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address asks for. `problem` says what of it can't be read; that part is then left out."""

    search: str
    levels: tuple[str, ...]
    chosen: TimeRange | None  # None: all that is kept
    wrap: bool
    line: int | None  # the page around this line
    before: int | None  # the page before this line
    problem: str

    def query(self, **more: Any) -> str:
        pairs: list[tuple[str, Any]] = [("q", self.search)] if self.search else []
        pairs += [("level", level) for level in self.levels]
        if self.chosen:
            pairs += [("range", self.chosen.name)] if self.chosen.name else []
            pairs += [] if self.chosen.name else [("from", self.chosen.shown_begin), ("to", self.chosen.shown_end)]
        pairs += [] if self.wrap else [("wrap", "0")]
        return urlencode(pairs + list(more.items()))


def read_asked(request: HttpRequest) -> Asked:
    query = request.GET
    search = query.get("q", "").replace("\0", "").strip()[:_LONGEST_SEARCH]
    problem = ""
    try:
        run_logs.condition(search)
    except ValueError as error:
        problem, search = f"Search: {error}", ""
    chosen = None
    if any(query.get(name) for name in ("range", "from", "to")):
        chosen = read_range(query, time.time(), "7d")
        problem = problem or chosen.problem
    levels = tuple(level for level in Level.values if level in query.getlist("level"))
    line, before = (whole_number(query.get(name, "")) for name in ("line", "before"))
    return Asked(search, levels, chosen, query.get("wrap") != "0", line, before, problem)


def _found(task: Task, asked: Asked) -> QuerySet[LogLine]:
    if task.run is None:
        return LogLine.objects.none()
    begin = moment(asked.chosen.begin) if asked.chosen else None
    end = moment(asked.chosen.end) if asked.chosen and not asked.chosen.name else None
    return run_logs.find(task.run, levels=asked.levels, search=asked.search, begin=begin, end=end)


@require_GET
def logs(request: HttpRequest, task_id: int) -> HttpResponse:
    task = viewable_task(request, task_id)
    asked = read_asked(request)
    found = _found(task, asked)
    newest = found.aggregate(n=Max("n"))["n"] or 0
    if htmx.wants_fragment(request):
        return _tail(request, task, asked, found, newest)
    lines, has_older, has_newer = _page(found, asked, newest)
    context = {
        "asked": asked,
        "items": list(_items(lines)),
        "older": asked.query(before=lines[0].n) if has_older else "",
        "is_tail": not has_newer,
        "newest": newest,
        "levels": Level.choices,
        "ranges": [(name, label) for name, (label, _) in RANGES.items()],
        "findings": _diagnosis(task),
        "jumps": _jumps(task),
        "narrows": bool(asked.search or asked.levels or asked.chosen),
    }
    return render(request, "tasks/logs.html", shell(request, task, "logs", **context))


def _page(found: QuerySet[LogLine], asked: Asked, newest: int) -> tuple[list[LogLine], bool, bool]:
    """Return the lines of a page, oldest first, and whether there are older and newer ones."""
    upto = asked.line + PER_PAGE // 2 if asked.line else asked.before - 1 if asked.before else newest
    lines = list(found.filter(n__lte=upto).order_by("-n")[: PER_PAGE + 1])
    has_older = len(lines) > PER_PAGE
    lines = lines[:PER_PAGE][::-1]
    return lines, has_older, upto < newest


def _tail(request: HttpRequest, task: Task, asked: Asked, found: QuerySet[LogLine], newest: int) -> HttpResponse:
    """Answer the poll of the tail: the lines after those that the page has, or 204."""
    after = whole_number(htmx.shown(request).get("log_tail", ""))
    if after is None or newest <= after:
        return htmx.no_change()
    lines = list(found.filter(n__gt=after).order_by("-n")[:PER_PAGE])[::-1]
    context = {"task": task, "asked": asked, "items": list(_items(lines, told=after > 0)), "newest": newest}
    return render(request, "tasks/partials/log_tail.html", context)


def _items(lines: list[LogLine], *, told: bool = False) -> Iterator[dict[str, Any]]:
    """Return each line, with whether another attempt begins with it."""
    before = lines[0].epoch if told and lines else None
    for line in lines:
        yield {"it": line, "begins": line.epoch != before, "level": line.level.lower()}
        before = line.epoch


def _diagnosis(task: Task) -> list[diagnosis.Finding]:
    if task.run is None:
        return []
    bad = LogLine.objects.filter(run=task.run, level__in=(Level.WARNING, Level.ERROR))
    return diagnosis.diagnose(bad.order_by("-n")[:_DIAGNOSED])


def _jumps(task: Task) -> list[dict[str, Any]]:
    """Return the latest operations of this run, each with the address of the lines from then on."""
    if task.run is None:
        return []
    # The Run itself was asked for before the run began.
    of_run = Q(requested_at__gte=task.run.started_at) | Q(pk__in=task.run.attempts.values("request"))
    asked = OperationRequest.objects.filter(of_run, task=task, begun_at__isnull=False)
    return [
        {
            "label": Operation(it.operation).label,
            "it": it,
            "query": urlencode({"from": it.requested_at.strftime("%Y-%m-%dT%H:%M:%S")}),
        }
        for it in asked.order_by("-pk")[:_JUMPS]
    ]


@require_GET
def log_file(request: HttpRequest, task_id: int) -> HttpResponse | StreamingHttpResponse:
    """All lines that match, as text, times in UTC."""
    task = viewable_task(request, task_id)
    asked = read_asked(request)
    if asked.problem:
        return HttpResponse(asked.problem, status=400, content_type="text/plain")
    found = _found(task, asked).order_by("n")
    lines = (
        f"{line.at:%Y-%m-%dT%H:%M:%S.%fZ} {line.level:7} attempt {line.epoch} {line.text}\n"
        for line in found.iterator(chunk_size=1_000)
    )
    response = StreamingHttpResponse(lines, content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{task.name}.log"'
    return response
