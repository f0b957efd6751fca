"""The only writer of Task.status: compare-and-set and a history row, together in the caller's transaction."""

from __future__ import annotations

from typing import Any, Final

from django.db import connection
from django.utils import timezone

from tasks.matrix import MATRIX
from tasks.models import Lease, OperationRequest, StatusChange, Task
from tasks.statuses import PausedHow, Status

#: Measured only of what runs.
LAGS: Final = ("lag_seconds", "lag_rows", "event_lag_ms")
_SETTLED: Final = frozenset(Status) - {Status.OPERATING}

#: Every change of status there is. An operation leads into Operating and out of it; the rest is what an engine
#: shows by itself: a late snapshot, a crash, an end, a late start, an object that vanished.
LEGAL: Final[frozenset[tuple[Status, Status]]] = frozenset(
    {(status, Status.OPERATING) for row in MATRIX.values() for status in row.allowed_in}
    | {(Status.OPERATING, status) for status in _SETTLED}
    | {(Status.RUNNING, status) for status in (Status.PAUSED, Status.STOPPED, Status.FAILURE)}
    | {(Status.FAILURE, Status.RUNNING)}
    | {(status, Status.DETECTION_EXCEPTION) for status in _SETTLED - {Status.DETECTION_EXCEPTION}}
)


class MovedOn(Exception):
    """The task no longer had the expected status (or lease): another process was first, nothing was written."""


def move(
    task: Task,
    *,
    expected: Status,
    to: Status,
    actor_name: str,
    reason: str = "",
    request: OperationRequest | None = None,
    paused_how: PausedHow | None = None,
    status_before: Status | None = None,
    holder: Lease | None = None,
    epoch: int | None = None,
    **columns: Any,
) -> StatusChange:
    """Change `task` from `expected` to `to`, write the history row, and set `columns` in the same statement.

    `status_before` is what Re-detect returns to (default: `expected`). `holder`, where given, must
    still be the task's lease. `task` in memory is brought up to date.
    Raises MovedOn when the compare fails, ValueError for a change that is not in LEGAL,
    RuntimeError outside a transaction: status and history are written together or not at all.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("move() needs the caller's transaction.")
    if (expected, to) not in LEGAL:
        raise ValueError(f"{expected.label} never becomes {to.label}.")
    now = timezone.now()
    values: dict[str, Any] = {
        "status": to,
        "status_since": now,
        "status_reason": reason,
        "paused_how": paused_how or "",
        "updated_at": now,
        # What does not run is not measured: an old zero would say that it keeps up.
        **({} if to in (Status.RUNNING, Status.OPERATING) else dict.fromkeys(LAGS)),
        **columns,
    }
    if to is Status.DETECTION_EXCEPTION:
        values["status_before"] = status_before or expected
        values["missing_since"] = task.missing_since or now
    elif to is not Status.OPERATING:  # a Re-detect in progress still has to know where to return to
        values["status_before"] = ""
        values["missing_since"] = None
    held = {"lease_owner": holder.owner, "lease_number": holder.number} if holder is not None else {}
    if Task.objects.filter(pk=task.pk, status=expected, **held).update(**values) != 1:
        raise MovedOn(f"Task {task.name} is no longer {expected.label}.")
    for name, value in values.items():
        setattr(task, name, value)
    return write_history(task, expected, to, actor_name=actor_name, reason=reason, request=request, epoch=epoch)


def write_history(
    task: Task,
    from_status: Status | None,
    to: Status,
    *,
    actor_name: str,
    reason: str = "",
    request: OperationRequest | None = None,
    epoch: int | None = None,
) -> StatusChange:
    """Append to the history. With equal statuses: something worth knowing happened within one (a restart)."""
    run = task.run
    return StatusChange.objects.create(
        task=task,
        at=timezone.now(),
        from_status=from_status or "",
        to_status=to,
        paused_how=task.paused_how if to is Status.PAUSED else "",
        actor_name=actor_name,
        request=request,
        run_number=run.number if run else None,
        epoch=epoch if epoch is not None else (run.epoch if run else None),
        reason=reason,
    )
