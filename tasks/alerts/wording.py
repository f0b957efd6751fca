"""What an alert says, on a page, in a message and in the history."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urljoin

from django.conf import settings

from tasks.alerts.metrics import METRICS, How
from tasks.models import Alert, AlertMetric, AlertRule, Comparison, NoticeKind, Severity, Task


def amount(value: float, unit: str) -> str:
    """95.4, "s" -> 95 s. What is less than ten keeps a decimal."""
    if unit == "s":
        return _seconds(value)
    if unit == "ms" and value >= 10_000:
        return _seconds(value / 1000)
    text = f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:,.1f}"
    singular = {"rows": "row", "times": "time", "intervals": "interval"}
    return f"{text} {singular.get(unit, unit) if value == 1 else unit}".strip()


def _seconds(value: float) -> str:
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if value >= 2 * seconds or (value >= seconds and value % seconds == 0):
            number = value / seconds
            return f"{number:.0f} {unit}" if number == int(number) or number >= 10 else f"{number:.1f} {unit}"
    return f"{value:.0f} s" if value >= 10 or value == int(value) else f"{value:.1f} s"


def condition(rule: AlertRule | Alert) -> str:
    """Return what breaks the rule: "Task delay: more than 60 s, for 2 min"."""
    metric = METRICS[rule.metric]
    text = metric.label
    if metric.threshold is not None:
        text += f": {Comparison(rule.comparison).label} {amount(rule.threshold, metric.unit)}"
    if metric.window is not None and rule.window:
        text += f", {'over' if metric.averages else 'for'} {_seconds(rule.window)}"
    return text


def finding(alert: Alert) -> str:
    """Return what was seen when it was last looked at: "Task delay: 95 s, more than 60 s"."""
    metric = METRICS[alert.metric]
    if metric.how is How.EXCEPTION:
        return f"{metric.label}: it runs, but with an error."
    if metric.threshold is None:
        return f"{metric.label}."
    limit = f"{Comparison(alert.comparison).label} {amount(alert.threshold, metric.unit)}"
    return f"{metric.label}: {amount(alert.value, metric.unit)}, {limit}."


def worst(alert: Alert) -> str:
    """Return the worst that was seen; empty of what is the case or is not."""
    metric = METRICS[alert.metric]
    return amount(alert.worst, metric.unit) if metric.threshold is not None else ""


def link(path: str) -> str:
    """Return the whole address of a page; empty where the console was not told under which address people reach it."""
    return urljoin(settings.OPS_URL, path) if settings.OPS_URL else ""


def subject(alert: Alert, task: Task, kind: NoticeKind) -> str:
    label = AlertMetric(alert.metric).label
    if kind is NoticeKind.RESOLVED:
        return f"[resolved] {task.name}: {label}"
    still = "still open: " if kind is NoticeKind.REMINDER else ""
    return f"[{Severity(alert.severity).label.lower()}] {still}{task.name}: {label}"


def body(alert: Alert, task: Task, kind: NoticeKind, now: datetime) -> str:
    """Return the message; each line says one thing, so that it reads well on a telephone."""
    lines = [finding(alert) if kind is not NoticeKind.RESOLVED else f"Resolved. {alert.resolve_reason}".strip()]
    if task.fault_cause and kind is not NoticeKind.RESOLVED:
        lines.append(f"{task.fault_cause} {task.fault_advice}".strip())
    lines += [
        "",
        f"Task: {task.name} ({task.get_status_display()}, group {task.group_id})",
        f"Rule: {alert.rule_name}: {condition(alert)}",
        f"Severity: {Severity(alert.severity).label}",
        f"Since: {alert.opened_at:%Y-%m-%d %H:%M:%S} UTC, {_seconds((now - alert.opened_at).total_seconds() // 1)} ago",
    ]
    if kind is NoticeKind.RESOLVED and worst(alert):
        lines.append(f"At its worst: {worst(alert)}")
    pages = (("Alert", alert.get_absolute_url()), ("Task", task.get_absolute_url()))
    lines += [f"{label}: {address}" for label, path in pages if (address := link(path))]
    return "\n".join(lines)
