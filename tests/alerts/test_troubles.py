"""What would keep people from being told, or tell them wrong: one bad rule, races, silences, flapping, a long list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from tasks.alerts import life, notices, readings, retention
from tasks.alerts.life import judge_all
from tasks.alerts.rules import save_rule
from tasks.models import Alert, AlertRule, Notification, Task
from tasks.statuses import Status
from tests.alerts.conftest import arrive, judge, make_recipients, make_rule
from tests.factories import make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def task() -> Task:
    return make_task("orders", status=Status.RUNNING, engine_state="running", observed_at=timezone.now())


@pytest.fixture
def rule() -> AlertRule:
    rule = make_rule("task_delay", window=0, interval=3_600)
    make_recipients(rule)
    return rule


class Life:
    """One task and one rule, minute by minute."""

    def __init__(self, task: Task, rule: AlertRule) -> None:
        self.task, self.rule, self.begin = task, rule, timezone.now()

    def at(self, minutes: float, lag: float) -> list[str]:
        """Let the task lag at that minute, and return all that olga was told until then."""
        now = self.begin + timedelta(minutes=minutes)
        Task.objects.filter(pk=self.task.pk).update(lag_seconds=lag, observed_at=now)
        judge(self.rule, now)
        notices.send_due(now)
        due = Notification.objects.filter(due_at__lte=now)
        due.update(state="sent", due_at=None, settled_at=now, attempts=1)
        told = Notification.objects.filter(recipient="olga", state="sent").order_by("pk")
        return list(told.values_list("kind", flat=True))

    @property
    def alert(self) -> Alert:
        return Alert.objects.get()


# --- one does not keep the others ---------------------------------------------------------------------------


def test_one_rule_that_can_not_be_judged_keeps_no_other(caplog: pytest.LogCaptureFixture) -> None:
    make_rule("paused_long", name="huge", threshold=1e12)
    good = make_rule("task_failure")
    make_task(status=Status.FAILURE)
    make_task(status=Status.PAUSED)
    judge_all(timezone.now() + timedelta(seconds=1))
    assert Alert.objects.filter(rule=good).count() == 1
    assert "could not be judged" in caplog.text


def test_a_time_zone_that_is_gone_keeps_nobody_from_being_told(task: Task) -> None:
    always = {"days": list(range(7)), "from": "00:00", "to": "00:00"}
    rule = make_rule("task_delay", window=0, zone="US/Nowhere", quiet=[always])
    make_recipients(rule)
    assert Life(task, rule).at(0, 90) == ["opened"]


def test_one_alert_that_can_not_be_told_of_keeps_no_other(
    task: Task, rule: AlertRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = make_rule("task_delay", name="bad", window=0)
    bad.groups.set(rule.groups.all())
    Task.objects.update(lag_seconds=90.0)
    for one in (bad, rule):
        judge(one)
    tell = notices.tell

    def sometimes(alert: Alert, *values: Any) -> None:
        if alert.rule_name == "bad":
            raise RuntimeError
        tell(alert, *values)

    monkeypatch.setattr(notices, "tell", sometimes)
    notices.send_due(timezone.now() + timedelta(seconds=1))
    assert set(Notification.objects.values_list("rule__name", flat=True)) == {"task-delay"}


def test_a_long_wait_between_two_looks_does_not_begin_anew_each_time(task: Task, settings: Any) -> None:
    settings.OPS_ALERT_SECONDS = 90
    life_ = Life(task, make_rule("task_delay", window=60))
    for minutes in (0, 1.5, 3):
        life_.at(minutes, 999)
    assert Alert.objects.count() == 1


def test_a_longer_list_than_is_read_resolves_nothing_wrongly(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (life, readings):
        monkeypatch.setattr(module, "MOST", 2)
    rule = make_rule("task_failure")
    tasks = [make_task(f"t{n}", status=Status.FAILURE) for n in range(3)]
    later = timezone.now() + timedelta(seconds=1)
    Task.objects.filter(pk=tasks[0].pk).update(status=Status.RUNNING)
    judge(rule, later)
    assert Alert.objects.filter(task=tasks[2]).exists()
    Task.objects.filter(pk=tasks[0].pk).update(status=Status.FAILURE, status_since=tasks[0].status_since)
    judge(rule, later)
    assert Alert.objects.get(task=tasks[2]).resolved_at is None


# --- flapping, silence, acknowledgement --------------------------------------------------------------------


def test_one_that_comes_back_after_its_end_was_told_is_told_of_within_minutes(task: Task, rule: AlertRule) -> None:
    AlertRule.objects.update(interval=2_592_000)
    life_ = Life(task, rule)
    life_.at(0, 90)
    assert life_.at(1, 1) == ["opened", "resolved"]
    assert life_.at(2, 90) == ["opened", "resolved"]
    assert life_.at(12, 90) == ["opened", "resolved", "opened"]


def test_one_that_was_acknowledged_resolved_and_came_back_is_nobodys_again(task: Task, rule: AlertRule) -> None:
    life_ = Life(task, rule)
    life_.at(0, 90)
    life.acknowledge(life_.alert.pk, "omar", "on it")
    life_.at(1, 1)
    life_.at(2, 90)
    assert (life_.alert.acknowledged_at, life_.alert.note) == (None, "")
    assert life_.at(13, 90) == ["opened", "resolved", "opened"]


def test_turned_off_and_on_it_begins_anew(task: Task, rule: AlertRule) -> None:
    life_ = Life(task, rule)
    life_.at(0, 90)
    for enabled in (False, True):
        save_rule(rule.pk, {"enabled": enabled}, people=rule.people.all(), groups=rule.groups.all(), actor_name="omar")
    rule.refresh_from_db()
    life_.at(1, 90)
    assert Alert.objects.count() == 2


def test_another_metric_is_another_alert(task: Task, rule: AlertRule) -> None:
    life_ = Life(task, rule)
    life_.at(0, 90)
    AlertRule.objects.update(metric="no_progress", threshold=1.0)
    life.end_alerts_of([rule], "It looks at something else now.", "omar")
    rule.refresh_from_db()
    Task.objects.update(lag_rows=5, last_write_at=timezone.now() - timedelta(hours=1))
    assert judge(rule, life_.begin + timedelta(seconds=5)) is not None
    assert Alert.objects.count() == 2


def test_nobody_is_told_during_a_silence_whatever_happens(task: Task, rule: AlertRule) -> None:
    life_ = Life(task, rule)
    life_.at(0, 90)
    life.silence(life_.alert.pk, "omar", life_.begin + timedelta(hours=8))
    life.acknowledge(life_.alert.pk, "omar", "")
    life.unacknowledge(life_.alert.pk, "omar")
    assert life_.at(5, 90) == ["opened"]
    life_.at(6, 1)
    assert life_.at(7, 90) == ["opened"]
    assert life_.at(100, 90) == ["opened"]
    assert life_.at(481, 90) == ["opened", "reminder"]


def test_that_it_was_over_during_a_silence_is_told_afterwards(task: Task, rule: AlertRule) -> None:
    life_ = Life(task, rule)
    life_.at(0, 90)
    life.silence(life_.alert.pk, "omar", life_.begin + timedelta(hours=1))
    assert life_.at(30, 1) == ["opened"]
    assert life_.at(61, 1) == ["opened", "resolved"]


def test_the_end_of_a_silence_reminds_nobody_who_wants_no_reminders(task: Task, rule: AlertRule) -> None:
    AlertRule.objects.update(interval=0)
    rule.refresh_from_db()
    life_ = Life(task, rule)
    life_.at(0, 90)
    for _ in range(3):
        life.unsilence(life_.alert.pk, "omar")  # there is none
    life.silence(life_.alert.pk, "omar", life_.begin + timedelta(minutes=10))
    assert life_.at(11, 90) == ["opened"]
    assert "unsilenced" not in life_.alert.events.values_list("kind", flat=True)


def test_a_silence_is_told_in_utc(task: Task, rule: AlertRule) -> None:
    Life(task, rule).at(0, 90)
    life.silence(Alert.objects.get().pk, "omar", datetime.fromisoformat("2030-01-01T01:00:00+05:00"))
    assert Alert.objects.get().events.get(kind="silenced").text == "Until 2029-12-31 20:00:00 UTC"


def test_a_receiver_that_was_down_gets_no_pile_of_reminders(task: Task, rule: AlertRule) -> None:
    begin = timezone.now()
    for hours in range(4):
        now = begin + timedelta(hours=hours, seconds=1)
        Task.objects.update(lag_seconds=90.0, observed_at=now)
        judge(rule, now)
        notices.send_due(now)
        Notification.objects.filter(via="JSON").update(attempts=1, due_at=begin + timedelta(days=1))
        Notification.objects.filter(via="e-mail").update(state="sent", due_at=None, settled_at=now)
    assert Notification.objects.filter(via="JSON").count() == 1
    assert Notification.objects.filter(via="e-mail").count() == 4


def test_an_open_alert_follows_the_words_of_its_rule(task: Task, rule: AlertRule) -> None:
    life_ = Life(task, rule)
    life_.at(0, 90)
    AlertRule.objects.update(name="later", severity="urgent", threshold=80.0)
    rule.refresh_from_db()
    life_.at(1, 90)
    assert (life_.alert.rule_name, life_.alert.severity, life_.alert.threshold) == ("later", "urgent", 80.0)


# --- what goes ---------------------------------------------------------------------------------------------


def test_a_deleted_task_takes_no_message_with_it(task: Task, rule: AlertRule) -> None:
    Life(task, rule).at(0, 90)
    life.end_alerts_of_tasks([task], "The task was deleted.", "omar")
    task.delete()
    assert list(Notification.objects.filter(state="pending").order_by("pk").values_list("kind", "recipient")) == [
        ("resolved", "olga"),
        ("resolved", "on-call: hook"),
    ]
    arrive()
    Notification.objects.update(created_at=datetime(2020, 1, 1, tzinfo=UTC))
    retention.prune()
    assert not Notification.objects.exists()
