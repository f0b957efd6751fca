"""What templates need: the words of tasks.views.words, our icons, and whether a worker answers."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.core.cache import cache
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString

from tasks.alerts.finding import open_by_severity
from tasks.attention import Need
from tasks.models import Severity, Task
from tasks.views import charts, htmx, words, workers
from tasks.views.icons import icon

register = template.Library()
for _name in (
    "number",
    "size",
    "duration",
    "milliseconds",
    "lag",
    "ago",
    "since",
    "until",
    "exact",
    "to_the_millisecond",
):
    register.filter(_name, getattr(words, _name))
register.simple_tag(icon)


@register.simple_tag
def silence() -> workers.Silence | None:
    """Say since when no worker answers; None while one does. As of this second: each page asks."""
    return cache.get_or_set("silence", lambda: (workers.silence(),), 1)[0]


@register.simple_tag
def open_alerts() -> dict[Severity, int]:
    """Say how many alerts are open, by severity, the gravest first. As of this second: each page asks."""
    found: dict[Severity, int] = cache.get_or_set("open-alerts", open_by_severity, 1)
    return found


@register.simple_tag(takes_context=True)
def live_region(context: Context, name: str) -> SafeString:
    """Show partials/<name>.html as a region that a poll keeps true."""
    region = htmx.region(context.get("request"), name, f"tasks/partials/{name}.html", {})
    return format_html('<div id="{}" data-version="{}">{}</div>', name, region["version"], region["html"])


@register.simple_tag
def needed(need: Need, task: Task) -> str:
    """Say what is the matter with a task that has `need`."""
    return need.why(task)


@register.filter
def is_old(at: datetime | None) -> bool:
    return workers.is_old(at)


@register.filter
def in_unit(value: float | None, unit: str) -> str:
    return charts.shown(value, unit)
