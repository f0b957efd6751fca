"""A day of samples of 1,000 tasks: what a pass at its end costs of its interval, how large the store is, what a chart
costs."""

from __future__ import annotations

import tempfile
import time
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks import metrics, series
from tasks.alerts import life
from tasks.alerts.metrics import METRICS
from tasks.models import Alert, AlertRule, GroupSample, Run, Sample, Task
from tasks.snapshots import moment
from tasks.statuses import Status
from tests.factories import make_group, make_task
from tests.stack import Stack

TASKS = 1_000
DAY, HOUR = 86_400, 3_600
T = 1_800_000_000


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="opsconsole-bench-") as directory:
        stack = Stack(Path(directory))
        stack.prepare()
        with stack.use():
            _measure(Path(directory))
        stack.close()


def _measure(directory: Path) -> None:
    make_group()
    for n in range(TASKS):
        make_task(f"task-{n:04}", status=Status.RUNNING, engine_state="running", lag_rows=3, snapshot_ms=1.5)
    Run.objects.update(started_at=moment(T))
    _fill(T, T + DAY - HOUR)
    finest = metrics.resolutions()[0][0]
    took = []
    for now in range(T + DAY - HOUR + finest, T + DAY + finest, finest):
        Task.objects.update(observed_at=moment(now), rows_read=now - T, rows_written=now - T, bytes_read=9 * (now - T))
        began = time.perf_counter()
        metrics.take(metrics.last_closed(now), now + 0.5)
        metrics.roll_up(now + 0.5)
        metrics.prune(now + 0.5)
        took.append(time.perf_counter() - began)
    rows = Sample.objects.count() + GroupSample.objects.count()
    run = Run.objects.order_by("pk")[0]
    slowest = sorted(took)[int(len(took) * 0.99)]
    print(
        f"metrics  {TASKS:,} tasks, a pass: {median(took) / finest:.2%} of its interval (p99 {slowest / finest:.2%}); "
        f"a day: {rows:,} samples, {rows / TASKS:,.0f} a task of {metrics.rows_at_most():,} at most, {_size(rows)}"
    )
    for name, span in (("15 min", 900), ("24 h", DAY), ("7 days", 7 * DAY)):
        with CaptureQueriesContext(connection) as queries:
            seconds = min(_timed(lambda span=span: series.of_run(run, T + DAY - span, T + DAY, T + DAY)) for _ in "123")
        print(f"metrics  a series of {name:7} {seconds * 1000:6.1f} ms   {len(queries) // 3} queries")

    _measure_alerts(moment(T + DAY))


def _measure_alerts(now: Any) -> None:
    """All 21 metrics as rules for all tasks: a pass while all is well, and while every task breaks one of them."""
    every = settings.OPS_ALERT_SECONDS
    for code, metric in METRICS.items():
        AlertRule.objects.create(
            name=code, metric=code, comparison=metric.comparison, threshold=metric.threshold or 0, window=60
        )
    AlertRule.objects.filter(metric__in=("no_progress", "task_delay", "read_throughput", "write_throughput")).update(
        threshold=0, comparison="below"
    )
    Task.objects.update(observed_at=now, status_since=now - timedelta(days=1), lag_rows=0)
    well = [_timed(lambda: life.judge_all(now)) for _ in range(5)]
    AlertRule.objects.filter(metric="task_delay").update(comparison="above", threshold=60, window=0)
    Task.objects.update(lag_seconds=90.0)
    opening = _timed(lambda: life.judge_all(now))
    broken = [_timed(lambda: life.judge_all(now)) for _ in range(3)]
    assert Alert.objects.filter(metric="task_delay").count() == TASKS
    print(
        f"alerts   {len(METRICS)} rules for {TASKS:,} tasks, a pass each {every} s: {median(well) / every:.1%} of that "
        f"when all is well, {median(broken) / every:.1%} with {TASKS:,} open alerts; opening those took {opening:.2f} s"
    )


def _fill(begin: int, end: int) -> None:
    """Write what is left of the hours before the last one: its passes would leave the same coarse samples."""
    columns = [field.column for field in Sample._meta.concrete_fields]
    zeros = dict.fromkeys(metrics.COUNTERS, "0") | {"rows_read": "at", "lag_rows": "3", "snapshot_ms": "1.5"}
    given = {"run_id": "tasks_run.id", "resolution": "%s", "at": "at", **zeros}
    chosen = ", ".join(given.get(column, "NULL") for column in columns)
    for stretch, _ in metrics.resolutions()[1:]:
        with connection.cursor() as cursor:
            cursor.execute(
                "WITH RECURSIVE stretches(at) AS "
                "(SELECT %s UNION ALL SELECT at + %s FROM stretches WHERE at + %s < %s) "
                f"INSERT INTO tasks_sample ({', '.join(columns)}) SELECT {chosen} FROM stretches, tasks_run",
                [begin, stretch, stretch, end, stretch],
            )


def _timed(action: Any) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _size(rows: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT SUM(pgsize) FROM dbstat WHERE name LIKE %s", ["%sample%"])
        size = cursor.fetchone()[0]
    return f"{size / 1e6:,.0f} MB, {size / rows:.0f} bytes a sample"
