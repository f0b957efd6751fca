"""The transactions that end something: an operation, a run, an attempt that will be restarted."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from tasks import runs
from tasks.models import OperationRequest, Task
from tasks.statuses import Outcome, PausedHow, Status
from tasks.transitions import move, write_history
from tasks.worker.decisions import Restart, Settle
from tasks.worker.observing import fault_columns

log = logging.getLogger(__name__)


def settle(task: Task, request: OperationRequest | None, step: Settle, *, ended_as: str, owner: str) -> None:
    """Write the end of an operation, or what an engine showed by itself: status, history, request, run, at once.

    Raises MovedOn when the status or the lease is no longer what it was; then nothing is written.
    """
    before = Status(task.status)
    columns: dict[str, Any] = {"lease_owner": "", "lease_until": None}
    if step.to is not Status.RUNNING:
        columns["restart_at"] = None
    came_back = request is not None and not step.succeeded and step.to == request.from_status
    if step.fault is not None or not came_back:  # one that came back to where it was is there for the same reason
        columns |= fault_columns(step.fault)
    if step.discard:
        columns |= {**runs.FRESH, "run": None}
    message = step.message or (f"{request.get_operation_display()} done" if request else "")
    with transaction.atomic():
        run = task.run
        move(
            task,
            expected=before,
            to=step.to,
            actor_name=request.actor_name if request else "system",
            reason=message,
            request=request,
            paused_how=_paused_how(task, request, step),
            status_before=_status_before(task, request),
            holder=owner,
            **columns,
        )
        if request is not None:
            close(request, step.succeeded, step.code, message)
        if run is not None and step.discard:
            runs.end_run(run, message)
        elif run is not None and step.to is not Status.RUNNING:
            runs.end_attempt(run, ended_as, message)


def close(request: OperationRequest, succeeded: bool, code: str, message: str) -> None:
    """Write the outcome of `request`, once."""
    OperationRequest.objects.filter(pk=request.pk, outcome=Outcome.OPEN).update(
        outcome=Outcome.SUCCEEDED if succeeded else Outcome.FAILED,
        code=code,
        message=message,
        settled_at=timezone.now(),
    )


def _paused_how(task: Task, request: OperationRequest | None, step: Settle) -> PausedHow | None:
    if step.to is not Status.PAUSED:
        return None
    if step.paused_how is not None:
        return step.paused_how
    if request is not None and request.from_paused_how:
        return PausedHow(request.from_paused_how)
    newest = task.run.snapshots.order_by("-taken_at", "-pk").first() if task.run else None
    return PausedHow.NORMAL if newest is not None and newest.kind == "pause" else PausedHow.FORCED


def _status_before(task: Task, request: OperationRequest | None) -> Status | None:
    if task.status_before:
        return Status(task.status_before)
    return Status(request.from_status) if request else None


def schedule_restart(task: Task, request: OperationRequest | None, step: Restart, *, ended_as: str, owner: str) -> None:
    """Close the attempt, say when the next one starts, and end a Pause that can no longer come about."""
    now = timezone.now()
    in_row = task.restarts_in_row + (1 if step.counted else 0)
    columns: dict[str, Any] = {
        **fault_columns(step.fault),
        "restart_at": now + timedelta(seconds=step.delay),
        "restarts": task.restarts + 1,
        "restarts_in_row": in_row,
    }
    number = f" {in_row} of {task.restart_limit}" if step.counted else ""
    reason = f"Automatic restart{number} in {step.delay:.0f} s: {step.fault.cause}"
    with transaction.atomic():
        run = task.run
        if step.request_failed and request is not None:
            columns |= {"lease_owner": "", "lease_until": None}
            move(
                task,
                expected=Status.OPERATING,
                to=Status.RUNNING,
                actor_name=request.actor_name,
                reason=f"{step.request_failed} {reason}",
                request=request,
                holder=owner,
                **columns,
            )
            close(request, False, step.fault.code, step.request_failed)
        elif Task.objects.filter(pk=task.pk, status=task.status, lease_owner=owner).update(**columns) == 1:
            status = Status(task.status)
            write_history(task, status, status, actor_name="system", reason=reason, request=request)
        else:
            return  # another worker has it: it looks for itself
        if run is not None:
            runs.end_attempt(run, ended_as, step.fault.cause)
    for name, value in columns.items():
        setattr(task, name, value)
