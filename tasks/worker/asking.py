"""Ask engines for the snapshots that people want without an end, and see what came of it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from tasks.engines.base import EngineError
from tasks.models import Snapshot, SnapshotKind, Task
from tasks.statuses import Status
from tasks.transitions import write_history
from tasks.worker import specs, sweeps
from tasks.worker.sweeps import Engines

log = logging.getLogger(__name__)

WITHIN: Final = timedelta(seconds=30)
MOST: Final = 100


def ask_for_snapshots(engines: Engines) -> None:
    """Ask again until one is seen: the time of the wish is its token, so that an engine takes it once."""
    wanted = Task.objects.filter(snapshot_asked_at__isnull=False).select_related("run").order_by("snapshot_asked_at")
    for task in wanted[:MOST]:
        asked_at = task.snapshot_asked_at
        assert asked_at is not None
        taken = Snapshot.objects.filter(
            task=task, run=task.run, kind=SnapshotKind.MANUAL, taken_at__gte=asked_at - timedelta(seconds=1)
        ).first()
        if taken is not None:
            _close(task, asked_at, f"A snapshot was taken on demand: {taken.offset_text}.")
        elif task.status != Status.RUNNING or task.run is None or timezone.now() - asked_at > WITHIN:
            _close(task, asked_at, "A snapshot was asked for, but none came; the task's log may say why.")
        else:
            try:
                engines(sweeps.engine_kind(task)).snapshot(specs.attempt_ref(task, task.run), asked_at.isoformat())
            except EngineError as error:
                log.info("Task %s: no snapshot could be asked for: %s", task.name, error)


@transaction.atomic
def _close(task: Task, asked_at: datetime, reason: str) -> None:
    if Task.objects.filter(pk=task.pk, snapshot_asked_at=asked_at).update(snapshot_asked_at=None):
        status = Status(task.status)
        write_history(task, status, status, actor_name="system", reason=reason)
