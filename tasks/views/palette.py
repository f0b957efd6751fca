"""What ctrl-k finds: tasks by part of their name, and what may be done with them."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from tasks.guards import load_facts, refusal
from tasks.matrix import MATRIX
from tasks.models import Task
from tasks.search import matching
from tasks.statuses import Operation, Status
from tasks.views.access import may_view

MOST: Final = 12
_PAGES: Final = (
    ("Overview", "tasks:overview"),
    ("Tasks", "tasks:list"),
    ("Alerts", "tasks:alerts"),
    ("Alert rules", "tasks:alert_rules"),
    ("History", "tasks:audit"),
    ("Batches", "tasks:batches"),
    ("Resource groups", "tasks:groups"),
    ("Help: which operation when", "tasks:matrix"),
)


@require_GET
def palette(request: HttpRequest) -> JsonResponse:
    """Return pages, tasks, and operations that a task allows, for `q`: "orders", or "pause orders"."""
    may_view(request)
    asked = request.GET.get("q", "").replace("\0", "").strip()[:200]
    operation, name = _split(asked)
    tasks = Task.objects.submitted()
    if name:
        tasks = matching(tasks, name).filter(name__icontains=name)
    items: list[dict[str, Any]] = []
    if operation is None:
        items += [
            {"label": label, "note": "page", "url": reverse(page), "dialog": False}
            for label, page in _PAGES
            if asked and asked.lower() in label.lower()
        ]
        items += [_task(task) for task in tasks.order_by("name", "pk")[: MOST - len(items)]] if asked else []
    else:
        tasks = tasks.filter(status__in=MATRIX[operation].allowed_in)
        found = list(tasks.order_by("name", "pk")[:MOST])
        facts = load_facts(found, request.user.has_perm)
        items += [_operation(operation, task) for task in found if refusal(operation, facts[task.pk]) is None]
    return JsonResponse({"items": items[:MOST]})


def _split(asked: str) -> tuple[Operation | None, str]:
    """ "pause orders" -> Pause, "orders". Longer names first: "forced pause" is no Pause."""
    text = asked.lower()
    for operation in sorted(Operation, key=lambda operation: -len(operation.label)):
        for word in (operation.label.lower(), operation.value):
            if text == word or text.startswith(f"{word} "):
                return operation, asked[len(word) :].strip()
    return None, asked


def _task(task: Any) -> dict[str, Any]:
    return {
        "label": task.name,
        "note": str(Status(task.status).label),
        "url": task.get_absolute_url(),
        "dialog": False,
    }


def _operation(operation: Operation, task: Any) -> dict[str, Any]:
    url = reverse("tasks:operation", args=[task.pk, operation.value])
    return {"label": f"{operation.label} {task.name}", "note": "", "url": url, "dialog": True}
