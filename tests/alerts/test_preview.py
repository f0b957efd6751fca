"""What a rule would have done: told from the samples and the history, damped as the rule itself would be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tasks.alerts.metrics import METRICS
from tasks.alerts.preview import MOST_TASKS, Preview, preview
from tasks.metrics import COUNTERS
from tasks.models import AlertMetric, Attempt, Sample, StatusChange, Task
from tasks.statuses import Status
from tests.alerts.conftest import make_rule
from tests.factories import make_task

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(second=0, microsecond=0)


def ago(**values: float) -> datetime:
    return NOW - timedelta(**values)


def look(metric: str, **values: Any) -> Preview:
    return preview(make_rule(metric, **values), NOW)


def changed(task: Task, *steps: tuple[float, Status, Status]) -> None:
    """Write the history of a task: (hours ago, from, to)."""
    for hours, before, after in steps:
        StatusChange.objects.create(
            task=task, at=ago(hours=hours), from_status=before, to_status=after, actor_name="olga"
        )


def sampled(task: Task, minutes_ago: int, minutes: int, step: dict[str, int] | None = None, **gauges: Any) -> None:
    """Write minute samples whose counters grow by `step` each minute, going on from the newest there is."""
    assert task.run is not None
    newest = Sample.objects.filter(run=task.run).order_by("-at").first()
    counted = {name: getattr(newest, name) if newest else 0 for name in COUNTERS}
    begin = int(ago(minutes=minutes_ago).timestamp()) // 60 * 60
    for n in range(minutes):
        for name, more in (step or {}).items():
            counted[name] += more
        Sample.objects.create(run=task.run, resolution=60, at=begin + 60 * n, **counted, **gauges)


def running(name: str = "orders") -> Task:
    task = make_task(name, status=Status.RUNNING)
    assert task.run is not None
    task.run.started_at = ago(days=2)
    task.run.save(update_fields=["started_at"])
    return task


def test_failures_of_the_day_are_counted_and_flapping_is_one() -> None:
    task = make_task("orders", status=Status.RUNNING)
    changed(
        task,
        (30, Status.RUNNING, Status.FAILURE),  # before the day
        (29, Status.FAILURE, Status.RUNNING),
        (20, Status.RUNNING, Status.FAILURE),
        (19.99, Status.FAILURE, Status.RUNNING),
        (19.9, Status.RUNNING, Status.FAILURE),  # within ten minutes: the same alert
        (19, Status.FAILURE, Status.RUNNING),
        (3, Status.RUNNING, Status.FAILURE),
        (2, Status.FAILURE, Status.RUNNING),
    )
    found = look("task_failure")
    assert [firing.at for firing in found.firings] == [ago(hours=3), ago(hours=20)]
    assert (found.firings[1].until, found.before, found.tasks) == (ago(hours=19), 0, 1)


def test_what_lasts_since_before_the_day_is_told_apart() -> None:
    old, late = make_task("old", status=Status.PAUSED), make_task("late", status=Status.PAUSED)
    changed(old, (40, Status.RUNNING, Status.PAUSED))
    changed(late, (25, Status.RUNNING, Status.PAUSED))
    found = look("paused_long")  # six hours
    assert [(firing.task_name, firing.at) for firing in found.firings] == [("late", ago(hours=19))]
    assert found.before == 1


def test_a_restart_within_a_status_does_not_split_it() -> None:
    task = make_task("orders", status=Status.FAILURE)
    changed(task, (5, Status.RUNNING, Status.FAILURE), (4, Status.FAILURE, Status.FAILURE))
    assert len(look("task_failure").firings) == 1


def test_a_gauge_must_last_and_the_worst_is_told() -> None:
    task = running()
    sampled(task, 600, 5, lag_seconds=90.0)
    sampled(task, 595, 1, lag_seconds=300.0)
    sampled(task, 594, 60, lag_seconds=1.0)
    sampled(task, 200, 1, lag_seconds=90.0)
    found = look("task_delay", window=180)
    [firing] = found.firings
    assert (firing.at, firing.value) == (ago(minutes=597), 300.0)
    assert len(look("task_delay", name="at-once", window=0).firings) == 2


def test_less_than_keeps_the_least() -> None:
    task = running()
    sampled(task, 30, 2, delivery_ms=4.0)
    sampled(task, 28, 2, delivery_ms=2.0)
    [firing] = look("transfer_latency", comparison="below", threshold=5.0, window=0).firings
    assert firing.value == 2.0


def test_a_rate_is_told_from_samples_without_a_gap() -> None:
    task = running()
    sampled(task, 120, 30, {"rows_written": 6_000})
    sampled(task, 90, 20, {"rows_written": 6})
    sampled(task, 60, 20, {"rows_written": 6_000})  # after a gap of ten minutes
    [firing] = look("write_speed", window=300, threshold=1.0).firings
    assert firing.at == ago(minutes=86)  # five minutes after the rate fell, at the end of its stretch
    assert firing.value == pytest.approx(0.1)


def test_growth_counts_from_nothing_for_a_run_that_just_began() -> None:
    task = running()
    assert task.run is not None
    task.run.started_at = ago(minutes=40)
    task.run.save(update_fields=["started_at"])
    sampled(task, 39, 1, {"rows_dirty": 3})
    sampled(task, 38, 20)
    [firing] = look("dirty_rows").firings
    assert firing.value == 3


def test_restarts_are_counted_within_their_span() -> None:
    task = running()
    assert task.run is not None
    for epoch, minutes in enumerate((300, 299, 298, 60, 45, 30), start=2):
        Attempt.objects.create(
            run=task.run, epoch=epoch, cause="restart", started_at=ago(minutes=minutes), ended_at=NOW
        )
    [firing] = look("restarts_10m").firings
    assert (firing.at, firing.value, firing.until) == (ago(minutes=298), 3, ago(minutes=290))
    assert len(look("task_exception").firings) == 4
    assert look("task_exception", name="long", window=3_600).firings == []  # none lasted so long


def test_bursts_within_the_span_are_one_alert() -> None:
    task = running()
    assert task.run is not None
    for epoch, minutes in enumerate((100, 99, 98, 97, 85, 84, 83), start=2):
        Attempt.objects.create(
            run=task.run, epoch=epoch, cause="restart", started_at=ago(minutes=minutes), ended_at=NOW
        )
    assert len(look("restarts_20m").firings) == 1


def test_a_single_sample_may_have_been_a_moment() -> None:
    sampled(running(), 100, 1, lag_seconds=90.0)
    assert look("task_delay", window=60).firings == []


def test_writing_without_a_snapshot_and_standing_still() -> None:
    task = running()
    sampled(task, 100, 10, {"rows_written": 60}, snapshot_age=4.0)
    sampled(task, 90, 10, {"rows_written": 60}, snapshot_age=60.0)
    assert len(look("no_snapshot").firings) == 1
    sampled(task, 80, 10, lag_rows=5)
    [firing] = look("no_progress").firings
    assert firing.value == 600.0


def test_what_is_not_kept_is_said_and_not_guessed() -> None:
    running()
    found = look("not_heard")
    assert (found.is_known, found.firings) == (False, [])
    assert "is not kept" in found.note


def test_the_scope_holds_and_what_is_left_out_is_said(django_assert_max_num_queries: Any) -> None:
    for n in range(MOST_TASKS + 1):
        changed(make_task(f"t{n:03}", status=Status.FAILURE), (2, Status.RUNNING, Status.FAILURE))
    found = look("task_failure")
    assert (found.tasks, len(found.firings), found.has_more) == (MOST_TASKS, MOST_TASKS, True)
    rule = make_rule("task_failure", name="one", scope="tasks", names=["t100"])
    with django_assert_max_num_queries(3):
        assert [firing.task_name for firing in preview(rule, NOW).firings] == ["t100"]


@pytest.mark.parametrize("metric", AlertMetric.values)
def test_every_metric_can_be_asked_with_a_few_queries(metric: str, django_assert_max_num_queries: Any) -> None:
    for n in range(5):
        sampled(running(f"t{n}"), 30, 10, {"rows_written": 5}, lag_seconds=1.0, snapshot_age=3.0)
    rule = make_rule(metric)
    with django_assert_max_num_queries(4):
        assert preview(rule, NOW).is_known is (metric != "not_heard")
    assert METRICS[metric].meaning
