"""How far a run is with what was in its source when it began."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tasks import series
from tasks.models import Task
from tasks.snapshots import moment
from tasks.statuses import Status


@dataclass(frozen=True, slots=True)
class PhaseProgress:
    """Of the full phase; `percent` and `total` are None where the source can't count, `seconds_left` where the pace is
    not known."""

    is_full: bool
    done: int
    total: int | None
    unit: str
    began_at: datetime
    ended_at: datetime | None
    percent: float | None
    seconds_left: float | None


def progress_of(task: Task, now: float) -> PhaseProgress | None:
    """Return where the present run of `task` is; None where its engine tells no phases. At most one query."""
    if task.run is None or not task.phase:
        return None
    phase = task.phase
    is_full, done, total, unit = phase["name"] == "full", phase["done"], phase["total"], phase["unit"]
    percent = None if total is None else 100.0 if not is_full else min(99.9, 100.0 * done / max(1, total))
    left = None
    if is_full and total is not None and task.status == Status.RUNNING:
        rate = series.recent_rate(task.run, "rows_read" if unit == "rows" else "bytes_read", now)
        left = (total - done) / rate if rate else None
    ended = phase.get("ended_at")
    return PhaseProgress(
        is_full, done, total, unit, moment(phase["began_at"]), moment(ended) if ended else None, percent, left
    )
