"""The life of an alert: seen, opened, acknowledged, silenced, resolved. Each step one transaction with its event."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from tasks.alerts import notices, wording
from tasks.alerts.metrics import METRICS
from tasks.alerts.notices import SYSTEM, note
from tasks.alerts.readings import MOST, Values, breaking, covers, must_last, undecided
from tasks.models import Alert, AlertEventKind, AlertPending, AlertRule, Comparison, NoticeKind, NoticeState, Task

#: One that breaks again this soon after it resolved is the same alert: it is not told about anew before its interval.
FLAPS_WITHIN: Final = timedelta(minutes=10)
log = logging.getLogger(__name__)


def forgotten_after() -> timedelta:
    """Return after how long a condition that was not seen, because nobody looked, has to last anew."""
    return timedelta(seconds=max(60, 3 * settings.OPS_ALERT_SECONDS))


def judge_all(now: datetime | None = None) -> None:
    """Look at every enabled rule. Several workers may do so at once: the rule's row is the lock of what is written."""
    for pk in list(AlertRule.objects.filter(enabled=True).order_by("pk").values_list("pk", flat=True)):
        try:
            judge(pk, now or timezone.now())
        except DatabaseError:
            raise
        except Exception:  # one rule must not keep the others from being looked at
            log.exception("Rule %s could not be judged.", pk)


def judge(rule_id: int, now: datetime) -> None:
    """Open, keep or resolve the alerts of one rule; nothing is written where nothing is to be said."""
    rule = AlertRule.objects.filter(pk=rule_id, enabled=True).first()
    if rule is None:
        return
    is_known = Alert.objects.filter(rule=rule, resolved_at__isnull=True).exists()
    if not is_known and not AlertPending.objects.filter(rule=rule).exists() and not breaking(rule, now):
        return
    with transaction.atomic():
        # A rule that was changed since it was read is judged at the next pass, as it then is. Events refer to a rule,
        # which needs its key only: the weaker lock lets people acknowledge meanwhile.
        locked = AlertRule.objects.select_for_update(skip_locked=True, no_key=True)
        if not locked.filter(pk=rule.pk, updated_at=rule.updated_at, enabled=True).exists():
            return
        # Read under the lock: what another worker has resolved since must not be opened again by an older look.
        found = breaking(rule, now)
        open_alerts = {alert.task_id: alert for alert in Alert.objects.filter(rule=rule, resolved_at__isnull=True)}
        unclear = undecided(rule, (open_alerts.keys() | _pending(rule)) - found.keys(), now)
        _keep(rule, [alert for task, alert in open_alerts.items() if task in found], found, now)
        if len(found) < MOST:  # of those beyond nobody knows
            over = [a for task, a in open_alerts.items() if task not in found and task not in unclear]
            _clear(rule, over, now)
        _open(rule, {task: value for task, value in found.items() if task not in open_alerts}, unclear, now)


def _pending(rule: AlertRule) -> set[int]:
    return set(AlertPending.objects.filter(rule=rule).values_list("task", flat=True))


def _keep(rule: AlertRule, alerts: list[Alert], found: Values, now: datetime) -> None:
    larger = max if rule.comparison == Comparison.ABOVE else min
    told = _words(rule)
    renewed = any(getattr(alert, name) != word for alert in alerts for name, word in told.items())
    for alert in alerts:
        for name, word in told.items():
            setattr(alert, name, word)
        alert.value, alert.seen_at, alert.clear_since = found[alert.task_id], now, None
        alert.worst = larger(alert.worst, alert.value)
    columns = ["value", "worst", "seen_at", "clear_since", *(told if renewed else ())]
    Alert.objects.bulk_update(alerts, columns, batch_size=200)


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
    # Before it was turned on, or when it looked at something else, is another story.
    since = max(now - FLAPS_WITHIN, rule.enabled_at)
    lately = Alert.objects.filter(rule=rule, metric=rule.metric, task__in=found, resolved_at__gte=since)
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
        pending.since = pending.since if now - pending.seen_at <= forgotten_after() else now
        pending.seen_at = now
    AlertPending.objects.bulk_update(known.values(), ["since", "seen_at"], batch_size=200)
    return {pk: value for pk, value in found.items() if pk in known and known[pk].since <= since}


def _begin(rule: AlertRule, task_id: int, value: float, now: datetime) -> None:
    alert = Alert.objects.create(
        rule=rule,
        task_id=task_id,
        opened_at=now,
        value=value,
        worst=value,
        seen_at=now,
        next_notice_at=now,
        **_words(rule),
    )
    note(alert, AlertEventKind.OPENED, wording.finding(alert), now)


def _reopen(rule: AlertRule, alert: Alert, value: float, now: datetime) -> None:
    """It flaps: go on with the alert that resolved just now, and tell of it again only when some time has passed."""
    untold = alert.notifications.filter(kind=NoticeKind.RESOLVED, state=NoticeState.PENDING, attempts=0, due_at__gt=now)
    is_known_open = bool(untold.delete()[0])  # that it was over has waited for the end of quiet hours or a silence
    values = {
        "resolved_at": None,
        "resolve_reason": "",
        "times": alert.times + 1,
        "value": value,
        "seen_at": now,
        **_words(rule),
    }
    if is_known_open:
        values["told"] = True
        values["next_notice_at"] = None if alert.acknowledged_at else _next_reminder(rule, alert, now)
    else:
        # Those who were told that it is over believe so: whoever cared for it then does not any more.
        values |= {"acknowledged_at": None, "acknowledged_by": "", "note": ""}
        values["next_notice_at"] = max(now, (alert.last_told_at or now - FLAPS_WITHIN) + FLAPS_WITHIN)
    for name, new in values.items():
        setattr(alert, name, new)
    alert.save(update_fields=list(values))
    note(alert, AlertEventKind.REOPENED, wording.finding(alert), now)


def _next_reminder(rule: AlertRule | None, alert: Alert, now: datetime) -> datetime | None:
    """Return when an alert is to be told of next: at once if nobody was told that it is open, else by its interval."""
    if not alert.told or alert.last_told_at is None:
        return now
    return max(now, alert.last_told_at + timedelta(seconds=rule.interval)) if rule and rule.interval else None


def _words(rule: AlertRule) -> dict[str, Any]:
    names = ("severity", "metric", "comparison", "threshold", "window")
    return {"rule_name": rule.name, **{name: getattr(rule, name) for name in names}}


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
    """Nobody takes care of it any more: it is told about again, at once where no silence forbids. Raises AlertOver."""
    return _act(
        alert_id,
        AlertEventKind.UNACKNOWLEDGED,
        actor_name,
        "",
        acknowledged_at=None,
        acknowledged_by="",
        note="",
        next_notice_at=timezone.now(),
    )


def silence(alert_id: int, actor_name: str, until: datetime) -> Alert:
    """Tell nobody before `until`; it stays open and visible. Raises AlertOver."""
    text = f"Until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return _act(alert_id, AlertEventKind.SILENCED, actor_name, text, silenced_until=until, silenced_by=actor_name)


def unsilence(alert_id: int, actor_name: str) -> Alert:
    """End a silence now. Raises AlertOver."""
    return _act(alert_id, AlertEventKind.UNSILENCED, actor_name, "", silenced_until=None, silenced_by="")


@transaction.atomic
def _act(alert_id: int, kind: AlertEventKind, actor_name: str, text: str, **values: Any) -> Alert:
    alert = Alert.objects.select_for_update(of=("self",)).select_related("task", "rule").get(pk=alert_id)
    now = timezone.now()
    if alert.resolved_at is not None:
        raise AlertOver(alert)
    if kind is AlertEventKind.UNSILENCED and not is_silenced(alert, now):
        return alert  # pressed twice, or it had run out
    for name, value in values.items():
        setattr(alert, name, value)
    if kind in (AlertEventKind.SILENCED, AlertEventKind.UNSILENCED):
        # Acknowledged: nobody is reminded, silence or not.
        alert.next_notice_at = None if alert.acknowledged_at else _next_reminder(alert.rule, alert, now)
    alert.save(update_fields=[*values, "next_notice_at"])
    note(alert, kind, text, now, actor_name)
    return alert


def is_silenced(alert: Alert, now: datetime) -> bool:
    return alert.silenced_until is not None and alert.silenced_until > now


def end_alerts_of_tasks(tasks: Iterable[Task], reason: str, actor_name: str) -> None:
    """Resolve what is open of tasks that are about to be deleted. Inside the caller's transaction."""
    ended = Alert.objects.filter(task__in=list(tasks), resolved_at__isnull=True).select_related("rule", "task")
    for alert in ended:
        resolve(alert, reason, timezone.now(), actor_name)


def end_alerts_of(rules: Iterable[AlertRule], reason: str, actor_name: str) -> None:
    """Resolve what is open of rules that are turned off or deleted. Inside the caller's transaction."""
    rules = list(rules)
    AlertPending.objects.filter(rule__in=rules).delete()
    now = timezone.now()
    for alert in Alert.objects.filter(rule__in=rules, resolved_at__isnull=True).select_related("rule", "task"):
        resolve(alert, reason, now, actor_name)
