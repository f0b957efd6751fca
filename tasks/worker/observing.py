"""Write what engines show: counters, lag, snapshots, dirty rows. Never a status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from tasks import runs, snapshots
from tasks.engines.base import ALIVE, EngineState, Fault, Observation, SnapshotInfo
from tasks.models import DirtyRow, OperationRequest, Run, Snapshot, Task
from tasks.statuses import Outcome, Status
from tasks.transitions import LAGS

_COUNTERS = (
    "rows_read",
    "rows_written",
    "rows_dirty",
    "rows_replayed",
    "position",
    "high_water",
    "bytes_read",
    "bytes_written",
    "bytes_dirty",
)

_ENDED_AS_ASKED = frozenset({EngineState.PAUSED, EngineState.KILLED, EngineState.FINISHED})
_RUNS = frozenset({Status.RUNNING, Status.OPERATING})

#: (task, run) -> newest snapshot that this process has recorded: most looks then need no query for snapshots.
_recorded: dict[tuple[str, int], str] = {}


def record_many(pairs: Iterable[tuple[Task, Observation]]) -> None:
    """Record many observations in one transaction. Tasks that show nothing new cost one statement all together."""
    unchanged: list[tuple[Task, Observation]] = []
    with transaction.atomic():
        for task, observation in pairs:
            if _shows_nothing_new(task, observation):
                unchanged.append((task, observation))
            else:
                record(task, observation)
        _touch(unchanged)


def _shows_nothing_new(task: Task, observation: Observation) -> bool:
    if task.run is None or not knows(observation):
        return False
    if observation.snapshots and _recorded.get(_key(task, task.run)) != observation.snapshots[0].id:
        return False
    values = _values(task, observation)
    del values["observed_at"]
    return all(getattr(task, name) == value for name, value in values.items())


def _touch(unchanged: Sequence[tuple[Task, Observation]]) -> None:
    """Write down when they were last heard of. A run is of one task alone, so each is compared here, too."""
    if not unchanged:
        return
    at = snapshots.moment(min(observation.at for _, observation in unchanged))
    Task.objects.filter(
        pk__in=[task.pk for task, _ in unchanged],
        run__in=[task.run_id for task, _ in unchanged],
        observed_at__lt=at,
    ).update(observed_at=at)
    for task, _ in unchanged:
        task.observed_at = at


def record(task: Task, observation: Observation) -> None:
    """Record what the engine shows of the task's newest attempt; an engine that gave no answer changes nothing else."""
    run = task.run
    if run is None:
        return
    values = _values(task, observation)
    # The run is compared: an observation that was under way while the task was stopped must not bring figures back.
    # So is the time: two looks may be recorded in another order than they were taken.
    older = Q(observed_at__isnull=True) | Q(observed_at__lte=snapshots.moment(observation.at))
    if Task.objects.filter(older, pk=task.pk, run=run).update(**values) != 1:
        return
    if knows(observation) and task.engine_state != observation.state.value:
        run.attempts.filter(epoch=observation.ref.epoch, running_at__isnull=True).update(running_at=timezone.now())
    for name, value in values.items():
        setattr(task, name, value)
    key = _key(task, run)
    if observation.snapshots and _recorded.get(key) != observation.snapshots[0].id:
        record_snapshots(run, observation.snapshots)
        newest = observation.snapshots[0].id
        transaction.on_commit(lambda: _remember(key, newest))
    if observation.dirty:
        _record_dirty(task, observation)


def knows(observation: Observation | None) -> bool:
    """Whether the engine answered, and knows the attempt."""
    return observation is not None and observation.state not in (EngineState.ABSENT, EngineState.UNREACHABLE)


def _key(task: Task, run: Run) -> tuple[str, int]:
    return task.uid.hex, run.number


def _remember(key: tuple[str, int], newest: str) -> None:
    if len(_recorded) > 50_000:
        _recorded.clear()
    _recorded[key] = newest


def _values(task: Task, observation: Observation) -> dict[str, Any]:
    if observation.state is EngineState.UNREACHABLE:
        return {"engine_state": observation.state.value}
    values: dict[str, Any] = {"engine_state": observation.state.value, "observed_at": snapshots.moment(observation.at)}
    if observation.state is EngineState.ABSENT:
        return values
    values |= {name: getattr(observation.counters, name) for name in _COUNTERS}
    for name in ("offset_text", "delivery_ms", "log_n", *LAGS):
        values[name] = getattr(observation, name)
    # What does not run is not measured; of what broke down and is restarted soon the last measured still tells.
    # The status may be older than the look: a pause that was settled in between has ended the attempt as it was asked.
    if observation.state in _ENDED_AS_ASKED or (task.status not in _RUNS and observation.state not in ALIVE):
        values |= dict.fromkeys(LAGS)
    values["phase"] = asdict(observation.phase) if observation.phase else None
    if observation.snapshots:
        newest = observation.snapshots[0]
        values |= {"snapshot_at": snapshots.moment(newest.taken_at), "snapshot_ms": newest.duration_ms}
        values["snapshot_bytes"] = newest.size_bytes
        values["snapshot_overdue_at"] = snapshots.overdue_at(newest.taken_at, task.snapshot_interval)
    if observation.last_write_at:
        values["last_write_at"] = snapshots.moment(observation.last_write_at)
    if observation.state is EngineState.RUNNING and task.restart_at is None and task.status == Status.RUNNING:
        # What led to the last restart is over; what the attempt is retrying just now is not.
        values |= fault_columns(observation.fault)
        if _steady(task):
            values["restarts_in_row"] = 0
    return values


def fault_columns(fault: Fault | None) -> dict[str, str]:
    """Return the columns of a task that say `fault`, or that there is none."""
    if fault is None:
        return runs.NO_FAULT
    return {
        "fault_code": fault.code,
        "fault_cause": fault.cause,
        "fault_advice": fault.advice,
        "fault_subject": fault.subject,
    }


def _steady(task: Task) -> bool:
    """Whether the newest attempt has run long enough for the restarts before it to be forgotten."""
    if not task.restarts_in_row or task.run is None:
        return False
    newest = task.run.attempts.first()
    window = timedelta(seconds=settings.OPS_RESTART_WINDOW)
    return newest is not None and newest.running_at is not None and timezone.now() - newest.running_at > window


def _record_dirty(task: Task, observation: Observation) -> None:
    run = task.run
    assert run is not None
    newest = run.dirty_rows.values_list("n", flat=True).first() or 0
    rows = [row for row in observation.dirty if row.n > newest]
    DirtyRow.objects.bulk_create(
        [DirtyRow(run=run, n=row.n, at=snapshots.moment(row.at), reason=row.reason, row=row.row) for row in rows],
        ignore_conflicts=True,
    )


def record_snapshots(run: Run, infos: Sequence[SnapshotInfo]) -> None:
    """Make the console's copies of `run` equal to `infos`, all that the engine still has of it.

    A copy that the engine no longer lists is dropped only when the engine lists a later one in its place: an engine
    that lost its disk must not take the console's last way to continue with it. Pinned ones stay, one that somebody
    just chose to continue from, and what the attempt began with: it goes back to that until it has one of its own.
    """
    if not infos:
        return
    # Read anew: what is recorded may have been seen before somebody went back, and be written down after it.
    run.refresh_from_db(fields=["epoch"])
    known = set(run.snapshots.values_list("engine_id", flat=True))
    new = [info for info in infos if info.id not in known]
    Snapshot.objects.bulk_create([_copy(run, info) for info in new], ignore_conflicts=True)
    oldest = min(info.taken_at for info in infos)
    chosen = OperationRequest.objects.filter(task=run.task_id, outcome=Outcome.OPEN).values("from_snapshot")
    older = run.snapshots.filter(taken_at__lt=snapshots.moment(oldest), pinned_by="")
    begun_with = run.attempts.filter(epoch=run.epoch, from_snapshot__isnull=False).values("from_snapshot")
    older.exclude(engine_id__in=chosen).exclude(pk__in=begun_with).delete()


def _is_behind(run: Run, info: SnapshotInfo) -> bool:
    """Whether somebody went back behind a snapshot of a former attempt before the console had heard of it."""
    later = run.attempts.filter(epoch__gt=info.epoch, from_snapshot__taken_at__lt=snapshots.moment(info.taken_at))
    return later.exclude(Q(request__isnull=True) | Q(request__from_snapshot="")).exists()


def _copy(run: Run, info: SnapshotInfo) -> Snapshot:
    return Snapshot(
        superseded=info.epoch < run.epoch and _is_behind(run, info),
        task_id=run.task_id,
        run=run,
        engine_id=info.id,
        kind=info.kind,
        epoch=info.epoch,
        taken_at=snapshots.moment(info.taken_at),
        offset=info.offset,
        offset_text=info.offset_text,
        position=info.position,
        size_bytes=info.size_bytes,
        duration_ms=info.duration_ms,
    )
