"""What the API shows and takes: tasks, operations on them, requests for operations, and the matrix."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, Final

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse, RawPostDataException
from django.urls import reverse

from tasks.api.auth import ApiError, api
from tasks.filters import TaskFilter
from tasks.guards import load_facts, refusal
from tasks.listing import listed
from tasks.matrix import MATRIX, why_not
from tasks.models import OperationRequest, StartPosition, Task
from tasks.operations import Actor, OperationRefused, accept
from tasks.statuses import Channel, Operation, Outcome, Status
from tasks.tables import BoundedPaginator

PER_PAGE: Final = 100
LONGEST_WAIT: Final = 30.0  # seconds
#: Requests of this process that may wait: the other threads are for people.
MOST_WAITING: Final = 2
_waiting = threading.BoundedSemaphore(MOST_WAITING)
_BODY: Final = {"reason", "start", "confirm", "snapshot"}


@api("GET")
def tasks(request: HttpRequest) -> HttpResponse:
    """List tasks by name, 100 a page. Query: q, status (repeated), group, source, target, mode, owner, page."""
    unknown = set(request.GET.getlist("status")) - {"", *Status.values}
    if unknown:
        raise _bad(f"There is no status {sorted(unknown)[0]}; there are {', '.join(Status.values)}.", "status")
    rows = TaskFilter.read(request.GET).apply(Task.objects.submitted()).order_by("name", "pk")
    pages: Paginator[Any] = BoundedPaginator(rows, PER_PAGE)
    page = pages.get_page(request.GET.get("page", "1"))
    found = listed(rows[(page.number - 1) * PER_PAGE : page.number * PER_PAGE])
    return JsonResponse({"tasks": found, "page": page.number, "pages": pages.num_pages, "count": pages.count})


@api("GET")
def task(request: HttpRequest, name: str) -> HttpResponse:
    """One task, and for each operation null or the reason why it is refused now."""
    found = _task(name)
    facts = load_facts([found], request.user.has_perm)[found.pk]
    refusals = {operation.value: refusal(operation, facts) for operation in MATRIX}
    (shown,) = listed(Task.objects.filter(pk=found.pk))
    shown["operations"] = {name: why.as_dict() if why else None for name, why in refusals.items()}
    return JsonResponse(shown)


@api("POST")
def operate(request: HttpRequest, name: str, operation: str) -> HttpResponse:
    """Ask for an operation. 202 with the request; 409 with the refusal. The same Idempotency-Key again: the first
    answer again, marked `Idempotent-Replay: true` (not where two with the same key arrive at the same moment)."""
    if operation not in Operation.values:
        raise ApiError(404, "unknown_operation", f"There is no operation {operation}.")
    asked = Operation(operation)
    body = _read(request, asked)
    found = _task(name)
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > 100 or not key.isprintable():
        raise _bad("Idempotency-Key has at most 100 printable characters.", "Idempotency-Key")
    replayed = bool(key) and OperationRequest.objects.filter(task=found, key=key, operation=asked).exists()
    try:
        made = accept(
            task_id=found.pk,
            operation=asked,
            actor=Actor.of(request.user),
            channel=Channel.API,
            reason=body.get("reason", ""),
            key=key,
            start_position=body.get("start", ""),
            from_snapshot=body.get("snapshot", ""),
        )
    except OperationRefused as refused:
        status = {"permission": 403, "key_reused": 422}.get(refused.refusal.code, 409)
        response = JsonResponse(refused.refusal.as_dict(), status=status)
    else:
        response = JsonResponse(_as_dict(made), status=202)
        response["Location"] = reverse("api:request", args=[made.pk])
    if replayed:
        response["Idempotent-Replay"] = "true"
    return response


def _read(request: HttpRequest, operation: Operation) -> dict[str, Any]:
    """Return the body, each of its values as `accept` takes it. Raises ApiError."""
    try:
        body = json.loads(request.body or b"{}")
    except (ValueError, RecursionError, RawPostDataException):  # the last: a form with files, read for its CSRF token
        raise _bad("The body is not JSON.", "body") from None
    if not isinstance(body, dict):
        raise _bad("The body has to be an object.", "body")
    for name in body:
        if name not in _BODY:
            raise _bad(f"{name} is not known here; there are {', '.join(sorted(_BODY))}.", name)
    reason, start = body.get("reason", ""), body.get("start", "")
    if not isinstance(reason, str) or len(reason) > 500 or not _can_be_stored(reason):
        raise _bad("reason is a text of at most 500 characters.", "reason")
    if start != "" and (operation is not Operation.RUN or start not in StartPosition.values):
        raise _bad(f"start is {' or '.join(StartPosition.values)}, and of run alone.", "start")
    snapshot = body.get("snapshot", "")
    if not isinstance(snapshot, str) or len(snapshot) > 200 or not _can_be_stored(snapshot):
        raise _bad("snapshot is the id of one of the task's snapshots.", "snapshot")
    if not isinstance(body.get("confirm", True), bool):
        raise _bad("confirm is true or false.", "confirm")
    if operation is Operation.STOP and body.get("confirm") is not True:
        raise _bad('Stop discards snapshots and offsets: confirm it with "confirm": true.', "confirm")
    return body


@api("GET")
def request_(request: HttpRequest, request_id: int) -> HttpResponse:
    """A request for an operation. ?wait=SECONDS (at most 30) waits until it is settled."""
    try:
        wait = min(float(request.GET.get("wait") or 0), LONGEST_WAIT)
    except ValueError:
        wait = -1
    if not wait >= 0:  # nan too: it would wait for ever
        raise _bad("wait is a number of seconds.", "wait")
    may_wait = wait > 0 and _waiting.acquire(blocking=False)
    try:
        return _follow(request_id, time.monotonic() + (wait if may_wait else 0))
    finally:
        if may_wait:
            _waiting.release()


def _follow(request_id: int, until: float) -> HttpResponse:
    pause = 0.05
    while True:
        found = OperationRequest.objects.select_related("task").filter(pk=request_id).first()
        if found is None:
            raise ApiError(404, "unknown_request", f"There is no request {request_id}.")
        left = until - time.monotonic()
        if found.outcome != Outcome.OPEN or left <= 0:
            return JsonResponse(_as_dict(found))
        time.sleep(min(pause, left))
        pause = min(pause * 1.3, 0.5)


@api("GET")
def matrix(request: HttpRequest) -> HttpResponse:
    """For each status and operation null where it is allowed, else the sentence that says why not."""
    cells = {s.value: {o.value: why_not(o, s) for o in MATRIX} for s in Status}
    return JsonResponse({"statuses": {s.value: s.label for s in Status}, "matrix": cells})


@api("GET", "POST")
def nothing(request: HttpRequest) -> HttpResponse:
    """Whatever else is asked for below /api/v1/: a script must not have to read an HTML page."""
    raise ApiError(404, "unknown_address", f"There is nothing at {request.path}.")


def _task(name: str) -> Task:
    found = Task.objects.submitted().filter(name=name).first() if _can_be_stored(name) else None
    if found is None:
        raise ApiError(404, "unknown_task", f"There is no task {name}.")
    return found


def _can_be_stored(text: str) -> bool:
    """JSON and addresses can hold what no database takes as text: NUL, and half a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _bad(message: str, field: str) -> ApiError:
    return ApiError(400, "bad_request", message, field=field)


def _as_dict(request: OperationRequest) -> dict[str, Any]:
    return {
        "request": request.pk,
        "task": request.task.name,
        "status": request.task.status,
        "operation": request.operation,
        "actor": request.actor_name,
        "reason": request.reason,
        "requested_at": request.requested_at.isoformat(),
        "deadline_at": request.deadline_at.isoformat(),
        "settled_at": request.settled_at.isoformat() if request.settled_at else None,
        "outcome": request.outcome,
        "code": request.code,
        "message": request.message,
        "allowed": request.allowed,
        "wait_for": request.wait_for,
    }
