"""One operation for many tasks: the dialog says how many allow it, the answer what became of each.

Re-detect alone so far: what takes something away wants a look at each task.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.views.decorators.http import require_http_methods

from tasks.filters import TaskFilter
from tasks.guards import load_facts, refusal
from tasks.models import Task
from tasks.operations import Actor, OperationRefused, accept
from tasks.statuses import Channel, Operation
from tasks.views import htmx
from tasks.views.access import may_view, named_operation

#: Tasks asked for at once: a dialog nobody can read is no confirmation.
MOST: Final = 500
SHOWN: Final = 20
OFFERED: Final = (Operation.DETECT,)


@dataclass(frozen=True, slots=True)
class Line:
    """One task of many: allowed, or why not."""

    task: Task
    why: str = ""


@require_http_methods(["GET", "HEAD", "POST"])
def bulk_dialog(request: HttpRequest, operation: str) -> HttpResponse:
    """Chosen are the tasks named by `task` (repeated), else those that the list's query finds."""
    may_view(request)
    asked = named_operation(operation)
    if asked not in OFFERED:
        raise Http404("This operation is asked for one task at a time.")
    query = request.POST if request.method == "POST" else request.GET
    tasks = _chosen(query)
    if request.method == "POST":
        lines = _ask_each(request, asked, tasks)
        context = _context(asked, lines, done=True)
        response = htmx.page_or_fragment(request, "tasks/bulk.html", "tasks/partials/bulk_dialog.html", context)
        return htmx.settle(response, toast={"text": context["said"], "tone": "good"})
    facts = load_facts(tasks, request.user.has_perm)
    refused = {task.pk: refusal(asked, facts[task.pk]) for task in tasks}
    lines = [Line(task, why.sentence if (why := refused[task.pk]) else "") for task in tasks]
    context = _context(asked, lines, done=False) | {"key": uuid.uuid4().hex, "more": len(tasks) >= MOST}
    return htmx.page_or_fragment(request, "tasks/bulk.html", "tasks/partials/bulk_dialog.html", context)


def _chosen(query: QueryDict) -> list[Task]:
    named = [int(pk) for pk in query.getlist("task") if pk.isascii() and pk.isdigit() and len(pk) < 19]
    tasks = Task.objects.submitted()
    tasks = tasks.filter(pk__in=named[:MOST]) if "task" in query else TaskFilter.read(query).apply(tasks)
    return list(tasks.order_by("name", "pk")[:MOST])


def _ask_each(request: HttpRequest, operation: Operation, tasks: list[Task]) -> list[Line]:
    key = request.POST.get("key", "")[:64]
    lines = []
    for task in tasks:
        try:
            accept(
                task_id=task.pk,
                operation=operation,
                actor=Actor.of(request.user),
                channel=Channel.PAGE,
                key=f"{key}-{task.pk}" if key else "",
            )
        except OperationRefused as refused:
            lines.append(Line(task, refused.refusal.sentence))
        except Task.DoesNotExist:
            lines.append(Line(task, "It was deleted meanwhile."))
        else:
            lines.append(Line(task))
    return lines


def _context(operation: Operation, lines: list[Line], *, done: bool) -> dict[str, Any]:
    allowed = [line.task for line in lines if not line.why]
    refused = Counter(line.why for line in lines if line.why)
    tasks = "task" if len(allowed) == 1 else "tasks"
    return {
        "operation": operation,
        "done": done,
        "tasks": [line.task for line in lines],
        "allowed": allowed,
        "shown": allowed[:SHOWN],
        "hidden": max(0, len(allowed) - SHOWN),
        "refused": refused.most_common(10),
        "said": f"{operation.label} of {len(allowed)} {tasks} is requested.",
    }
