"""Rules made, changed, turned off and deleted: page, admin and file all come through here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from tasks.alerts import life
from tasks.models import AlertRule, RecipientGroup

#: What a rule is made of beside its recipients.
FIELDS: Final = (
    "name",
    "description",
    "enabled",
    "severity",
    "scope",
    "names",
    "metric",
    "comparison",
    "threshold",
    "window",
    "resolve_after",
    "interval",
    "cap",
    "cap_period",
    "quiet",
    "zone",
    "to_owner",
)


@transaction.atomic
def save_rule(
    rule_id: int | None,
    values: Mapping[str, Any],
    *,
    people: Iterable[Any],
    groups: Iterable[RecipientGroup],
    actor_name: str,
) -> AlertRule:
    """Make a rule, or change one: one that is turned off ends its alerts, one that is turned on begins anew.

    `values` holds some of FIELDS. Raises AlertRule.DoesNotExist, and IntegrityError for a name that is taken.
    """
    if rule_id is None:
        rule = AlertRule.objects.create(**values)
    else:
        rule = AlertRule.objects.select_for_update(no_key=True).get(pk=rule_id)
        _change(rule, values, actor_name)
    rule.people.set(people)
    rule.groups.set(groups)
    return rule


def _change(rule: AlertRule, values: Mapping[str, Any], actor_name: str) -> None:
    changed = {name: value for name, value in values.items() if getattr(rule, name) != value}
    if rule.enabled and not values.get("enabled", True):
        life.end_alerts_of([rule], "The rule was turned off.", actor_name)
    elif "metric" in changed:
        life.end_alerts_of([rule], "The rule looks at something else now.", actor_name)
    if changed.get("enabled"):
        changed["enabled_at"] = timezone.now()
    for name, value in changed.items():
        setattr(rule, name, value)
    rule.save(update_fields=[*changed, "updated_at"])


@transaction.atomic
def delete_rules(rules: Iterable[AlertRule], actor_name: str) -> None:
    """Delete rules: what is open of them ends, and those who were told of it are told so; what they sent stays."""
    rules = list(rules)
    life.end_alerts_of(rules, "The rule was deleted.", actor_name)
    AlertRule.objects.filter(pk__in=[rule.pk for rule in rules]).delete()
