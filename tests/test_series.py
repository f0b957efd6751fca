"""Series of samples: the right step, rates and growth, gaps that stay gaps."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tasks import metrics, phases, series
from tasks.models import GroupSample, Run, Sample, Task
from tasks.snapshots import moment
from tasks.statuses import Status
from tests.factories import make_task

pytestmark = pytest.mark.django_db

T = 1_800_000_000
ZEROS = dict.fromkeys(metrics.COUNTERS, 0)


@pytest.fixture
def run() -> Run:
    task = make_task("orders", status=Status.RUNNING)
    assert task.run is not None
    Run.objects.update(started_at=moment(T - 100_000))
    task.run.refresh_from_db()
    return task.run


def add(run: Run, *points: tuple[int, int], resolution: int = 10, **values: Any) -> None:
    Sample.objects.bulk_create(
        Sample(**{"run": run, "resolution": resolution, "at": at, **ZEROS, "rows_read": rows, **values})
        for at, rows in points
    )


def test_a_rate_is_the_growth_by_the_second_and_none_over_a_gap(run: Run) -> None:
    add(run, (T - 10, 100), (T, 150), (T + 10, 150), (T + 40, 900), (T + 50, 910))
    found = series.of_run(run, T, T + 60, T + 60)
    assert (found.begin, found.step, found.length) == (T, 10, 6)
    assert found.values["read_rate"] == [5.0, 0.0, None, None, None, 1.0]
    assert found.values["lag_seconds"] == [None] * 6
    assert not found.is_empty


def test_a_run_that_begins_grows_from_nothing(run: Run) -> None:
    run.started_at = moment(T + 14)
    add(run, (T + 10, 40), (T + 20, 60))
    assert series.of_run(run, T, T + 40, T + 40).values["read_rate"] == [None, 4.0, 2.0, None]


def test_a_long_range_is_of_coarse_samples_and_finer_ones_where_those_end(run: Run) -> None:
    add(run, *((T + 600 * n, 600 * n) for n in range(100)), resolution=600)
    add(run, *((T + 60_000 + 60 * n, 60_000 + 60 * n) for n in range(5)), resolution=60)
    add(run, (T + 60_300, 60_300), (T + 60_310, 60_310))
    now = T + 60_320
    found = series.of_run(run, now - 604_800, now, now)
    assert (found.step % 600, found.length <= series.MOST_POINTS) == (0, True)
    known = [value for value in found.values["read_rate"] if value is not None]
    assert len(known) > 30
    assert all(value == pytest.approx(1.0, rel=0.01) for value in known[1:-1])


@pytest.mark.parametrize("span", [60, 900, 3600, 21_600, 86_400, 604_800, 2_592_000, 400 * 86_400])
def test_no_range_has_more_points_than_a_page_can_bear(run: Run, span: int) -> None:
    found = series.of_run(run, T - span, T, T)
    assert found.length <= series.MOST_POINTS
    assert found.begin <= T - span < T <= found.end


@pytest.mark.parametrize("later", [0.0, 0.3, 0.999, 9.5])
def test_a_range_holds_its_own_end(run: Run, later: float) -> None:
    """What happened a moment ago is on the chart, however the moment lies to the steps."""
    end = T + later
    found = series.of_run(run, end - 900, end, end)
    assert found.begin <= end - 900 < end <= found.end


def test_a_range_costs_the_same_queries_however_long(run: Run, django_assert_num_queries: Any) -> None:
    add(run, *((T - 10 * n, 1) for n in range(300)))
    for span in (900, 604_800):
        stored = 1 if span == 900 else 3
        with django_assert_num_queries(stored + 1):
            series.of_run(run, T - span, T, T)


def test_restarts_and_dirty_rows_are_counted_by_the_step(run: Run) -> None:
    add(run, (T, 0), rows_dirty=2, restarts=1)
    add(run, (T + 10, 0), rows_dirty=5, restarts=1)
    found = series.of_run(run, T, T + 20, T + 20)
    assert found.values["dirty_rows"] == [None, 3]
    assert found.values["restarts"] == [None, 0]


def test_groups_are_added_up_once_though_two_resolutions_hold_them() -> None:
    zeros = dict.fromkeys(series.SUMS, 0)
    for group in ("one", "two"):
        for resolution, at in ((60, T), (60, T + 60), (10, T + 60), (10, T + 110), (10, T + 120)):
            rows = {**zeros, "rows_written": 6 * resolution}
            GroupSample.objects.create(group=group, resolution=resolution, at=at, running=3, lag_seconds=1.0, **rows)
    now = T + 130
    found = series.of_groups(None, now - 21_600, now, now)
    assert found.step == 60
    assert found.values["rows_written"][-3:] == [12.0, 12.0, 2.0]
    assert found.values["running"][-3:] == [6, 6, 6]
    assert series.of_groups(["one"], now - 21_600, now, now).values["rows_written"][-3:] == [6.0, 6.0, 1.0]


def test_the_recent_rate_needs_two_samples(run: Run) -> None:
    assert series.recent_rate(run, "rows_read", T) is None
    add(run, (T - 70, 1), (T - 50, 100), (T - 10, 300))
    assert series.recent_rate(run, "rows_read", T) == 5.0


def test_the_end_of_the_full_phase_is_told_from_the_recent_rate(run: Run) -> None:
    task = Task.objects.get()
    assert phases.progress_of(task, T) is None
    task.phase = {"name": "full", "done": 250, "total": 1000, "unit": "rows", "began_at": T - 60, "ended_at": None}
    found = phases.progress_of(task, T)
    assert found is not None
    assert (found.percent, found.seconds_left) == (25.0, None)
    add(run, (T - 50, 100), (T - 10, 300))
    found = phases.progress_of(task, T)
    assert found is not None
    assert found.seconds_left == 150.0
    task.phase |= {"name": "incremental", "ended_at": T - 5}
    found = phases.progress_of(task, T)
    assert found is not None
    assert (found.percent, found.is_full, found.ended_at) == (100.0, False, moment(T) - timedelta(seconds=5))
