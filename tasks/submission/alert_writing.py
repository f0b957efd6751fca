"""Compare recipient groups and rules with what is stored, and write what differs, in the caller's transaction."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from django.contrib.auth import get_user_model

from tasks.alerts.addresses import service_of
from tasks.alerts.rules import FIELDS, save_rule
from tasks.models import AlertRule, RecipientChannel, RecipientGroup
from tasks.models.fields import SecretUnreadable
from tasks.submission.changes import Change
from tasks.submission.plans import RecipientGroupPlan, RulePlan


def compare_recipient_group(plan: RecipientGroupPlan) -> Change:
    found = RecipientGroup.objects.filter(name=plan.name).first()
    if found is None:
        return Change("recipient group", plan.name, "created")
    differs = {
        "description": found.description != plan.description,
        "people": _names_of(found.people) != set(plan.people),
        "channels": _addresses_of(found) != {channel.name: _address(channel.url_env) for channel in plan.channels},
    }
    return _change("recipient group", plan.name, differs)


def compare_rule(plan: RulePlan) -> Change:
    found = AlertRule.objects.filter(name=plan.name).first()
    if found is None:
        return Change("alert rule", plan.name, "created")
    differs = {name: getattr(found, name) != getattr(plan, name) for name in FIELDS}
    differs["people"] = _names_of(found.people) != set(plan.people)
    differs["groups"] = set(found.groups.values_list("name", flat=True)) != set(plan.groups)
    return _change("alert rule", plan.name, differs)


def _change(kind: str, name: str, differs: dict[str, bool]) -> Change:
    fields = tuple(field for field, is_other in differs.items() if is_other)
    return Change(kind, name, "changed" if fields else "unchanged", fields)


def _names_of(people: Any) -> set[str]:
    return set(people.values_list(get_user_model().USERNAME_FIELD, flat=True))


def _addresses_of(group: RecipientGroup) -> dict[str, str | None]:
    """Return name -> address; None where it can't be read any more, so that it is written anew."""
    found: dict[str, str | None] = {}
    for channel in group.channels.all():
        try:
            found[channel.name] = channel.url()
        except SecretUnreadable:
            found[channel.name] = None
    return found


def _address(variable: str) -> str:
    return os.environ.get(variable, "")


def people_named(names: list[str]) -> Any:
    return get_user_model().objects.filter(**{f"{get_user_model().USERNAME_FIELD}__in": names})


def write_recipient_group(plan: RecipientGroupPlan, change: Change) -> None:
    if change.what == "unchanged":
        return
    group, _ = RecipientGroup.objects.update_or_create(name=plan.name, defaults={"description": plan.description})
    group.people.set(people_named(plan.people))
    if change.what == "created" or "channels" in change.fields:
        group.channels.exclude(name__in=[channel.name for channel in plan.channels]).delete()
        for channel in plan.channels:
            write_channel(group, channel.name, _address(channel.url_env))


def write_channel(group: RecipientGroup, name: str, url: str) -> None:
    """Store the address of a channel. Raises AddressInvalid."""
    channel = RecipientChannel.objects.filter(group=group, name=name).first() or RecipientChannel(
        group=group, name=name
    )
    channel.service = service_of(url)
    channel.set_url(url)
    channel.save(**({"update_fields": ["service", "url_token"]} if channel.pk else {}))


def write_rule(plan: RulePlan, change: Change, actor_name: str) -> None:
    """The file's recipient groups are written already."""
    if change.what != "unchanged":
        save_plan(plan, AlertRule.objects.filter(name=plan.name).first(), actor_name)


def save_plan(plan: RulePlan, rule: AlertRule | None, actor_name: str) -> AlertRule:
    """Make `rule` what `plan` says, or a new one. Raises as tasks.alerts.rules.save_rule does."""
    return save_rule(
        rule.pk if rule else None,
        {name: value for name, value in asdict(plan).items() if name in FIELDS},
        people=people_named(plan.people),
        groups=RecipientGroup.objects.filter(name__in=plan.groups),
        actor_name=actor_name,
    )
