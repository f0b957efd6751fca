"""Samples of what runs did: take, roll up, prune, read.

A sample is taken of each task that its engine shows alive, every finest stretch, from what the last look at the engine
wrote down: no engine is asked for it. Coarser samples are made of finer ones. A stretch in which nobody looked has no
sample: it is a gap, never a zero. Every statement here may be repeated, and done by several workers at once.
"""

# ruff: noqa: S608  (the statements are made of the column names below, and of nothing else)

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Min, QuerySet

from tasks.models import GroupSample, Run, Sample, Task
from tasks.snapshots import moment

#: Counters of a run so far, and the worst of a stretch: in the order of the columns.
COUNTERS: Final = (
    "rows_read",
    "rows_written",
    "rows_dirty",
    "rows_replayed",
    "bytes_read",
    "bytes_written",
    "bytes_dirty",
    "restarts",
)
GAUGES: Final = (
    "lag_seconds",
    "lag_rows",
    "delivery_ms",
    "event_lag_ms",
    "snapshot_age",
    "snapshot_ms",
    "snapshot_bytes",
)
#: Seconds after the end of a stretch when its samples are all there.
GRACE: Final = 5
_ALIVE: Final = ("starting", "running", "pausing")


def resolutions() -> tuple[tuple[int, int], ...]:
    """Return (seconds of a stretch, seconds it is kept), finest first."""
    kept: tuple[tuple[int, int], ...] = settings.OPS_METRICS_KEEP
    return kept


def rows_at_most() -> int:
    """Return how many samples a run can have."""
    return sum(kept // stretch for stretch, kept in resolutions())


# --- taking ---------------------------------------------------------------------------------------------


def last_closed(now: float) -> int:
    """Return the begin of the finest stretch that ended last, in seconds since the epoch."""
    finest = resolutions()[0][0]
    return int(now // finest) * finest - finest


def take(at: int, now: float) -> int:
    """Write one sample, for the stretch from `at`, of each task that was heard of lately; return how many."""
    rows = _present(at, now)
    with transaction.atomic(), connection.cursor() as cursor:
        if rows:
            cursor.executemany(_TAKE, rows)
        cursor.execute(_SUM_GROUPS, [at, at - resolutions()[0][0], resolutions()[0][0], at])
    return len(rows)


def _present(at: int, now: float) -> list[tuple[Any, ...]]:
    finest = resolutions()[0][0]
    heard = moment(now) - timedelta(seconds=max(finest, 3 * settings.OPS_OBSERVE_SECONDS))
    tasks = (
        Task.objects.filter(run__ended_at__isnull=True, observed_at__gte=heard, engine_state__in=_ALIVE)
        .order_by("run_id")
        .values_list("run_id", *COUNTERS, *GAUGES[:4], "snapshot_at", "snapshot_ms", "snapshot_bytes")
    )
    rows = []
    for run, *values in tasks:
        taken_at = values[-3]
        values[-3] = None if taken_at is None else max(0.0, now - taken_at.timestamp())
        rows.append((run, finest, at, *values, run))
    return rows


def _names(*names: str) -> str:
    return ", ".join(f'"{name}"' for name in names)


_COLUMNS: Final = _names("run_id", "resolution", "at", *COUNTERS, *GAUGES)
#: A run that ended meanwhile gets no sample any more: Stop has discarded them.
_TAKE: Final = (
    f"INSERT INTO tasks_sample ({_COLUMNS}) SELECT {', '.join(['%s'] * (3 + len(COUNTERS) + len(GAUGES)))} "
    "WHERE EXISTS (SELECT 1 FROM tasks_run WHERE id = %s AND ended_at IS NULL) ON CONFLICT DO NOTHING"
)
_SUMMED: Final = ("rows_read", "rows_written", "bytes_read", "bytes_written")
#: What each group's tasks did since the sample before. A run's first sample counts from nothing; one after a gap
#: counts as nothing, since nobody knows when it was.
_SUM_GROUPS: Final = (
    f"INSERT INTO tasks_groupsample ({_names('group', 'resolution', 'at', *_SUMMED, 'running', 'lag_seconds')}) "
    "SELECT t.group_id, s.resolution, s.at, "
    + ", ".join(
        f"SUM(CASE WHEN p.at IS NOT NULL THEN s.{name} - p.{name} "
        "WHEN EXISTS (SELECT 1 FROM tasks_sample e WHERE e.run_id = s.run_id AND e.resolution = s.resolution "
        f"AND e.at < s.at) THEN 0 ELSE s.{name} END)"
        for name in _SUMMED
    )
    + ", COUNT(*), MAX(s.lag_seconds) FROM tasks_sample s JOIN tasks_task t ON t.run_id = s.run_id "
    "LEFT JOIN tasks_sample p ON p.run_id = s.run_id AND p.resolution = s.resolution AND s.at = %s AND p.at = %s "
    "WHERE s.resolution = %s AND s.at = %s GROUP BY t.group_id, s.resolution, s.at ORDER BY 1 ON CONFLICT DO NOTHING"
)


def discard(run: Run) -> None:
    """Delete the samples of `run`."""
    _delete(Sample.objects.filter(run=run))


# --- rolling up and pruning -----------------------------------------------------------------------------


def roll_up(now: float) -> None:
    """Make the coarser samples of all stretches that ended since it was done last."""
    for (fine, _), (coarse, _) in zip(resolutions(), resolutions()[1:], strict=False):
        for model, statement in ((Sample, _ROLL_UP), (GroupSample, _ROLL_UP_GROUPS)):
            begin = _next_stretch(model, fine, coarse)
            end = int((now - GRACE) // coarse) * coarse
            if begin is None or begin >= end:
                continue
            with connection.cursor() as cursor:
                cursor.execute(statement, [coarse, coarse, fine, begin, end])


def _next_stretch(model: type[Sample] | type[GroupSample], fine: int, coarse: int) -> int | None:
    """Return the begin of the first stretch that was not rolled up yet; None where there is nothing to roll up."""
    objects = model._default_manager
    newest = objects.filter(resolution=coarse).aggregate(at=Max("at"))["at"]
    if newest is not None:
        return int(newest) + coarse
    oldest = objects.filter(resolution=fine).aggregate(at=Min("at"))["at"]
    return None if oldest is None else int(oldest) // coarse * coarse


_ROLL_UP: Final = (
    f"INSERT INTO tasks_sample ({_COLUMNS}) SELECT run_id, %s, at - at %% %s AS stretch, "
    + ", ".join(f'MAX("{name}")' for name in (*COUNTERS, *GAUGES))
    + " FROM tasks_sample WHERE resolution = %s AND at >= %s AND at < %s "
    "GROUP BY run_id, stretch ORDER BY run_id, stretch ON CONFLICT DO NOTHING"
)
_ROLL_UP_GROUPS: Final = (
    f"INSERT INTO tasks_groupsample ({_names('group', 'resolution', 'at', *_SUMMED, 'running', 'lag_seconds')}) "
    'SELECT "group", %s, at - at %% %s AS stretch, '
    + ", ".join(f'SUM("{name}")' for name in _SUMMED)
    + ", MAX(running), MAX(lag_seconds) FROM tasks_groupsample WHERE resolution = %s AND at >= %s AND at < %s "
    'GROUP BY "group", stretch ORDER BY "group", stretch ON CONFLICT DO NOTHING'
)


def prune(now: float) -> None:
    """Delete the samples that are older than they are kept. Roll up before: what is deleted is not made again."""
    for stretch, kept in resolutions():
        for model in (Sample, GroupSample):
            _prune(model, stretch, int(now) - kept)


def _prune(model: type[Sample] | type[GroupSample], stretch: int, before: int) -> None:
    """Delete ten stretches at once: after a long outage one statement would hold up everybody."""
    objects = model._default_manager.filter(resolution=stretch, at__lt=before)
    while (oldest := objects.aggregate(at=Min("at"))["at"]) is not None:
        _delete(objects.filter(at__lt=oldest + 10 * stretch))


def _delete(samples: QuerySet[Any]) -> None:
    """Nothing refers to a sample, so none has to be loaded to be deleted."""
    samples._raw_delete(samples.db)
