"""From the console's records to what an engine needs; names what is missing."""

from __future__ import annotations

from tasks.engines.base import (
    AttemptRef,
    ConnectionSpec,
    ErrorClass,
    Fault,
    SnapshotInfo,
    SourceSpec,
    TargetSpec,
    TaskSpec,
)
from tasks.models import Connection, ResourceGroup, Run, Snapshot, Task


def missing_object(task: Task) -> Fault | None:
    """Return the fault that names the group or connection of `task` that no longer exists, if any."""
    if not ResourceGroup.objects.filter(name=task.group_id).exists():
        return _missing("group", f"Resource group {task.group_id}")
    wanted = {task.source_connection_id, task.target_connection_id}
    found = set(Connection.objects.filter(name__in=wanted).values_list("name", flat=True))
    for name in (task.source_connection_id, task.target_connection_id):
        if name not in found:
            return _missing("connection", f"Connection {name}")
    return None


def _missing(code: str, subject: str) -> Fault:
    return Fault(
        ErrorClass.MISSING,
        f"{code}_missing",
        f"{subject} does not exist.",
        "Make it again under this name, then Re-detect.",
        subject,
    )


def connection_spec(connection: Connection) -> ConnectionSpec:
    """Raises SecretUnreadable when the secret was stored under another key."""
    return ConnectionSpec(connection.name, connection.kind, dict(connection.settings), connection.secret())


def task_spec(task: Task, run: Run | None) -> TaskSpec:
    """Return what the engine needs to run `task`; without a run, what it needs to check it.

    Raises Connection.DoesNotExist (see missing_object) and SecretUnreadable.
    """
    by_name = {
        c.name: c for c in Connection.objects.filter(name__in=[task.source_connection_id, task.target_connection_id])
    }
    try:
        source, target = by_name[task.source_connection_id or ""], by_name[task.target_connection_id or ""]
    except KeyError as error:
        raise Connection.DoesNotExist(f"Connection {error.args[0]} does not exist.") from None
    return TaskSpec(
        task=task.uid.hex,
        name=task.name,
        run=run.number if run else 0,
        source=SourceSpec(connection_spec(source), task.source_object, dict(task.source_options)),
        target=TargetSpec(connection_spec(target), task.target_object, task.write_mode, tuple(task.target_key)),
        start=run.start_position if run else task.start_position,
        snapshot_interval=float(task.snapshot_interval),
        exactly_once=task.exactly_once,
        dirty_limit=task.dirty_limit,
    )


def attempt_ref(task: Task, run: Run) -> AttemptRef:
    return AttemptRef(task.uid.hex, run.number, run.epoch)


def snapshot_info(snapshot: Snapshot, run: Run) -> SnapshotInfo:
    """Return `snapshot` in the engine's form."""
    return SnapshotInfo(
        id=snapshot.engine_id,
        kind=snapshot.kind,
        run=run.number,
        epoch=snapshot.epoch,
        taken_at=snapshot.taken_at.timestamp(),
        offset=snapshot.offset,
        offset_text=snapshot.offset_text,
        position=snapshot.position,
        size_bytes=snapshot.size_bytes,
        duration_ms=snapshot.duration_ms,
    )
