"""The dialog of an operation: GET says what will happen, POST asks for it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from tasks.forms import OperationForm
from tasks.guards import Refusal, load_facts, refusal, wrong_snapshot
from tasks.impact import impact_of, load_ledger
from tasks.matrix import MATRIX
from tasks.models import OperationRequest, Task
from tasks.operations import Actor, OperationRefused, accept
from tasks.statuses import Channel, Operation, Outcome, Status
from tasks.views import htmx
from tasks.views.access import named_operation, viewable_task
from tasks.views.detail import live_regions
from tasks.views.rows import build_rows, render_rows


@require_http_methods(["GET", "HEAD", "POST"])
def operation_dialog(request: HttpRequest, task_id: int, operation: str) -> HttpResponse:
    """Show the dialog, or try what it asks for. The answer to a POST is a refusal, a form error, or the task as it
    now is."""
    asked = named_operation(operation)
    task = viewable_task(request, task_id)
    if request.method != "POST":
        facts = load_facts([task], request.user.has_perm)[task.pk]
        chosen = request.GET.get("snapshot", "").replace("\0", "")[:200]
        form = OperationForm(task=task, operation=asked, snapshot=chosen)
        return _show(request, task, asked, form, refusal(asked, facts) or wrong_snapshot(asked, task, chosen))
    form = OperationForm(request.POST, task=task, operation=asked)
    if not form.is_valid():
        return _show(request, task, asked, form, None, status=422)
    try:
        accepted = accept(
            task_id=task.pk,
            operation=asked,
            actor=Actor.of(request.user),
            channel=Channel.PAGE,
            reason=form.cleaned_data["reason"],
            key=form.cleaned_data["key"],
            start_position=form.cleaned_data.get("start", ""),
            from_snapshot=form.cleaned_data.get("snapshot", ""),
        )
    except OperationRefused as refused:
        # The look above is older than the refusal: show the task as the refusal saw it.
        return _show(request, viewable_task(request, task_id), asked, form, refused.refusal, status=409)
    return _accepted(request, task, accepted)


def _show(
    request: HttpRequest,
    task: Task,
    operation: Operation,
    form: OperationForm,
    refused: Refusal | None,
    *,
    status: int = 200,
) -> HttpResponse:
    chosen = form["snapshot"].value() or "" if "snapshot" in form.fields else ""
    context = {
        "task": task,
        "status": Status(task.status),
        "operation": operation,
        "row": MATRIX[operation],
        "form": form,
        "refusal": refused,
        "impact": None if refused else impact_of(operation, task, load_ledger(task, operation, chosen)),
    }
    fragment = "tasks/partials/operation_dialog.html"
    return htmx.page_or_fragment(request, "tasks/operation.html", fragment, context, status=status)


def _accepted(request: HttpRequest, task: Task, accepted: OperationRequest) -> HttpResponse:
    label, is_new = Operation(accepted.operation).label, accepted.outcome == Outcome.OPEN
    said = f"{label} of {task.name} is requested."
    if not is_new:
        # A form that was sent before, out of the browser's history: it gets its first answer again.
        earlier = f"{accepted.requested_at:%H:%M} UTC: {Outcome(accepted.outcome).label}"
        said = f"This form was sent before, at {earlier}. Nothing was asked for now; open it anew."
    if not htmx.wants_fragment(request):
        (messages.success if is_new else messages.warning)(request, said)
        return redirect(task)
    rows = build_rows([task.pk], request.user.has_perm)
    context: dict[str, Any] = {"rows": render_rows(rows, oob=True)}
    path = request.htmx.current_url_abs_path or ""  # type: ignore[attr-defined]
    if path.startswith(task.get_absolute_url()):
        context = {"regions": live_regions(request, viewable_task(request, task.pk), ["task_header"])}
    response = render(request, "tasks/partials/accepted.html", context)
    # The dialog's own content is left alone: it closes, and what changed behind it is swapped out of band.
    response["HX-Reswap"] = "none"
    return htmx.settle(response, closeDialog={}, toast={"text": said, "tone": "good" if is_new else "bad"})
