"""Snapshots: where a run can continue from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from tasks.models import Run, Snapshot

#: A task that writes takes a snapshot each interval; this many without one is no accident.
MISSED_INTERVALS: Final = 3


def latest_usable(run: Run) -> Snapshot | None:
    """Return the most recent snapshot that `run` can continue from."""
    return run.snapshots.filter(unusable="").order_by("-taken_at", "-pk").first()


def overdue_at(taken_at: float, interval: float) -> datetime:
    """Return when a task that goes on writing has missed its snapshots; `interval` in seconds.

    Ten seconds are the least: at short intervals the looks at the engine are further apart than the snapshots.
    """
    return moment(taken_at + max(10.0, MISSED_INTERVALS * interval))


def moment(seconds: float) -> datetime:
    """Return the aware UTC time of `seconds` since the epoch."""
    return datetime.fromtimestamp(seconds, tz=UTC)
