"""The outbox: who is told of an alert, and when. What stands in it is sent by `delivery`, once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import DatabaseError, transaction
from django.utils import timezone

from tasks.alerts import wording
from tasks.alerts.quiet import quiet_until
from tasks.models import (
    Alert,
    AlertEvent,
    AlertEventKind,
    AlertRule,
    NoticeKind,
    Notification,
    RecipientChannel,
    RecipientGroup,
    Task,
)

log = logging.getLogger(__name__)

SYSTEM: Final = "system"
EMAIL: Final = "e-mail"
#: Notices decided in one pass; the rest follow in the next.
CHUNK: Final = 200


@dataclass(frozen=True, slots=True)
class Recipient:
    """A person, told by e-mail, or a channel of a group."""

    name: str
    via: str
    user: Any = None
    channel: RecipientChannel | None = None


def recipients(rule: AlertRule, task: Task | None) -> list[Recipient]:
    """Return who is told by `rule` of `task`, each once."""
    people: dict[int, Any] = {person.pk: person for person in rule.people.all() if person.is_active}
    channels: list[RecipientChannel] = []
    for group in rule.groups.prefetch_related("people", "channels"):
        people |= {person.pk: person for person in group.people.all() if person.is_active}
        channels += group.channels.all()
    if rule.to_owner and task is not None and task.owner is not None and task.owner.is_active:
        people[task.owner.pk] = task.owner
    return [*_people(people.values()), *_channels(channels)]


def of_group(group: RecipientGroup) -> list[Recipient]:
    people = [person for person in group.people.all() if person.is_active]
    return [*_people(people), *_channels(group.channels.all())]


def _people(people: Any) -> Iterator[Recipient]:
    for person in sorted(people, key=lambda person: str(person.get_username())):
        yield Recipient(person.get_username(), EMAIL, user=person)


def _channels(channels: Any) -> Iterator[Recipient]:
    for channel in channels:
        yield Recipient(str(channel), channel.service, channel=channel)


def send_due(now: datetime | None = None) -> None:
    """Put into the outbox what is due to be told of open alerts. Several workers may try: one of them does it."""
    now = now or timezone.now()
    # What nobody knows yet goes before reminders: under a cap those would take its place for ever.
    due = Alert.objects.filter(next_notice_at__lte=now).order_by("told", "next_notice_at", "pk")
    for pk, rule in list(due.values_list("pk", "rule")[:CHUNK]):
        try:
            _send_one(pk, rule, now)
        except DatabaseError:
            raise
        except Exception:  # one alert must not keep the others from being told
            log.exception("Alert %s could not be told of; it is tried again in a minute.", pk)
            Alert.objects.filter(pk=pk, next_notice_at__lte=now).update(next_notice_at=now + timedelta(minutes=1))


@transaction.atomic
def _send_one(pk: int, rule_id: int | None, now: datetime) -> None:
    # The rule's row is the lock of its cap. It is taken before the alert's, as whoever judges the rule does.
    rules = AlertRule.objects.select_for_update(skip_locked=True, no_key=True)
    if rule_id is not None and not rules.filter(pk=rule_id).exists():
        return  # somebody else is at it
    locked = Alert.objects.select_for_update(skip_locked=True, of=("self",)).select_related("rule", "task__owner")
    alert = locked.filter(pk=pk, next_notice_at__lte=now).first()
    if alert is not None:
        _decide(alert, now)


def _decide(alert: Alert, now: datetime) -> None:
    rule = alert.rule
    if rule is None or not rule.enabled:
        _postpone(alert, None, "", now)
    elif alert.silenced_until is not None and alert.silenced_until > now:
        _postpone(alert, alert.silenced_until, "a silence", now, is_noted=False)
    elif (end := _quiet_until(rule, now)) is not None:
        _postpone(alert, end, "quiet hours", now)
    elif (free_at := _cap_free_at(rule, now)) is not None:
        _postpone(alert, free_at, f"the cap of {rule.cap} per {wording.amount(rule.cap_period, 's')}", now)
    else:
        tell(alert, NoticeKind.REMINDER if alert.told else NoticeKind.OPENED, now)


def _quiet_until(rule: AlertRule, now: datetime) -> datetime | None:
    """A time zone that this machine does not know (any more) must not keep people from being told."""
    try:
        return quiet_until(rule.quiet, rule.zone, now)
    except ValueError as error:
        log.error("Rule %s: %s Its quiet hours are left out.", rule.name, error)
        return None


def _cap_free_at(rule: AlertRule, now: datetime) -> datetime | None:
    """Return when the rule may tell again; None: now."""
    if not rule.cap:
        return None
    period = timedelta(seconds=rule.cap_period)
    told = AlertEvent.objects.filter(rule=rule, kind=AlertEventKind.TOLD, at__gt=now - period).order_by("-at")
    newest = list(told.values_list("at", flat=True)[: rule.cap])
    return newest[-1] + period if len(newest) >= rule.cap else None


def _postpone(alert: Alert, until: datetime | None, why: str, now: datetime, *, is_noted: bool = True) -> None:
    if why and is_noted and alert.held_by != why:
        note(alert, AlertEventKind.HELD, f"Until {until:%Y-%m-%d %H:%M:%S} UTC, by {why}.", now)
    alert.next_notice_at, alert.held_by = until, why
    alert.save(update_fields=["next_notice_at", "held_by"])


def tell(alert: Alert, kind: NoticeKind, now: datetime) -> None:
    """Write one round of notifications of `alert`. Inside the caller's transaction."""
    rule = alert.rule
    assert rule is not None
    chosen = recipients(rule, alert.task)
    if kind is NoticeKind.REMINDER:
        chosen = _without_a_message_on_its_way(alert, chosen)
    alert.rounds += 1
    alert.told = kind is not NoticeKind.RESOLVED
    alert.last_told_at, alert.held_by = now, ""
    again = rule.interval and kind is not NoticeKind.RESOLVED
    alert.next_notice_at = now + timedelta(seconds=rule.interval) if again else None
    alert.save(update_fields=["rounds", "told", "last_told_at", "next_notice_at", "held_by"])
    # What is over may be told of after a quiet night; that something begins is decided anew by then.
    due_at = now
    if kind is NoticeKind.RESOLVED:
        due_at = max(_quiet_until(rule, now) or now, alert.silenced_until or now)
    subject, body = wording.subject(alert, alert.task, kind), wording.body(alert, alert.task, kind, now)
    Notification.objects.bulk_create(
        [
            _row(recipient, kind, subject, body, now, due_at=due_at, alert=alert, rule=rule, round=alert.rounds)
            for recipient in chosen
        ]
    )
    names = ", ".join(f"{recipient.name} ({recipient.via})" for recipient in chosen)
    if kind is not NoticeKind.RESOLVED:
        note(alert, AlertEventKind.TOLD, names or "Nobody: the rule names no recipient.", now)


def _without_a_message_on_its_way(alert: Alert, chosen: list[Recipient]) -> list[Recipient]:
    """A receiver that was down must not get a pile of reminders when it is back."""
    waiting = alert.notifications.filter(due_at__isnull=False).values_list("user", "channel")
    users = {user for user, _ in waiting if user is not None}
    channels = {channel for _, channel in waiting if channel is not None}
    return [
        one
        for one in chosen
        if not (one.user and one.user.pk in users) and not (one.channel and one.channel.pk in channels)
    ]


def _row(recipient: Recipient, kind: NoticeKind, subject: str, body: str, now: datetime, **values: Any) -> Notification:
    return Notification(
        kind=kind,
        user=recipient.user,
        channel=recipient.channel,
        recipient=recipient.name[:255],
        via=recipient.via[:100],
        subject=subject[:255],
        body=body,
        created_at=now,
        **{"due_at": now, **values},
    )


def send_test(to: AlertRule | RecipientGroup, actor: Any) -> list[Notification]:
    """Put a test message to each recipient into the outbox, and return them; an owner is whoever asks."""
    now = timezone.now()
    actor_name = actor.get_username()
    if isinstance(to, AlertRule):
        chosen, rule, what = recipients(to, None), to, f"rule {to.name}"
        if to.to_owner and actor.pk not in {recipient.user.pk for recipient in chosen if recipient.user}:
            chosen += _people([get_user_model().objects.get(pk=actor.pk)])
    else:
        chosen, rule, what = of_group(to), None, f"recipient group {to.name}"
    body = f"{actor_name} sent this to see whether messages of {what} arrive. Nothing is wrong."
    rows = [
        _row(recipient, NoticeKind.TEST, f"[test] {what}", body, now, rule=rule, actor_name=actor_name)
        for recipient in chosen
    ]
    return Notification.objects.bulk_create(rows)


def note(alert: Alert, kind: AlertEventKind, text: str, now: datetime, actor_name: str = SYSTEM) -> None:
    """Append to the life of `alert`."""
    AlertEvent.objects.create(alert=alert, rule_id=alert.rule_id, at=now, kind=kind, actor_name=actor_name, text=text)
