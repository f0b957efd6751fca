"""Rules, people and a clock for the tests of alerts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import timezone

from tasks.alerts import life
from tasks.alerts.metrics import METRICS
from tasks.models import Alert, AlertRule, Notification, RecipientChannel, RecipientGroup
from tests.factories import make_user

#: A rule's own waits are tested where they are the subject; elsewhere an alert comes and goes at once.
AT_ONCE: dict[str, Any] = {"window": 0, "resolve_after": 0}


def make_rule(metric: str, **values: Any) -> AlertRule:
    """Make a rule with the defaults of its metric."""
    shown = METRICS[metric]
    defaults: dict[str, Any] = {
        "name": metric.replace("_", "-"),
        "metric": metric,
        "comparison": shown.comparison,
        "threshold": shown.threshold or 0.0,
        "window": shown.window or 0,
        "resolve_after": 0,
        "enabled_at": timezone.now() - timedelta(days=1),
    }
    return AlertRule.objects.create(**{**defaults, **values})


def make_recipients(rule: AlertRule, *, url: str = "json://127.0.0.1:9/hook") -> RecipientGroup:
    """Let `rule` tell olga, by e-mail, and a channel of the group on-call."""
    group = RecipientGroup.objects.get_or_create(name="on-call")[0]
    channel = RecipientChannel(group=group, name="hook", service="JSON")
    channel.set_url(url)
    channel.save()
    olga = get_user_model().objects.filter(username="olga").first()
    rule.people.add(olga or make_user("olga", email="olga@example.org"))
    rule.groups.add(group)
    return group


def judge(rule: AlertRule, now: datetime | None = None) -> Alert | None:
    """Look at the rule once, and return its open alert."""
    life.judge(rule.pk, now or timezone.now())
    return Alert.objects.filter(rule=rule, resolved_at__isnull=True).first()


def arrive() -> None:
    """Let all that stands in the outbox have arrived."""
    waiting = Notification.objects.filter(due_at__isnull=False)
    waiting.update(state="sent", due_at=None, settled_at=timezone.now(), attempts=1)
