"""One operation for many tasks: the preview says what it would do, the answer is a batch that a worker carries out."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.http import require_http_methods

from tasks import batches
from tasks.forms import BulkForm
from tasks.operations import Actor
from tasks.statuses import Operation
from tasks.views import htmx
from tasks.views.access import may_view, named_operation
from tasks.views.choice import batch_again, by_keys, chosen, packed, unpacked

SHOWN: Final = 12


@require_http_methods(["GET", "HEAD", "POST"])
def bulk_dialog(request: HttpRequest, operation: str) -> HttpResponse:
    """Show what `operation` would do to the chosen tasks, or do it to those that somebody saw and agreed to."""
    may_view(request)
    asked = named_operation(operation)
    may = request.user.has_perm
    if request.method != "POST":
        tasks, more = chosen(request.GET)
        found = batches.forecast(asked, tasks, may)
        form = BulkForm(operation=asked, count=len(found.allowed), again=batch_again(request.GET))
        agreed, noted = packed(found.allowed), packed([task for task, _ in found.refused])
        return _show(request, asked, found, form, agreed=agreed, noted=noted, more=more)
    # Not what the filter finds by now: nobody has seen, nor agreed to, those that came meanwhile.
    agreed, noted = request.POST.get("agreed", ""), request.POST.get("noted", "")
    keys = unpacked(agreed)
    found = batches.forecast(asked, by_keys(keys), may)
    found.refused += batches.forecast(asked, by_keys(unpacked(noted)), may).refused
    form = BulkForm(request.POST, operation=asked, count=len(keys))
    status = 422
    if form.is_valid() and keys:
        status = 409
        try:
            earlier = batches.earlier_batch(asked, Actor.of(request.user), form.cleaned_data["key"])
            if earlier is not None or found.allowed:
                return _begin(request, asked, found, form.cleaned_data)
        except batches.BatchRefused as refused:
            form.add_error(None, str(refused))
    return _show(request, asked, found, form, status=status, agreed=agreed, noted=noted)


def _begin(request: HttpRequest, asked: Operation, found: batches.Forecast, said: dict[str, Any]) -> HttpResponse:
    batch = batches.create(
        asked,
        found.allowed,
        actor=Actor.of(request.user),
        key=said["key"],
        refused=found.refused,
        reason=said["reason"],
        start_position=said.get("start", ""),
        concurrency=said["concurrency"],
        stop_on_error=said["stop_on_error"],
        retry_of=batch_again(request.POST),
    )
    if batch.finished_at is not None:
        # Out of the browser's history: nobody may take what came of it then for something new.
        messages.warning(request, "This form was sent before. Nothing was asked for now; this is what came of it then.")
    if htmx.wants_fragment(request):
        response = HttpResponse(status=204)
        response["HX-Redirect"] = batch.get_absolute_url()
        return response
    return HttpResponseRedirect(batch.get_absolute_url())


def _show(
    request: HttpRequest,
    asked: Operation,
    found: batches.Forecast,
    form: BulkForm,
    *,
    status: int = 200,
    **values: Any,
) -> HttpResponse:
    context = {
        "operation": asked,
        "found": found,
        "form": form,
        "shown": found.allowed[:SHOWN],
        "hidden": max(0, len(found.allowed) - SHOWN),
        "total": len(found.allowed) + len(found.refused),
        "most": batches.MOST,
        **values,
    }
    return htmx.page_or_fragment(request, "tasks/bulk.html", "tasks/partials/bulk_dialog.html", context, status=status)
