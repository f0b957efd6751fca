"""The transactions that end something: an operation, a run, an attempt that will be restarted."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from tasks import runs
from tasks.models import Lease, OperationRequest, Task
from tasks.statuses import Outcome, PausedHow, Status
from tasks.transitions import MovedOn, move, write_history
from tasks.worker.observing import fault_columns
from tasks.worker.steps import Answer, Restart, Settle

log = logging.getLogger(__name__)


def settle(task: Task, request: OperationRequest | None, step: Settle, *, ended_as: str, lease: Lease) -> None:
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
            holder=lease,
            **columns,
        )
        if request is not None:
            outcome = Outcome.UNKNOWN if step.unknown else Outcome.SUCCEEDED if step.succeeded else Outcome.FAILED
            close(request, outcome, step.code, message)
        if run is not None and step.discard:
            runs.end_run(run, message)
        elif run is not None and step.to is not Status.RUNNING and not step.unknown:
            runs.end_attempt(run, ended_as, message)


def close(request: OperationRequest, outcome: Outcome, code: str, message: str) -> None:
    """Write the outcome of `request`, once; an earlier one of the task that is still unknown is overtaken by it."""
    now = timezone.now()
    pending = OperationRequest.objects.filter(outcome__in=(Outcome.OPEN, Outcome.UNKNOWN))
    if pending.filter(pk=request.pk).update(outcome=outcome, code=code, message=message, settled_at=now) == 1:
        overtaken = OperationRequest.objects.filter(task=request.task_id, outcome=Outcome.UNKNOWN, pk__lt=request.pk)
        overtaken.update(outcome=Outcome.FAILED, code="overtaken", message="Overtaken by a later operation.")


def answer(task: Task, request: OperationRequest, step: Answer, *, lease: Lease) -> None:
    """Write what became of an operation whose outcome was unknown; the status stays as it is."""
    status = Status(task.status)
    columns = fault_columns(step.fault) if step.fault is not None else {}
    with transaction.atomic():
        if runs.held(task, lease).filter(status=status).update(lease_owner="", lease_until=None, **columns) != 1:
            raise MovedOn(f"Another worker holds {task.name}.")
        close(request, Outcome.SUCCEEDED if step.succeeded else Outcome.FAILED, step.code, step.message)
        write_history(task, status, status, actor_name="system", reason=step.message, request=request)


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


def schedule_restart(
    task: Task, request: OperationRequest | None, step: Restart, *, ended_as: str, lease: Lease
) -> None:
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
        if step.request_failed and request is not None and task.status == Status.OPERATING:
            columns |= {"lease_owner": "", "lease_until": None}
            move(
                task,
                expected=Status.OPERATING,
                to=Status.RUNNING,
                actor_name=request.actor_name,
                reason=f"{step.request_failed} {reason}",
                request=request,
                holder=lease,
                **columns,
            )
            close(request, Outcome.FAILED, step.fault.code, step.request_failed)
        elif runs.held(task, lease).filter(status=task.status).update(**columns) == 1:
            status = Status(task.status)
            write_history(task, status, status, actor_name="system", reason=reason, request=request)
            if step.request_failed and request is not None:  # its outcome was unknown until now
                close(request, Outcome.FAILED, step.fault.code, step.request_failed)
        else:
            return  # another worker has it: it looks for itself
        if run is not None:
            runs.end_attempt(run, ended_as, step.fault.cause)
    for name, value in columns.items():
        setattr(task, name, value)
