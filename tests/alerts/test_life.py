"""An alert from its first sight to its end: opened once, damped, acknowledged, silenced, resolved by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from tasks.alerts import life, notices, retention
from tasks.alerts.quiet import quiet_until
from tasks.models import Alert, AlertEvent, AlertPending, AlertRule, Notification, Task
from tasks.statuses import Status
from tests.alerts.conftest import arrive, judge, make_recipients, make_rule
from tests.factories import make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def task() -> Task:
    return make_task("orders", status=Status.RUNNING, engine_state="running", observed_at=timezone.now())


@pytest.fixture
def rule() -> AlertRule:
    return make_rule("task_delay", window=0)


def show(task: Task, now: datetime, lag: float) -> None:
    Task.objects.filter(pk=task.pk).update(lag_seconds=lag, observed_at=now)


def kinds(alert: Alert) -> list[str]:
    return list(alert.events.order_by("pk").values_list("kind", flat=True))


def told() -> list[tuple[str, str]]:
    return list(Notification.objects.order_by("pk").values_list("kind", "recipient"))


def test_it_opens_once_keeps_the_worst_and_resolves_by_itself(rule: AlertRule, task: Task) -> None:
    now = timezone.now()
    for lag in (90.0, 300.0, 70.0):
        show(task, now, lag)
        alert = judge(rule, now)
    assert alert is not None
    assert (alert.value, alert.worst, Alert.objects.count()) == (70.0, 300.0, 1)
    show(task, now, 1.0)
    assert judge(rule, now) is None
    alert.refresh_from_db()
    assert alert.resolve_reason == "Task delay is as it should be; the task is Running."
    assert kinds(alert) == ["opened", "resolved"]


def test_the_database_holds_one_open_alert_a_rule_and_task(rule: AlertRule, task: Task) -> None:
    show(task, timezone.now(), 90.0)
    alert = judge(rule)
    assert alert is not None
    alert.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        alert.save(force_insert=True)


def test_what_must_last_has_to_be_seen_all_the_while(task: Task) -> None:
    rule = make_rule("task_delay", window=60)
    now = timezone.now()
    for seconds, lag, is_open in ((0, 90, False), (30, 90, False), (40, 1, False), (45, 90, False), (100, 90, False)):
        show(task, now + timedelta(seconds=seconds), lag)
        assert (judge(rule, now + timedelta(seconds=seconds)) is not None) is is_open
    show(task, now + timedelta(seconds=106), 90)
    assert judge(rule, now + timedelta(seconds=106)) is not None
    assert AlertPending.objects.count() == 0


def test_what_nobody_watched_has_to_last_anew(task: Task) -> None:
    rule = make_rule("task_delay", window=60)
    now = timezone.now()
    show(task, now, 90)
    judge(rule, now)
    later = now + timedelta(minutes=10)  # no worker meanwhile
    show(task, later, 90)
    assert judge(rule, later) is None


def test_an_alert_stays_while_nobody_can_tell(rule: AlertRule, task: Task) -> None:
    now = timezone.now()
    show(task, now, 90)
    assert judge(rule, now)
    Task.objects.update(engine_state="unreachable", lag_seconds=0.0)
    assert judge(rule, now)
    Task.objects.update(engine_state="running", status=Status.OPERATING)
    assert judge(rule, now)
    Task.objects.update(status=Status.STOPPED)
    assert judge(rule, now) is None


def test_it_must_be_well_for_a_while(task: Task) -> None:
    rule = make_rule("task_delay", window=0, resolve_after=60)
    now = timezone.now()
    for seconds, lag in ((0, 90), (10, 1), (50, 90), (60, 1), (110, 1)):
        show(task, now + timedelta(seconds=seconds), lag)
        assert judge(rule, now + timedelta(seconds=seconds))
    show(task, now + timedelta(seconds=121), 1)
    assert judge(rule, now + timedelta(seconds=121)) is None


def test_one_that_flaps_is_one_alert_and_is_told_of_once(rule: AlertRule, task: Task) -> None:
    make_recipients(rule)
    now = timezone.now()
    for n in range(6):
        for lag in (90, 1):
            show(task, now + timedelta(seconds=n), lag)
            judge(rule, now + timedelta(seconds=n))
            notices.send_due(now + timedelta(seconds=n))
            arrive()
    alert = Alert.objects.get()
    assert alert.times == 6
    assert told() == [(kind, who) for kind in ("opened", "resolved") for who in ("olga", "on-call: hook")]


def test_later_it_is_another_alert(rule: AlertRule, task: Task) -> None:
    now = timezone.now()
    for seconds, lag in ((0, 90), (1, 1), (700, 90)):
        show(task, now + timedelta(seconds=seconds), lag)
        judge(rule, now + timedelta(seconds=seconds))
    assert Alert.objects.count() == 2


def test_reminders_come_at_the_interval_until_somebody_cares(task: Task) -> None:
    rule = make_rule("task_delay", window=0, interval=600)
    make_recipients(rule)
    now = timezone.now()

    def after(minutes: float) -> list[str]:
        at = now + timedelta(minutes=minutes)
        show(task, at, 90)
        judge(rule, at)
        notices.send_due(at)
        notices.send_due(at)  # another worker
        arrive()
        return [kind for kind, who in told() if who == "olga"]

    assert after(0) == ["opened"]
    assert after(9) == ["opened"]
    assert after(10) == ["opened", "reminder"]
    alert = Alert.objects.get()
    life.acknowledge(alert.pk, "omar", "I am looking into it")
    assert after(60) == ["opened", "reminder"]
    life.unacknowledge(alert.pk, "omar")
    assert after(61) == ["opened", "reminder", "reminder"]
    life.silence(alert.pk, "omar", now + timedelta(minutes=200))
    assert after(199) == ["opened", "reminder", "reminder"]
    assert after(200) == ["opened", "reminder", "reminder", "reminder"]
    assert kinds(alert).count("told") == 4
    event = AlertEvent.objects.get(alert=alert, kind="acknowledged")
    assert (event.actor_name, event.text) == ("omar", "I am looking into it")


def test_an_acknowledged_one_is_still_told_when_it_is_over(rule: AlertRule, task: Task) -> None:
    make_recipients(rule)
    show(task, timezone.now(), 90)
    alert = judge(rule)
    assert alert is not None
    notices.send_due()
    life.acknowledge(alert.pk, "omar", "")
    show(task, timezone.now(), 1)
    judge(rule)
    assert [kind for kind, _ in told()] == ["opened", "opened", "resolved", "resolved"]
    with pytest.raises(life.AlertOver):
        life.acknowledge(alert.pk, "omar", "")


NIGHT: dict[str, Any] = {"days": [0, 1, 2, 3, 4, 5, 6], "from": "22:00", "to": "06:00"}


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-24T23:00", "2026-11-25T06:00"),
        ("2026-11-25T05:59", "2026-11-25T06:00"),
        ("2026-11-25T06:00", None),
        ("2026-11-28T12:00", "2026-11-30T06:00"),  # Saturday: the weekend, then the night to Monday
    ],
)
def test_quiet_hours_run_past_midnight_and_into_each_other(at: str, until: str | None) -> None:
    weekend = {"days": [5, 6], "from": "00:00", "to": "00:00"}
    found = quiet_until([NIGHT, weekend], "UTC", datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert found == (datetime.fromisoformat(until).replace(tzinfo=UTC) if until else None)


def test_quiet_hours_are_of_their_time_zone() -> None:
    at = datetime(2026, 7, 1, 20, 30, tzinfo=UTC)  # 22:30 in Berlin
    assert quiet_until([NIGHT], "Europe/Berlin", at) == datetime(2026, 7, 2, 4, 0, tzinfo=UTC)
    assert quiet_until([NIGHT], "UTC", at) is None


def test_quiet_hours_hold_back_and_nothing_is_lost(task: Task) -> None:
    rule = make_rule("task_delay", window=0, quiet=[NIGHT])
    make_recipients(rule)
    night, morning = datetime(2027, 1, 5, 3, 0, tzinfo=UTC), datetime(2027, 1, 5, 6, 0, tzinfo=UTC)
    show(task, night, 90)
    alert = judge(rule, night)
    assert alert is not None
    notices.send_due(night)
    assert told() == []
    alert.refresh_from_db()
    assert (alert.held_by, alert.next_notice_at) == ("quiet hours", morning)
    notices.send_due(morning)
    assert [kind for kind, _ in told()] == ["opened", "opened"]
    show(task, morning + timedelta(hours=17), 1)
    judge(rule, morning + timedelta(hours=17))
    assert set(Notification.objects.filter(kind="resolved").values_list("due_at", flat=True)) == {
        morning + timedelta(days=1)
    }


def test_the_cap_holds_back_and_says_so() -> None:
    rule = make_rule("task_failure", cap=2, cap_period=3_600)
    make_recipients(rule)
    now = timezone.now()
    for _ in range(3):
        make_task(status=Status.FAILURE)
    judge(rule, now + timedelta(seconds=1))
    notices.send_due(now + timedelta(seconds=1))
    assert len(told()) == 2 * 2
    arrive()
    held = Alert.objects.exclude(held_by="").get()
    assert held.held_by == "the cap of 2 per 1 h"
    notices.send_due(now + timedelta(seconds=3_700))
    assert [kind for kind, who in told() if who == "olga"] == ["opened", "opened", "opened", "reminder"]
    held.refresh_from_db()
    assert held.told


def test_turned_off_it_ends_what_is_open(rule: AlertRule, task: Task) -> None:
    show(task, timezone.now(), 90)
    alert = judge(rule)
    assert alert is not None
    life.end_alerts_of([rule], "The rule was turned off.", "omar")
    alert.refresh_from_db()
    assert alert.resolve_reason == "The rule was turned off."


def test_what_stopped_before_the_rule_is_no_news() -> None:
    make_task(status=Status.STOPPED)
    rule = make_rule("task_stopped", enabled_at=timezone.now())
    assert judge(rule) is None
    make_task(status=Status.STOPPED)
    assert judge(rule) is not None


def test_a_pass_costs_the_same_for_many_tasks(django_assert_max_num_queries: Any) -> None:
    rule = make_rule("task_delay", window=0)
    now = timezone.now()
    for _ in range(20):
        make_task(status=Status.RUNNING, engine_state="running", observed_at=now, lag_seconds=90)
    judge(rule, now)
    with django_assert_max_num_queries(12):
        life.judge(rule.pk, now)
    Task.objects.update(lag_seconds=0.0)
    Alert.objects.all().delete()
    with django_assert_max_num_queries(4):
        life.judge(rule.pk, now)


def test_old_ones_are_forgotten_with_their_messages(rule: AlertRule, task: Task, settings: Any) -> None:
    make_recipients(rule)
    show(task, timezone.now(), 90)
    alert = judge(rule)
    assert alert is not None
    notices.send_due()
    settings.OPS_ALERT_DAYS = 30
    retention.prune()
    assert Alert.objects.count() == 1
    Alert.objects.update(resolved_at=timezone.now() - timedelta(days=31), next_notice_at=None)
    retention.prune()
    assert (Alert.objects.count(), Notification.objects.count(), AlertEvent.objects.count()) == (0, 0, 0)
