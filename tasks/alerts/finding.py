"""Alerts as pages ask for them: the query of /alerts/, read forgivingly, since people type and share it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet
from django.http import QueryDict

from tasks.models import Alert, Severity

_OPEN: Final = Q(resolved_at__isnull=True)
#: What may be asked for, the first by default, and its words.
STATES: Final = {
    "open": "Open",
    "new": "Open, nobody cares yet",
    "acknowledged": "Acknowledged",
    "silenced": "Silenced",
    "resolved": "Resolved",
    "all": "All",
}
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """An empty field asks for nothing. `severity` may hold several."""

    state: str = "open"
    severity: tuple[str, ...] = ()
    rule: str = ""
    task: str = ""  # part of its name

    @classmethod
    def read(cls, query: QueryDict) -> AlertFilter:
        def text(name: str) -> str:
            return query.get(name, "").replace("\0", "").strip()[:_LONGEST]

        asked = query.getlist("severity")
        return cls(
            state=text("state") if text("state") in STATES else "open",
            severity=tuple(value for value in Severity.values if value in asked),
            rule=text("rule"),
            task=text("task"),
        )

    @property
    def narrows(self) -> bool:
        return self != AlertFilter()

    def query(self) -> str:
        pairs = [("state", self.state)] if self.state != "open" else []
        pairs += [("severity", value) for value in self.severity]
        pairs += [(name, value) for name, value in (("rule", self.rule), ("task", self.task)) if value]
        return urlencode(pairs)

    def apply(self, alerts: QuerySet[Alert], now: datetime) -> QuerySet[Alert]:
        alerts = alerts.filter(_condition(self.state, now))
        if self.severity:
            alerts = alerts.filter(severity__in=self.severity)
        if self.rule:
            alerts = alerts.filter(rule_name=self.rule)
        if self.task:
            alerts = alerts.filter(task__name__icontains=self.task)
        return alerts


def _condition(state: str, now: datetime) -> Q:
    silenced = Q(silenced_until__gt=now)
    return {
        "open": _OPEN,
        "new": _OPEN & Q(acknowledged_at__isnull=True) & (Q(silenced_until__isnull=True) | ~silenced),
        "acknowledged": _OPEN & Q(acknowledged_at__isnull=False),
        "silenced": _OPEN & silenced,
        "resolved": ~_OPEN,
        "all": Q(),
    }[state]


def open_by_severity() -> dict[Severity, int]:
    """Return how many alerts are open, the gravest first; severities without one are left out."""
    rows = Alert.objects.filter(_OPEN).order_by().values_list("severity").annotate(n=Count("pk"))
    counted = dict(rows)
    return {severity: counted[severity] for severity in reversed(Severity) if severity in counted}
