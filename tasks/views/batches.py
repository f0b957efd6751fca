"""Batches: what is under way, what became of each task, and what can be done about it."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from tasks import batches
from tasks.matrix import MATRIX
from tasks.models import Batch, ItemState
from tasks.models.batch import RETRIED
from tasks.statuses import Operation, Outcome
from tasks.tables import page_of
from tasks.views import htmx
from tasks.views.access import may_view

PER_PAGE: Final = 50


def _viewable_batch(request: HttpRequest, batch_id: int) -> Batch:
    may_view(request)
    batch = Batch.objects.select_related("retry_of").filter(pk=batch_id).first()
    if batch is None:
        raise Http404("There is no such batch; finished ones are forgotten after a while.")
    return batch


@require_GET
def batch_list(request: HttpRequest) -> HttpResponse:
    may_view(request)
    page = page_of(Batch.objects.order_by("-pk"), request.GET.get("page", ""))
    counted = batches.counts_of_many(page.object_list)
    rows = [
        {"it": batch, "operation": Operation(batch.operation), "counts": _not_zero(counted[batch.pk])}
        for batch in page.object_list
    ]
    return _page(request, "tasks/batches.html", ["batch_list"], {"rows": rows, "page": page})


@require_GET
def batch_page(request: HttpRequest, batch_id: int) -> HttpResponse:
    """The progress of a batch; for htmx what of it changed."""
    batch = _viewable_batch(request, batch_id)
    wanted = request.GET.get("state", "")
    state = wanted if wanted in ItemState.values else ""
    items = batch.items.select_related("task", "request")
    items = items.filter(state=state) if state else items
    page = page_of(items.order_by("pk"), request.GET.get("page", ""), PER_PAGE)
    context = {
        "batch": batch,
        "operation": Operation(batch.operation),
        "page": page,
        "state": state,
        "kept": f"state={state}" if state else "",
        "rows": [_row(item) for item in page.object_list],
        **_progress(batch),
        "may": _may(request, batch),
    }
    return _page(request, "tasks/batch.html", ["batch_progress", "batch_items"], context)


def _page(request: HttpRequest, template: str, names: list[str], context: dict[str, Any]) -> HttpResponse:
    """Render a page of regions; for its own poll those of them that changed."""
    is_poll = htmx.wants_fragment(request)
    regions = [htmx.region(request, name, f"tasks/partials/{name}.html", context, oob=is_poll) for name in names]
    if not is_poll:
        return render(request, template, {**context, "regions": regions})
    return htmx.changed(request, regions, htmx.shown(request))


def _not_zero(counted: dict[ItemState, int]) -> list[dict[str, Any]]:
    return [{"state": state, "count": n} for state, n in counted.items() if n]


def _row(item: Any) -> dict[str, Any]:
    state = ItemState(item.state)
    outcome = item.request.outcome if item.request else None
    if state is ItemState.UNKNOWN and outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
        state = ItemState(outcome)  # its engine answered after the batch had ended
    return {"it": item, "state": state, "message": item.request.message if item.request else item.message}


def _progress(batch: Batch) -> dict[str, Any]:
    counted = batches.counts(batch)
    total = sum(counted.values())
    done = total - counted[ItemState.WAITING] - counted[ItemState.ASKED]
    return {
        "counts": _not_zero(counted),
        "total": total,
        # Those that were refused in the preview were never to be asked for.
        "asked": total - batch.items.filter(state=ItemState.REFUSED, asked_at__isnull=True).count(),
        "done": done,
        "waiting": counted[ItemState.WAITING],
        "retriable": sum(counted[state] for state in RETRIED) if batch.finished_at else 0,
    }


def _may(request: HttpRequest, batch: Batch) -> bool:
    return request.user.has_perm(MATRIX[Operation(batch.operation)].permission)


def _must(request: HttpRequest, batch: Batch) -> None:
    if not _may(request, batch):
        raise PermissionDenied(f"You may not {batch.get_operation_display().lower()} tasks. Ask for the right.")


@require_POST
def cancel_batch(request: HttpRequest, batch_id: int) -> HttpResponse:
    batch = _viewable_batch(request, batch_id)
    _must(request, batch)
    left_out = batches.cancel(batch, request.user.get_username())
    messages.success(request, f"{left_out} tasks are left out; what has begun goes on to its end.")
    return redirect(batch)
