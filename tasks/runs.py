"""Runs and attempts: begin and end them, inside the caller's transaction."""

from __future__ import annotations

from typing import Any, Final

from django.utils import timezone

from tasks import logs, metrics
from tasks.models import Attempt, Lease, OperationRequest, Run, Snapshot, Task
from tasks.models.run import AttemptCause
from tasks.models.task import TaskQuerySet
from tasks.transitions import MovedOn

#: Columns of a task that speak of its current run: nothing of them outlives it.
FRESH: Final[dict[str, Any]] = {
    "restarts": 0,
    "restarts_in_row": 0,
    "restart_at": None,
    "engine_state": "",
    "observed_at": None,
    "rows_read": 0,
    "rows_written": 0,
    "rows_dirty": 0,
    "rows_replayed": 0,
    "position": 0,
    "high_water": 0,
    "bytes_read": 0,
    "bytes_written": 0,
    "bytes_dirty": 0,
    "offset_text": "",
    "lag_seconds": None,
    "lag_rows": None,
    "last_write_at": None,
    "log_n": 0,
    "delivery_ms": None,
    "event_lag_ms": None,
    "phase": None,
    "snapshot_at": None,
    "snapshot_ms": None,
    "snapshot_bytes": None,
    "snapshot_overdue_at": None,
    "snapshot_asked_at": None,
}

NO_FAULT: Final[dict[str, str]] = {"fault_code": "", "fault_cause": "", "fault_advice": "", "fault_subject": ""}


def held(task: Task, lease: Lease) -> TaskQuerySet:
    """Return `task` as a query that finds it only while `lease` holds: the condition of every write under it."""
    return Task.objects.filter(pk=task.pk, lease_owner=lease.owner, lease_number=lease.number)


def begin_run(task: Task, request: OperationRequest, engine: str, *, lease: Lease) -> Run:
    """End and discard the task's former run, and open the next one. Raises MovedOn when the lease is lost."""
    if held(task, lease).update(restart_at=None) != 1:
        raise MovedOn(f"Another worker holds {task.name}.")
    if task.run is not None:
        end_run(task.run, "Discarded by the next Run")
    newest = task.runs.order_by("-number").values_list("number", flat=True).first() or 0
    run = Run.objects.create(
        task=task,
        number=newest + 1,
        engine=engine,
        start_position=request.start_position or task.start_position,
        started_at=timezone.now(),
        started_by=request.actor_name,
    )
    values = {**FRESH, **NO_FAULT, "run": run}
    if held(task, lease).update(**values) != 1:
        raise MovedOn(f"Another worker holds {task.name}.")
    for name, value in values.items():
        setattr(task, name, value)
    return run


def begin_attempt(
    task: Task,
    run: Run,
    cause: AttemptCause,
    snapshot: Snapshot | None,
    request: OperationRequest | None,
    *,
    lease: Lease,
) -> Attempt:
    """Open the next attempt of `run`. Raises MovedOn when the lease is lost or another worker opened it first."""
    epoch = run.epoch
    if Run.objects.filter(pk=run.pk, epoch=epoch, ended_at__isnull=True).update(epoch=epoch + 1) != 1:
        raise MovedOn(f"Another worker has started an attempt of {task.name}.")
    if held(task, lease).filter(run=run).update(restart_at=None) != 1:
        raise MovedOn(f"Another worker holds {task.name}.")
    end_attempt(run, "superseded", "")
    run.epoch = epoch + 1
    task.restart_at = None
    return Attempt.objects.create(
        run=run,
        epoch=run.epoch,
        cause=cause,
        request=request,
        from_snapshot=snapshot,
        replay_forecast=max(0, task.high_water - snapshot.position) if snapshot else None,
        replayed_before=task.rows_replayed,
        settings=settings_of(task),
        started_at=timezone.now(),
    )


#: What an attempt is started with; what else a task has may change while it runs.
_SETTINGS: Final = (
    "source_connection_id",
    "source_object",
    "source_options",
    "target_connection_id",
    "target_object",
    "write_mode",
    "target_key",
    "snapshot_interval",
    "exactly_once",
    "dirty_limit",
)


def settings_of(task: Task) -> dict[str, Any]:
    return {name.removesuffix("_id"): getattr(task, name) for name in _SETTINGS}


def end_attempt(run: Run, ended_as: str, reason: str) -> None:
    """Close the open attempt of `run`, where there is one."""
    run.attempts.filter(ended_at__isnull=True).update(ended_at=timezone.now(), ended_as=ended_as, end_reason=reason)


def end_run(run: Run, reason: str) -> None:
    """Close `run` and discard its snapshots, dirty rows, metrics and log; the row itself stays, for the history.

    Its engine forgets it afterwards, as often as it takes: see `worker.discarding`.
    """
    end_attempt(run, "ended", reason)
    run.snapshots.all().delete()
    run.dirty_rows.all().delete()
    metrics.discard(run)
    logs.discard(run)
    Run.objects.filter(pk=run.pk, ended_at__isnull=True).update(ended_at=timezone.now(), end_reason=reason)
