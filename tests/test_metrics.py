"""Samples: taken once, rolled up without loss, pruned, and gone with their run."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from opsconsole import environment
from tasks import logs, metrics, runs
from tasks.models import GroupSample, LogLine, Run, Sample, Task
from tasks.snapshots import moment
from tasks.statuses import Status
from tests.factories import make_task

pytestmark = pytest.mark.django_db

#: A full hour, so that every stretch begins here.
T = 1_800_000_000


def running(name: str = "", **values: Any) -> Task:
    return make_task(name, status=Status.RUNNING, engine_state="running", **values)


def show(task: Task, now: float, **values: Any) -> None:
    Task.objects.filter(pk=task.pk).update(observed_at=moment(now), **values)


def take(now: float) -> int:
    return metrics.take(metrics.last_closed(now), now)


def samples(resolution: int = 10) -> list[tuple[int, int]]:
    return list(Sample.objects.filter(resolution=resolution).order_by("at").values_list("at", "rows_written"))


def test_a_sample_is_of_the_stretch_that_just_ended_and_is_taken_once() -> None:
    task = running()
    show(task, T + 10.4, rows_written=7, lag_rows=3, snapshot_at=moment(T + 4), snapshot_ms=2.5)
    assert take(T + 10.5) == 1
    take(T + 11.5)  # another worker
    found = Sample.objects.get()
    assert (found.at, found.rows_written, found.lag_rows, found.snapshot_ms) == (T, 7, 3, 2.5)
    assert found.snapshot_age == pytest.approx(6.5)


@pytest.mark.parametrize("what", ["not heard of", "engine gone", "paused", "ended"])
def test_what_is_not_known_to_run_has_a_gap(what: str) -> None:
    task = running()
    show(task, T + (-30 if what == "not heard of" else 9))
    if what == "engine gone":
        Task.objects.update(engine_state="unreachable")
    if what == "paused":
        Task.objects.update(engine_state="paused")
    if what == "ended":
        Run.objects.update(ended_at=timezone.now())
    take(T + 10)
    assert samples() == []


def test_coarser_samples_keep_the_counters_and_the_worst() -> None:
    task = running()
    for n in range(1, 61):
        now = T + 10 * n
        show(task, now, rows_written=100 * n, lag_seconds=5.0 if n == 8 else 0.5)
        take(now + 0.5)
    metrics.roll_up(T + 604)  # the last stretch may not be whole yet
    assert [at for at, _ in samples(60)] == list(range(T, T + 540, 60))
    metrics.roll_up(T + 606)
    metrics.roll_up(T + 606)
    assert [written for _, written in samples(60)] == [600 * n for n in range(1, 11)]
    assert list(Sample.objects.filter(resolution=60, lag_seconds=5.0).values_list("at", flat=True)) == [T + 60]
    assert samples(600) == [(T, 6000)]


def test_a_worker_that_was_away_rolls_up_what_is_left_and_leaves_the_gap() -> None:
    task = running()
    for now in (T + 10, T + 20, T + 1800, T + 1810):
        show(task, now, rows_written=now - T)
        take(now + 1)
    metrics.roll_up(T + 1900)
    assert [at for at, _ in samples(60)] == [T, T + 1740, T + 1800]


def test_each_resolution_is_kept_as_long_as_it_says() -> None:
    task = running()
    assert task.run is not None
    zeros = dict.fromkeys(metrics.COUNTERS, 0)
    Sample.objects.bulk_create(
        Sample(run=task.run, resolution=stretch, at=at, **zeros)
        for stretch, kept in metrics.resolutions()
        for at in range(T - kept - 40 * stretch, T - kept + 5 * stretch, stretch)
    )
    metrics.prune(T)
    assert {stretch: len(samples(stretch)) for stretch, _ in metrics.resolutions()} == {10: 5, 60: 5, 600: 5}
    assert metrics.rows_at_most() == 360 + 1440 + 4320


def test_stop_discards_the_runs_samples_and_no_others() -> None:
    mine, other = running("mine"), running("other")
    for task in (mine, other):
        show(task, T + 9)
    take(T + 10)
    assert mine.run is not None
    runs.end_run(mine.run, "Stopped")
    assert list(Sample.objects.values_list("run__task__name", flat=True)) == ["other"]
    for task in (mine, other):
        show(task, T + 19)
    assert take(T + 20) == 1  # and it gets no more of them


def test_a_groups_sum_outlives_its_runs() -> None:
    one, two = running("one"), running("two")
    for n, now in enumerate((T + 10, T + 20, T + 30)):
        show(one, now, rows_written=100 + 10 * n, lag_seconds=1.0)
        show(two, now, rows_written=7, lag_seconds=4.0)
        take(now + 1)
    assert one.run is not None
    runs.end_run(one.run, "Stopped")
    show(two, T + 40, rows_written=9)
    take(T + 41)
    found = list(GroupSample.objects.order_by("at").values_list("group", "rows_written", "running", "lag_seconds"))
    assert found == [("local", 107, 2, 4.0), ("local", 10, 2, 4.0), ("local", 10, 2, 4.0), ("local", 2, 1, 4.0)]
    metrics.roll_up(T + 66)
    minute = GroupSample.objects.get(resolution=60)
    assert (minute.at, minute.rows_written, minute.running) == (T, 129, 2)


def test_after_a_gap_nobody_knows_when_the_rows_came() -> None:
    task = running()
    for now, written in ((T + 10, 5), (T + 100, 500), (T + 110, 503)):
        show(task, now, rows_written=written)
        take(now + 1)
    assert list(GroupSample.objects.order_by("at").values_list("rows_written", flat=True)) == [5, 0, 3]


def test_a_pass_costs_the_same_number_of_queries_for_any_number_of_tasks(
    django_assert_max_num_queries: Any,
) -> None:
    for n in range(30):
        show(running(f"t{n}"), T + 9)
    with django_assert_max_num_queries(34):  # 30 of them are one executemany
        take(T + 10)


@pytest.mark.parametrize(
    "value", ["10s", "10s:1h,15s:1d", "10s:1h,1m:30m", "10s:1m,1m:1d", "x:1h", "0s:1h", "10s:1y", "10s:-1h", "2h:1d"]
)
def test_a_retention_that_can_not_be_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("KEEP", value)
    with pytest.raises(ImproperlyConfigured, match="KEEP"):
        environment.retention("KEEP", "")


def test_the_window_of_hearing_is_no_shorter_than_three_looks(settings: Any) -> None:
    settings.OPS_OBSERVE_SECONDS = 20
    task = running()
    show(task, T - 40)
    assert take(T + 10) == 1
    assert Task.objects.get().observed_at == moment(T - 40)


def test_a_deleted_task_takes_its_samples_and_log_with_it() -> None:
    task = running()
    show(task, T + 9)
    take(T + 10)
    assert task.run is not None
    logs.record(task.run, [LogLine(run=task.run, n=1, at=timezone.now(), level="INFO", epoch=1, text="x")])
    Task.objects.filter(pk=task.pk).update(run=None)
    task.delete()
    assert not Sample.objects.exists()
    assert not LogLine.objects.exists()
