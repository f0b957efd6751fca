"""The life of an alert: seen, opened, acknowledged, silenced, resolved. Each step one transaction with its event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from tasks.alerts import notices, wording
from tasks.alerts.metrics import METRICS
from tasks.alerts.notices import SYSTEM, note
from tasks.alerts.readings import Values, breaking, covers, must_last, undecided
from tasks.models import Alert, AlertEventKind, AlertPending, AlertRule, Comparison, NoticeKind, Task

#: One that breaks again this soon after it resolved is the same alert: it is not told about anew before its interval.
FLAPS_WITHIN: Final = timedelta(minutes=10)
#: A condition not seen for longer than this, because nobody looked, has to last anew.
FORGOTTEN_AFTER: Final = timedelta(seconds=60)


def judge_all(now: datetime | None = None) -> None:
    """Look at every enabled rule. Several workers may do so at once: the rule's row is the lock of what is written."""
    for pk in list(AlertRule.objects.filter(enabled=True).order_by("pk").values_list("pk", flat=True)):
        judge(pk, now or timezone.now())


def judge(rule_id: int, now: datetime) -> None:
    """Open, keep or resolve the alerts of one rule; nothing is written where nothing is to be said."""
    rule = AlertRule.objects.filter(pk=rule_id, enabled=True).first()
    if rule is None:
        return
    found = breaking(rule, now)
    is_known = Alert.objects.filter(rule=rule, resolved_at__isnull=True).exists()
    if not found and not is_known and not AlertPending.objects.filter(rule=rule).exists():
        return
    with transaction.atomic():
        # A rule that was changed since it was read is judged at the next pass, as it then is.
        locked = AlertRule.objects.select_for_update(skip_locked=True).filter(pk=rule.pk, updated_at=rule.updated_at)
        if not locked.filter(enabled=True).exists():
            return
        open_alerts = {alert.task_id: alert for alert in Alert.objects.filter(rule=rule, resolved_at__isnull=True)}
        unclear = undecided(rule, (open_alerts.keys() | _pending(rule)) - found.keys(), now)
        _keep(rule, [alert for task, alert in open_alerts.items() if task in found], found, now)
        over = [a for task, a in open_alerts.items() if task not in found and task not in unclear]
        _clear(rule, over, now)
        _open(rule, {task: value for task, value in found.items() if task not in open_alerts}, unclear, now)


def _pending(rule: AlertRule) -> set[int]:
    return set(AlertPending.objects.filter(rule=rule).values_list("task", flat=True))


def _keep(rule: AlertRule, alerts: list[Alert], found: Values, now: datetime) -> None:
    larger = max if rule.comparison == Comparison.ABOVE else min
    for alert in alerts:
        alert.value, alert.seen_at, alert.clear_since = found[alert.task_id], now, None
        alert.worst = larger(alert.worst, alert.value)
    Alert.objects.bulk_update(alerts, ["value", "worst", "seen_at", "clear_since"], batch_size=200)


def _clear(rule: AlertRule, alerts: list[Alert], now: datetime) -> None:
    wait = timedelta(seconds=rule.resolve_after)
    for alert in alerts:
        if alert.clear_since is None and wait:
            alert.clear_since = now
            alert.save(update_fields=["clear_since"])
        elif alert.clear_since is None or now - alert.clear_since >= wait:
            resolve(alert, _why_well(rule, alert), now)


def _why_well(rule: AlertRule, alert: Alert) -> str:
    task = Task.objects.select_related("owner").get(pk=alert.task_id)  # it takes its alerts with it when it goes
    if not covers(rule, task):
        return "The rule is not for this task any more."
    return f"{METRICS[alert.metric].label} is as it should be; the task is {task.get_status_display()}."


def resolve(alert: Alert, reason: str, now: datetime, actor_name: str = SYSTEM) -> None:
    """End `alert`, and tell those who were told of it. Inside the caller's transaction."""
    alert.resolved_at, alert.resolve_reason, alert.next_notice_at, alert.held_by = now, reason, None, ""
    alert.clear_since = None
    alert.save(update_fields=["resolved_at", "resolve_reason", "next_notice_at", "held_by", "clear_since"])
    note(alert, AlertEventKind.RESOLVED, reason, now, actor_name)
    if alert.told and alert.rule is not None:
        notices.tell(alert, NoticeKind.RESOLVED, now)


def _open(rule: AlertRule, found: Values, unclear: set[int], now: datetime) -> None:
    """Open what has lasted long enough; remember the rest, and forget what is over."""
    wait = must_last(rule)
    AlertPending.objects.filter(rule=rule).exclude(task__in=found.keys() | unclear).delete()
    if wait:
        found = _lasting(rule, found, now - wait, now)
    if not found:
        return
    AlertPending.objects.filter(rule=rule, task__in=found).delete()
    lately = Alert.objects.filter(rule=rule, task__in=found, resolved_at__gte=now - FLAPS_WITHIN)
    again = {alert.task_id: alert for alert in lately.order_by("resolved_at", "pk")}
    # A task may have been deleted since it was read.
    for pk in Task.objects.filter(pk__in=found).order_by("pk").values_list("pk", flat=True):
        if pk in again:
            _reopen(rule, again[pk], found[pk], now)
        else:
            _begin(rule, pk, found[pk], now)


def _lasting(rule: AlertRule, found: Values, since: datetime, now: datetime) -> Values:
    """Return those that have been seen, without a stretch in which nobody looked, since `since`."""
    known = {pending.task_id: pending for pending in AlertPending.objects.filter(rule=rule, task__in=found)}
    new = Task.objects.filter(pk__in=found.keys() - known.keys()).values_list("pk", flat=True)
    AlertPending.objects.bulk_create([AlertPending(rule=rule, task_id=pk, since=now, seen_at=now) for pk in new])
    for pending in known.values():
        pending.since = pending.since if now - pending.seen_at <= FORGOTTEN_AFTER else now
        pending.seen_at = now
    AlertPending.objects.bulk_update(known.values(), ["since", "seen_at"], batch_size=200)
    return {pk: value for pk, value in found.items() if pk in known and known[pk].since <= since}


def _begin(rule: AlertRule, task_id: int, value: float, now: datetime) -> None:
    alert = Alert.objects.create(
        rule=rule,
        task_id=task_id,
        rule_name=rule.name,
        opened_at=now,
        value=value,
        worst=value,
        seen_at=now,
        next_notice_at=now,
        **_words(rule),
    )
    note(alert, AlertEventKind.OPENED, wording.finding(alert), now)


def _reopen(rule: AlertRule, alert: Alert, value: float, now: datetime) -> None:
    """It flaps: go on with the alert that resolved just now, and tell of it again only when its interval is over."""
    values = {
        "resolved_at": None,
        "resolve_reason": "",
        "times": alert.times + 1,
        "value": value,
        "seen_at": now,
        "next_notice_at": None if alert.acknowledged_at else _next_notice(rule, alert, now),
        **_words(rule),
    }
    for name, new in values.items():
        setattr(alert, name, new)
    alert.save(update_fields=list(values))
    note(alert, AlertEventKind.REOPENED, wording.finding(alert), now)


def _next_notice(rule: AlertRule, alert: Alert, now: datetime) -> datetime:
    if alert.last_told_at is None:
        return now
    return max(now, alert.last_told_at + max(FLAPS_WITHIN, timedelta(seconds=rule.interval)))


def _words(rule: AlertRule) -> dict[str, Any]:
    names = ("severity", "metric", "comparison", "threshold", "window")
    return {name: getattr(rule, name) for name in names}


# --- what people do -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AlertOver(Exception):
    """The alert has resolved meanwhile: nothing is left to be done about it."""

    alert: Alert

    def __str__(self) -> str:
        return f"This alert is resolved. {self.alert.resolve_reason}".strip()


def acknowledge(alert_id: int, actor_name: str, text: str) -> Alert:
    """Somebody takes care of it: no more reminders. Done twice, the note is replaced. Raises AlertOver."""
    return _act(
        alert_id,
        AlertEventKind.ACKNOWLEDGED,
        actor_name,
        text,
        acknowledged_at=timezone.now(),
        acknowledged_by=actor_name,
        note=text,
        next_notice_at=None,
        held_by="",
    )


def unacknowledge(alert_id: int, actor_name: str) -> Alert:
    """Nobody takes care of it any more: it is told about again, at once. Raises AlertOver."""
    now = timezone.now()
    return _act(
        alert_id,
        AlertEventKind.UNACKNOWLEDGED,
        actor_name,
        "",
        acknowledged_at=None,
        acknowledged_by="",
        note="",
        next_notice_at=now,
    )


def silence(alert_id: int, actor_name: str, until: datetime) -> Alert:
    """Tell nobody before `until`; it stays open and visible. Raises AlertOver."""
    return _act(
        alert_id,
        AlertEventKind.SILENCED,
        actor_name,
        f"Until {until:%Y-%m-%d %H:%M:%S} UTC",
        silenced_until=until,
        silenced_by=actor_name,
        next_notice_at=until,
    )


def unsilence(alert_id: int, actor_name: str) -> Alert:
    """End a silence now. Raises AlertOver."""
    now = timezone.now()
    return _act(
        alert_id, AlertEventKind.UNSILENCED, actor_name, "", silenced_until=None, silenced_by="", next_notice_at=now
    )


@transaction.atomic
def _act(alert_id: int, kind: AlertEventKind, actor_name: str, text: str, **values: Any) -> Alert:
    alert = Alert.objects.select_for_update(of=("self",)).select_related("task", "rule").get(pk=alert_id)
    if alert.resolved_at is not None:
        raise AlertOver(alert)
    if "next_notice_at" in values and values["next_notice_at"] and alert.acknowledged_at and "note" not in values:
        values["next_notice_at"] = None  # acknowledged: nobody is told, silence or not
    for name, value in values.items():
        setattr(alert, name, value)
    alert.save(update_fields=list(values))
    note(alert, kind, text, timezone.now(), actor_name)
    return alert


def end_alerts_of(rules: Iterable[AlertRule], reason: str, actor_name: str) -> None:
    """Resolve what is open of rules that are turned off or deleted. Inside the caller's transaction."""
    rules = list(rules)
    AlertPending.objects.filter(rule__in=rules).delete()
    now = timezone.now()
    for alert in Alert.objects.filter(rule__in=rules, resolved_at__isnull=True).select_related("rule", "task"):
        resolve(alert, reason, now, actor_name)
