"""A day of samples of 1,000 tasks: what a pass costs of its interval, how large the store gets, what a chart costs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tasks import metrics, series
from tasks.models import GroupSample, Run, Sample, Task
from tasks.snapshots import moment
from tasks.statuses import Status
from tests.factories import make_group, make_task
from tests.stack import Stack

TASKS = 1_000
DAY = 86_400
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
    finest = metrics.resolutions()[0][0]
    took = []
    for now in range(T + finest, T + DAY + finest, finest):
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


def _timed(action: Any) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _size(rows: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT SUM(pgsize) FROM dbstat WHERE name LIKE %s", ["%sample%"])
        size = cursor.fetchone()[0]
    return f"{size / 1e6:,.0f} MB, {size / rows:.0f} bytes a sample"
