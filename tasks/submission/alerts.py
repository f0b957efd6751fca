"""Recipient groups and alert rules of a submission: the validation that file, console and admin share."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from django.contrib.auth import get_user_model

from tasks.alerts.addresses import AddressInvalid, service_of
from tasks.alerts.metrics import METRICS
from tasks.alerts.quiet import MOST, Quiet, parse, zone_of
from tasks.models import Comparison, RecipientGroup, ResourceGroup, Scope, Severity, Task
from tasks.submission.plans import ChannelPlan, RecipientGroupPlan, RulePlan
from tasks.submission.reading import read_name
from tasks.submission.sections import Section, near

DAY: Final = 86_400
MONTH: Final = 30 * DAY
#: The longest that anything may last before it is an alert, in seconds.
LONGEST: Final = 366 * DAY
MOST_NAMES: Final = 500
_SCOPES: Final = (Scope.TASKS, Scope.GROUPS, Scope.OWNERS)


@dataclass(frozen=True, slots=True)
class Known:
    """Names that the file brings; the console's own are looked up."""

    tasks: Collection[str] = ()
    resource_groups: Collection[str] = ()
    recipient_groups: Collection[str] = ()


def read_recipient_group(section: Section) -> RecipientGroupPlan:
    name = read_name(section)
    people = section.texts("people")
    _refuse_unknown(section, "people", "user", people, _users(people))
    channels = []
    for channel in section.sections("channels"):
        plan = ChannelPlan(read_name(channel), channel.text("url_env"))
        channels.append(plan)
        _check_address(channel, plan.url_env)
        channel.close()
    if len({channel.name for channel in channels}) < len(channels):
        section.add("channels", "A name stands here twice.")
    description = section.text("description", "", longest=2_000)
    section.close()
    return RecipientGroupPlan(name, description, people, channels)


def _check_address(section: Section, variable: str) -> None:
    url = os.environ.get(variable, "") if variable else ""
    if variable and not url:
        section.add("url_env", f"The environment variable {variable} is not set, or empty.")
    elif variable:
        try:
            service_of(url)
        except AddressInvalid as error:
            section.add("url_env", str(error))


def read_rule(section: Section, known: Known) -> RulePlan:
    name = read_name(section)
    code = section.choice("metric", list(METRICS))
    metric = METRICS.get(code)
    scope, names = _scope(section, known)
    to_owner, people, groups = _recipients(section, known)
    comparison = section.choice("comparison", Comparison.values, metric.comparison if metric else Comparison.ABOVE)
    most = LONGEST if metric and metric.unit in ("s", "") else 1e12
    threshold = section.number("threshold", (metric and metric.threshold) or 0.0, 0.0, most)
    window = section.integer("window", (metric and metric.window) or 0, 0, DAY)
    if metric is not None:
        _check_condition(section, code, threshold, window)
    plan = RulePlan(
        name=name,
        metric=code,
        description=section.text("description", "", longest=2_000),
        enabled=section.boolean("enabled", True),
        severity=section.choice("severity", Severity.values, Severity.IMPORTANT.value),
        scope=scope,
        names=names,
        comparison=str(comparison),
        threshold=threshold,
        window=window,
        resolve_after=section.integer("resolve_after", 60, 0, DAY),
        interval=section.integer("interval", 3_600, 0, MONTH),
        cap=section.integer("cap", 60, 0, 100_000),
        cap_period=section.integer("cap_period", 3_600, 1, MONTH),
        quiet=_quiet(section),
        zone=_zone(section),
        to_owner=to_owner,
        people=people,
        groups=groups,
    )
    section.close()
    return plan


def _check_condition(section: Section, code: str, threshold: float, window: int) -> None:
    """A metric that does not ask for a number must not be given one: it would seem to count."""
    metric = METRICS[code]
    if metric.threshold is None:
        for key in ("threshold", "comparison"):
            if key in section.values:
                section.add(key, f"{metric.label} has no {key}: it is the case or it is not.")
    elif metric.is_of_time and section.values.get("comparison") == Comparison.BELOW:
        section.add("comparison", f"{metric.label} can only be watched for being above its threshold.")
    if metric.window is None and "window" in section.values:
        section.add("window", f"{metric.label} has no window: its threshold says for how long.")
    if metric.averages and metric.window is not None and window < 30:
        section.add("window", f"{metric.label} is counted over a window of at least 30 s, not {window} s.")


def _scope(section: Section, known: Known) -> tuple[str, list[str]]:
    if not section.values.get("scope"):
        section.text("scope", "")
        return Scope.ALL.value, []
    inner = section.section("scope")
    found = {scope: inner.texts(scope.value) for scope in _SCOPES if scope.value in inner.values}
    inner.known.extend(scope.value for scope in _SCOPES)
    inner.close()
    if len(found) != 1:
        if isinstance(section.values["scope"], dict):
            section.add("scope", "Give one of tasks, groups or owners; for all tasks leave scope out.")
        return Scope.ALL.value, []
    [(scope, names)] = found.items()
    if not names:
        inner.add(scope.value, "Name at least one.")
    elif len(names) > MOST_NAMES:
        inner.add(scope.value, f"{len(names)} are named; {MOST_NAMES} is the most. Use a group, or all tasks.")
    else:
        what = {Scope.TASKS: "task", Scope.GROUPS: "resource group", Scope.OWNERS: "user"}[scope]
        _refuse_unknown(inner, scope.value, what, names, _existing(scope, names, known))
    return scope.value, names


def _existing(scope: Scope, names: list[str], known: Known) -> set[str]:
    if scope is Scope.OWNERS:
        return _users(names)
    if scope is Scope.GROUPS:
        return {*known.resource_groups, *ResourceGroup.objects.filter(name__in=names).values_list("name", flat=True)}
    return {*known.tasks, *Task.objects.filter(name__in=names).values_list("name", flat=True)}


def _users(names: Iterable[str]) -> set[str]:
    field = get_user_model().USERNAME_FIELD
    found = get_user_model().objects.filter(**{f"{field}__in": list(names)})  # who left is not told, but may stand here
    return set(found.values_list(field, flat=True))


def _refuse_unknown(section: Section, key: str, what: str, names: list[str], existing: Collection[str]) -> None:
    for name in names:
        if name not in existing:
            section.add(key, f"There is no {what} {name}.")


def _recipients(section: Section, known: Known) -> tuple[bool, list[str], list[str]]:
    if not section.values.get("to"):
        section.text("to", "")
        return False, [], []
    to = section.section("to")
    owner, people, groups = to.boolean("owner", False), to.texts("people"), to.texts("groups")
    to.close()
    _refuse_unknown(to, "people", "user", people, _users(people))
    stored = set(RecipientGroup.objects.values_list("name", flat=True)[:2_000])
    for name in groups:
        if name not in stored and name not in known.recipient_groups:
            to.add("groups", f"There is no recipient group {name}.{near(name, [*stored, *known.recipient_groups])}")
    return owner, people, groups


def _quiet(section: Section) -> list[Quiet]:
    spans = []
    for text in section.texts("quiet"):
        try:
            spans.append(parse(text))
        except ValueError as error:
            section.add("quiet", str(error))
    if len(spans) > MOST:
        section.add("quiet", f"{len(spans)} quiet times are given; {MOST} is the most.")
    return spans


def _zone(section: Section) -> str:
    zone = section.text("zone", "UTC", longest=64)
    try:
        zone_of(zone)
    except ValueError as error:
        section.add("zone", str(error))
    return zone
