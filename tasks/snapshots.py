"""Snapshots: where a run can continue from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from django.db import transaction

from tasks.models import OperationRequest, Run, Snapshot, Task
from tasks.statuses import Status
from tasks.transitions import write_history

#: A task that writes takes a snapshot each interval; this many without one is no accident.
MISSED_INTERVALS: Final = 3
#: Of one task.
MOST_PINNED: Final = 10


def latest_usable(run: Run) -> Snapshot | None:
    """Return the most recent snapshot that `run` can continue from."""
    return run.snapshots.continuable().first()


def to_continue_from(run: Run, request: OperationRequest | None) -> Snapshot | None:
    """Return the snapshot that `request` chose (None: it is gone), else the most recent usable one of `run`."""
    if request is not None and request.from_snapshot:
        return run.snapshots.filter(engine_id=request.from_snapshot, unusable="").first()
    return latest_usable(run)


def go_back_to(snapshot: Snapshot) -> None:
    """Leave behind the snapshots of the same run that are newer: a restart must not go forward to one of them.

    What is replayed from `snapshot` on would be missing from then on. One that was chosen again is left behind no more.
    """
    same_run = Snapshot.objects.filter(run=snapshot.run_id)
    same_run.filter(taken_at__gt=snapshot.taken_at).update(superseded=True)
    same_run.filter(pk=snapshot.pk).update(superseded=False)


def pin(snapshot: Snapshot, actor_name: str) -> bool:
    """Keep `snapshot` when its engine forgets it, until Stop or Run; return whether there was room for one more."""
    with transaction.atomic():
        task = Task.objects.select_for_update(of=("self",)).get(pk=snapshot.task_id)
        pinned = Snapshot.objects.filter(task=snapshot.task_id).exclude(pinned_by="").exclude(pk=snapshot.pk)
        if pinned.count() >= MOST_PINNED:
            return False
        if Snapshot.objects.filter(pk=snapshot.pk, pinned_by="").update(pinned_by=actor_name):
            _note(task, actor_name, f"Pinned the snapshot at {snapshot.offset_text}")
    return True


@transaction.atomic
def unpin(snapshot: Snapshot, actor_name: str) -> None:
    if Snapshot.objects.filter(pk=snapshot.pk).exclude(pinned_by="").update(pinned_by=""):
        _note(snapshot.task, actor_name, f"Let go of the snapshot at {snapshot.offset_text}")


@transaction.atomic
def ask_for(task: Task, now: datetime, actor_name: str) -> bool:
    """Ask for a snapshot without an end; return whether the task runs, so that one can be taken."""
    running = Task.objects.filter(pk=task.pk, status=Status.RUNNING, restart_at__isnull=True)
    if running.filter(snapshot_asked_at__isnull=True).update(snapshot_asked_at=now):
        _note(task, actor_name, "Asked for a snapshot")
        return True
    return running.exists()


def _note(task: Task, actor_name: str, what: str) -> None:
    status = Status(task.status)
    write_history(task, status, status, actor_name=actor_name, reason=what)


def overdue_at(taken_at: float, interval: float) -> datetime:
    """Return when a task that goes on writing has missed its snapshots; `interval` in seconds.

    Ten seconds are the least: at short intervals the looks at the engine are further apart than the snapshots.
    """
    return moment(taken_at + max(10.0, MISSED_INTERVALS * interval))


def moment(seconds: float) -> datetime:
    """Return the aware UTC time of `seconds` since the epoch."""
    return datetime.fromtimestamp(seconds, tz=UTC)
