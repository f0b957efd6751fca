"""One operation for many tasks: the preview says what it would do, the answer is a batch that a worker carries out."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.views.decorators.http import require_http_methods

from tasks import batches
from tasks.filters import TaskFilter
from tasks.forms import BulkForm
from tasks.models import Task
from tasks.operations import Actor
from tasks.statuses import Operation
from tasks.views import htmx
from tasks.views.access import may_view, named_operation

#: Tasks that a form may name one by one; more are chosen by the list's query.
NAMED: Final = 500
SHOWN: Final = 12


@require_http_methods(["GET", "HEAD", "POST"])
def bulk_dialog(request: HttpRequest, operation: str) -> HttpResponse:
    """Chosen are the tasks named by `task` (repeated), else those that the list's query finds."""
    may_view(request)
    asked = named_operation(operation)
    query = request.POST if request.method == "POST" else request.GET
    tasks, more = _chosen(query)
    found = batches.forecast(asked, tasks, request.user.has_perm)
    context = {"operation": asked, "query": _kept(query), "found": found, "more": more, "most": batches.MOST}
    if request.method != "POST":
        return _show(request, context, BulkForm(operation=asked, count=len(found.allowed)))
    form = BulkForm(request.POST, operation=asked, count=len(found.allowed))
    if not form.is_valid():
        return _show(request, context, form, status=422)
    if len(found.allowed) > form.cleaned_data["expected"]:
        # Nobody has agreed to those that came meanwhile.
        context["grown"] = len(found.allowed) - form.cleaned_data["expected"]
        return _show(request, context, BulkForm(operation=asked, count=len(found.allowed)), status=409)
    if not found.allowed:
        return _show(request, context, form, status=409)
    return _begin(request, asked, found, form.cleaned_data)


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
    )
    messages.success(request, f"{asked.label} of {len(found.allowed)} tasks is under way.")
    if htmx.wants_fragment(request):
        response = HttpResponse(status=204)
        response["HX-Redirect"] = batch.get_absolute_url()
        return response
    return HttpResponseRedirect(batch.get_absolute_url())


def _show(request: HttpRequest, context: dict[str, Any], form: BulkForm, *, status: int = 200) -> HttpResponse:
    found: batches.Forecast = context["found"]
    context |= {
        "form": form,
        "shown": found.allowed[:SHOWN],
        "hidden": max(0, len(found.allowed) - SHOWN),
        "total": len(found.allowed) + len(found.refused),
    }
    return htmx.page_or_fragment(request, "tasks/bulk.html", "tasks/partials/bulk_dialog.html", context, status=status)


def _chosen(query: QueryDict) -> tuple[list[Task], bool]:
    """Return the chosen tasks, and whether there are more than one batch holds."""
    tasks = Task.objects.submitted().select_related("group")
    named = [int(pk) for pk in query.getlist("task") if pk.isascii() and pk.isdigit() and len(pk) < 19]
    if named and not query.get("all"):
        return list(tasks.filter(pk__in=named[:NAMED]).order_by("name", "pk")), len(named) > NAMED
    if query.get("selected") and not query.get("all"):
        return [], False  # the list's form was sent without a tick: that is not everything
    chosen = TaskFilter.read(query).apply(tasks).order_by("name", "pk").defer("source_options", "phase")
    found = list(chosen[: batches.MOST + 1])
    return found[: batches.MOST], len(found) > batches.MOST


def _kept(query: QueryDict) -> list[tuple[str, str]]:
    """Return the choice as fields of the form: it is made again when that is sent."""
    named = [("task", pk) for pk in query.getlist("task")[:NAMED]]
    if named and not query.get("all"):
        return named
    kept = [(name, value) for name, value in TaskFilter.read(query).pairs() if name != "sort"]
    marks = [(name, "1") for name in ("all", "selected") if query.get(name)]
    return [*kept, *marks]
