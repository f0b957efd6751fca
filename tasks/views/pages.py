"""Pages beside the tasks: the matrix, the resource groups, and the banner that each page carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from tasks.matrix import FIVE, MATRIX, VIEW, why_not
from tasks.models import ResourceGroup, Task
from tasks.models.task import OCCUPYING
from tasks.statuses import Operation, Status
from tasks.tables import page_of
from tasks.views import htmx, workers
from tasks.views.access import may_view
from tasks.views.pulse import changed_pulse


@require_GET
def pulse(request: HttpRequest) -> HttpResponse:
    """Answer the poll of what each page carries; to who may not see tasks there is nothing to tell."""
    changed = changed_pulse(request, htmx.shown(request))
    # Asked last: a right costs two queries, and mostly nothing has changed.
    if not changed or not request.user.has_perm(VIEW):
        return htmx.no_change()
    return render(request, "tasks/partials/accepted.html", {"regions": changed})


@require_GET
def matrix(request: HttpRequest) -> HttpResponse:
    """The help page: the table in words, from the table itself."""
    may_view(request)
    operations = (*FIVE, Operation.DETECT)
    rows = [
        {
            "status": status,
            "cells": [{"operation": operation, "why_not": why_not(operation, status)} for operation in operations],
        }
        for status in Status
    ]
    context = {"operations": [MATRIX[operation] for operation in operations], "rows": rows}
    return render(request, "tasks/matrix.html", context)


@require_GET
def groups(request: HttpRequest) -> HttpResponse:
    """The resource groups: how full, how well, and what is on them."""
    may_view(request)
    page = page_of(ResourceGroup.objects.order_by("name", "pk"), request.GET.get("page", ""))
    return render(request, "tasks/groups.html", {"cards": cards_of(page.object_list), "page": page})


def cards_of(groups: Iterable[ResourceGroup]) -> list[dict[str, Any]]:
    """Return each group with its use and the statuses of its tasks, in one query."""
    groups = list(groups)
    names = [group.name for group in groups]
    used: Counter[str] = Counter()
    of_group: dict[str, list[dict[str, object]]] = {name: [] for name in names}
    # Statuses but Initialize have no drafts among them; those are left out by `submitted`.
    counted = Task.objects.submitted().filter(group__in=names).order_by("group", "status")
    for name, status, n in counted.values_list("group_id", "status").annotate(n=Count("pk")):
        of_group[name].append({"status": Status(status), "count": n})
        used[name] += n if status in OCCUPYING else 0
    return [
        {
            "group": group,
            "used": used[group.name],
            "full": used[group.name] >= group.capacity,
            "old": workers.is_old(group.answered_at),
            "statuses": of_group[group.name],
        }
        for group in groups
    ]
