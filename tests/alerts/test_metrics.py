"""Each metric: fires for a task that shows it, is quiet for one that does not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tasks import metrics
from tasks.alerts.metrics import METRICS
from tasks.alerts.readings import breaking, undecided
from tasks.models import Attempt, Sample, Task
from tasks.models.alert_rule import AlertMetric
from tasks.statuses import PausedHow, Status
from tests.alerts.conftest import make_rule
from tests.factories import make_task

pytestmark = pytest.mark.django_db


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


def of_status(status: Status, seconds: float = 100, **values: Any) -> Task:
    task = make_task(status=status, **values)
    Task.objects.filter(pk=task.pk).update(status_since=ago(seconds))
    return task


def running(seconds: float = 1_000, **values: Any) -> Task:
    """A task that has run for `seconds`, and was heard of just now."""
    shown = {"engine_state": "running", "observed_at": timezone.now(), **values}
    task = of_status(Status.RUNNING, seconds, **shown)
    assert task.run is not None
    task.run.started_at = ago(seconds)
    task.run.save(update_fields=["started_at"])
    return task


def sampled(at: float, /, *, counted: str, before: int, after: int) -> Task:
    """A running task whose counter stood at `before` `at` seconds ago, and stands at `after` now."""
    task = running()
    assert task.run is not None
    Task.objects.filter(pk=task.pk).update(**{counted: before, "observed_at": ago(at)})
    then = int(ago(at).timestamp() // 10) * 10
    metrics.take(then - 10, then)  # the real way: from what the last look wrote down
    assert Sample.objects.filter(run=task.run).exists()
    Task.objects.filter(pk=task.pk).update(**{counted: after, "observed_at": timezone.now()})
    return task


def restarted(times: int, seconds: float) -> Task:
    task = running()
    assert task.run is not None
    for n in range(times):
        Attempt.objects.create(
            run=task.run, epoch=n + 2, cause="restart", started_at=ago(seconds), ended_at=timezone.now()
        )
    return task


def rate(counted: str, per_second: float) -> Callable[[], Task]:
    return lambda: sampled(300, counted=counted, before=1_000, after=1_000 + int(300 * per_second))


def growth(counted: str, rows: int) -> Callable[[], Task]:
    return lambda: sampled(300, counted=counted, before=7, after=7 + rows)


#: metric -> (a task that breaks its default rule, tasks that do not)
CASES: dict[str, tuple[Callable[[], Task], tuple[Callable[[], Task], ...]]] = {
    "task_failure": (lambda: of_status(Status.FAILURE), (lambda: running(), lambda: of_status(Status.PAUSED))),
    "run_timeout": (lambda: of_status(Status.OPERATING, 31), (lambda: of_status(Status.OPERATING, 20),)),
    "task_stopped": (
        lambda: of_status(Status.STOPPED),
        (lambda: of_status(Status.STOPPED, 100_000), lambda: of_status(Status.INITIALIZE)),
    ),
    "task_paused": (
        lambda: of_status(Status.PAUSED),
        (lambda: of_status(Status.PAUSED, 100_000), lambda: of_status(Status.STOPPED)),
    ),
    "read_speed": (rate("rows_read", 0.5), (rate("rows_read", 2), lambda: running(100))),
    "write_speed": (rate("rows_written", 0.5), (rate("rows_written", 2), lambda: of_status(Status.PAUSED))),
    "read_throughput": (rate("bytes_read", 50), (rate("bytes_read", 200),)),
    "write_throughput": (rate("bytes_written", 50), (rate("bytes_written", 200),)),
    "dirty_bytes": (growth("bytes_dirty", 30), (growth("bytes_dirty", 0),)),
    "dirty_rows": (growth("rows_dirty", 1), (growth("rows_dirty", 0),)),
    "task_exception": (
        lambda: running(fault_code="target_locked", fault_cause="The table is locked."),
        (lambda: running(), lambda: of_status(Status.FAILURE, fault_code="gone")),
    ),
    "detection_exception": (lambda: of_status(Status.DETECTION_EXCEPTION), (lambda: of_status(Status.FAILURE),)),
    "restarts_10m": (lambda: restarted(3, 500), (lambda: restarted(3, 700), lambda: restarted(2, 10))),
    "restarts_20m": (lambda: restarted(4, 1_100), (lambda: restarted(4, 1_300), lambda: restarted(3, 10))),
    "task_delay": (lambda: running(lag_seconds=61.0), (lambda: running(lag_seconds=59.0), lambda: running())),
    "transfer_latency": (lambda: running(delivery_ms=5_001.0), (lambda: running(delivery_ms=12.0),)),
    "business_latency": (lambda: running(event_lag_ms=61_000.0), (lambda: running(event_lag_ms=900.0),)),
    "no_snapshot": (
        lambda: running(snapshot_interval=5, snapshot_at=ago(40), last_write_at=ago(1)),
        (
            lambda: running(snapshot_interval=5, snapshot_at=ago(20), last_write_at=ago(1)),
            lambda: running(snapshot_interval=5, snapshot_at=ago(400), last_write_at=ago(401)),  # nothing to save
        ),
    ),
    "no_progress": (
        lambda: running(lag_rows=5, lag_seconds=3.0, last_write_at=ago(130)),
        (
            lambda: running(lag_rows=5, lag_seconds=3.0, last_write_at=ago(10)),
            lambda: running(lag_rows=0, lag_seconds=0.0, last_write_at=ago(900)),  # the source has nothing more
        ),
    ),
    "not_heard": (
        lambda: running(observed_at=ago(31)),
        (lambda: running(observed_at=ago(5)), lambda: running(observed_at=ago(90), restart_at=timezone.now())),
    ),
    "paused_long": (
        lambda: of_status(Status.PAUSED, 21_700, paused_how=PausedHow.FORCED),
        (lambda: of_status(Status.PAUSED, 21_000), lambda: of_status(Status.STOPPED, 30_000)),
    ),
}


def test_the_table_knows_every_metric_and_each_is_tested_here() -> None:
    assert set(METRICS) == set(AlertMetric.values) == set(CASES)
    assert len(CASES) == 17 + 4


@pytest.mark.parametrize("metric", AlertMetric.values)
def test_a_metric_fires_for_what_shows_it_and_for_nothing_else(metric: str) -> None:
    rule = make_rule(metric)
    breaks, keeps = CASES[metric]
    for make in keeps:
        make()
    assert breaking(rule, timezone.now()) == {}
    task = breaks()
    assert list(breaking(rule, timezone.now())) == [task.pk]


@pytest.mark.parametrize("metric", AlertMetric.values)
def test_a_draft_and_a_task_out_of_scope_are_left_alone(metric: str) -> None:
    task = CASES[metric][0]()
    rule = make_rule(metric, scope="tasks", names=["another"])
    assert breaking(rule, timezone.now()) == {}
    rule.names = [task.name]
    assert list(breaking(rule, timezone.now())) == [task.pk]
    rule.scope, rule.names = "groups", ["local"]
    assert list(breaking(rule, timezone.now())) == [task.pk]
    rule.scope, rule.names = "owners", ["nobody"]
    assert breaking(rule, timezone.now()) == {}


def test_readings_are_in_the_unit_that_the_rule_is_given_in() -> None:
    task = running(event_lag_ms=90_000.0)
    assert breaking(make_rule("business_latency"), timezone.now()) == {task.pk: 90.0}
    slow = rate("rows_read", 0.5)()
    assert breaking(make_rule("read_speed"), timezone.now())[slow.pk] == pytest.approx(0.5, rel=0.1)


def test_what_nobody_looked_at_is_undecided_rather_than_well() -> None:
    rule = make_rule("task_delay")
    silent, operating = running(lag_seconds=900.0, observed_at=ago(60)), of_status(Status.OPERATING)
    restarting, well, paused = running(restart_at=timezone.now()), running(), of_status(Status.PAUSED)
    everyone = [task.pk for task in (silent, operating, restarting, well, paused)]
    assert breaking(rule, timezone.now()) == {}
    assert undecided(rule, everyone, timezone.now()) == {silent.pk, operating.pk, restarting.pk}


def test_a_rate_over_a_gap_is_undecided() -> None:
    task = running()
    rule = make_rule("write_speed")
    assert breaking(rule, timezone.now()) == {}
    assert undecided(rule, [task.pk], timezone.now()) == {task.pk}


def test_dirty_rows_of_a_young_run_count_from_its_start() -> None:
    task = running(100, rows_dirty=3)
    assert breaking(make_rule("dirty_rows"), timezone.now()) == {task.pk: 3}


def test_less_than_works_for_a_column_too() -> None:
    slow, fast = running(delivery_ms=4.0), running(delivery_ms=40.0)
    rule = make_rule("transfer_latency", comparison="below", threshold=10.0)
    assert set(breaking(rule, timezone.now())) == {slow.pk}
    assert fast.pk != slow.pk
