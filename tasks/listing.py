"""Tasks as plain data, for the command line and the API."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from tasks.models import Snapshot, Task


def listed(tasks: QuerySet[Task]) -> list[dict[str, Any]]:
    """Return each task as a dictionary of plain values, in two queries. Times are ISO 8601 in UTC."""
    rows = list(tasks.select_related("run"))
    newest: dict[int, Snapshot] = {}
    for snapshot in Snapshot.objects.filter(task__in=[task.pk for task in rows]).order_by("taken_at", "pk"):
        newest[snapshot.task_id] = snapshot
    return [_as_dict(task, newest.get(task.pk)) for task in rows]


def _as_dict(task: Task, snapshot: Snapshot | None) -> dict[str, Any]:
    return {
        "name": task.name,
        "status": task.status,
        "paused": task.paused_how or None,
        "since": task.status_since.isoformat(),
        "group": task.group_id,
        "source": {"connection": task.source_connection_id, "object": task.source_object},
        "target": {
            "connection": task.target_connection_id,
            "object": task.target_object,
            "mode": task.write_mode,
        },
        "run": task.run.number if task.run else None,
        "epoch": task.run.epoch if task.run else None,
        "rows_read": task.rows_read,
        "rows_written": task.rows_written,
        "replayed": task.rows_replayed,
        "dirty": task.rows_dirty,
        "restarts": task.restarts,
        "lag_seconds": task.lag_seconds,
        "lag_rows": task.lag_rows,
        "offset": task.offset_text or None,
        "observed_at": task.observed_at.isoformat() if task.observed_at else None,
        "restart_at": task.restart_at.isoformat() if task.restart_at else None,
        "last_snapshot": {
            "kind": snapshot.kind,
            "at": snapshot.taken_at.isoformat(),
            "offset": snapshot.offset_text,
            "position": snapshot.position,
        }
        if snapshot
        else None,
        "rows_to_replay": max(0, task.high_water - snapshot.position) if snapshot else None,
        "error": f"{task.fault_cause} {task.fault_advice}".strip() or None,
    }
