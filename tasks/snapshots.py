"""Snapshots: where a run can continue from."""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.models import Run, Snapshot


def latest_usable(run: Run) -> Snapshot | None:
    """Return the most recent snapshot that `run` can continue from."""
    return run.snapshots.filter(unusable="").order_by("-taken_at", "-pk").first()


def moment(seconds: float) -> datetime:
    """Return the aware UTC time of `seconds` since the epoch."""
    return datetime.fromtimestamp(seconds, tz=UTC)
