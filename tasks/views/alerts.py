"""Alerts: the list, one alert with its life and its messages, and what people do about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from tasks.alerts import life, wording
from tasks.alerts.finding import STATES, AlertFilter
from tasks.matrix import OPERATE
from tasks.models import Alert, AlertEventKind, AlertRule, NoticeKind, NoticeState, Severity, Task
from tasks.snapshots import moment
from tasks.statuses import Status, Tone
from tasks.tables import page_of
from tasks.views import htmx
from tasks.views.access import may_view, viewable_task, way_back
from tasks.views.detail import shell
from tasks.views.ranges import RANGES, TimeRange, read_range

PER_PAGE: Final = 50
_EVENTS: Final = 100
_MESSAGES: Final = 100
_LONGEST_NOTE: Final = 1_000
#: How long a silence may be chosen to last, in seconds.
SILENCES: Final = {"30m": ("30 min", 1_800), "2h": ("2 h", 7_200), "8h": ("8 h", 28_800), "1d": ("1 day", 86_400)}
_LONGEST_SILENCE: Final = timedelta(days=90)


def row_of(alert: Alert, now: datetime) -> dict[str, Any]:
    """Return what a list shows of an alert; ready words, so that the template has little to do."""
    return {
        "it": alert,
        "severity": Severity(alert.severity),
        "finding": wording.finding(alert),
        "condition": wording.condition(alert),
        "state": _state(alert, now),
        "failed": getattr(alert, "failed", 0),
        "sent": getattr(alert, "sent", 0),
    }


def _state(alert: Alert, now: datetime) -> dict[str, Any]:
    """Return in one word where an alert stands, and its tone."""
    if alert.resolved_at is not None:
        return {"code": "resolved", "label": "Resolved", "tone": Tone.GOOD}
    if alert.acknowledged_at is not None:
        return {"code": "acknowledged", "label": "Acknowledged", "tone": Tone.PROGRESS}
    if alert.silenced_until is not None and alert.silenced_until > now:
        return {"code": "silenced", "label": "Silenced", "tone": Tone.NEUTRAL}
    return {"code": "open", "label": "Open", "tone": Tone.BAD}


def shown_alerts() -> Any:
    failed = Count("notifications", filter=Q(notifications__state=NoticeState.FAILED))
    return Alert.objects.select_related("task", "rule").annotate(failed=failed, sent=Count("notifications"))


@require_GET
def alert_list(request: HttpRequest) -> HttpResponse:
    may_view(request)
    asked = AlertFilter.read(request.GET)
    chosen = _range(request)
    now = timezone.now()
    found = asked.apply(shown_alerts(), now).order_by("-opened_at", "-pk")
    if chosen is not None:
        found = found.filter(opened_at__gte=moment(chosen.begin), opened_at__lt=moment(chosen.end + 1))
    query = "&".join(part for part in (asked.query(), chosen.query if chosen else "") if part)
    page = page_of(found, request.GET.get("page", ""), PER_PAGE)
    context = {
        "asked": asked,
        "chosen": chosen,
        "query": query,
        "page": page,
        "rows": [row_of(alert, now) for alert in page.object_list],
        "may_operate": request.user.has_perm(OPERATE),
    }
    region = htmx.region(request, "alert_list", "tasks/partials/alert_list.html", context)
    if htmx.wants_fragment(request):
        return htmx.no_change() if _is_shown(request, region) else _region(request, region)
    rules = AlertRule.objects.order_by("name").values_list("name", flat=True)[:200]
    context |= {"region": region, "states": STATES, "severities": list(Severity), "rules": list(rules)}
    context["ranges"] = [(name, label) for name, (label, _) in RANGES.items()]
    return render(request, "tasks/alerts.html", context)


def _range(request: HttpRequest) -> TimeRange | None:
    if not any(request.GET.get(name) for name in ("range", "from", "to")):
        return None
    return read_range(request.GET, time.time(), "24h")


def _is_shown(request: HttpRequest, region: dict[str, Any]) -> bool:
    return htmx.shown(request).get(region["id"]) == region["version"]


def _region(request: HttpRequest, region: dict[str, Any]) -> HttpResponse:
    return render(request, "tasks/partials/region.html", {"region": region})


def _viewable_alert(request: HttpRequest, alert_id: int) -> Alert:
    may_view(request)
    alert = shown_alerts().filter(pk=alert_id).first()
    if alert is None:
        raise Http404("There is no such alert; resolved ones are forgotten after a while, and with their task.")
    found: Alert = alert
    return found


@require_GET
def alert_page(request: HttpRequest, alert_id: int) -> HttpResponse:
    """What is the matter, what can be done about it, and what was; for htmx the parts that changed."""
    alert = _viewable_alert(request, alert_id)
    names = ("alert_head", "alert_life")
    told = _context(alert)
    is_poll = htmx.wants_fragment(request)
    regions = [htmx.region(request, name, f"tasks/partials/{name}.html", told, oob=is_poll) for name in names]
    if is_poll:
        changed = [region for region in regions if not _is_shown(request, region)]
        return render(request, "tasks/partials/accepted.html", {"regions": changed}) if changed else htmx.no_change()
    context = {
        "alert": alert,
        "regions": regions,
        "silences": [(code, label) for code, (label, _) in SILENCES.items()],
        "may_operate": request.user.has_perm(OPERATE),
        "is_silenced": life.is_silenced(alert, timezone.now()),
    }
    return render(request, "tasks/alert.html", context)


def _context(alert: Alert) -> dict[str, Any]:
    sent = alert.notifications.order_by("-pk")[:_MESSAGES]
    return {
        **row_of(alert, timezone.now()),
        "alert": alert,
        "task": alert.task,
        "status": Status(alert.task.status),
        "worst": wording.worst(alert),
        "events": [
            {"it": event, "label": AlertEventKind(event.kind).label} for event in alert.events.order_by("-pk")[:_EVENTS]
        ],
        "messages_sent": [message_row(message) for message in sent],
    }


_STATE_TONES: Final = {
    NoticeState.PENDING: Tone.PROGRESS,
    NoticeState.SENDING: Tone.PROGRESS,
    NoticeState.SENT: Tone.GOOD,
    NoticeState.FAILED: Tone.BAD,
}


def message_row(message: Any) -> dict[str, Any]:
    state = NoticeState(message.state)
    return {"it": message, "kind": NoticeKind(message.kind).label, "state": state.label, "tone": _STATE_TONES[state]}


@require_GET
def task_alerts(request: HttpRequest, task_id: int) -> HttpResponse:
    """The tab of a task: what is open, and what was."""
    task = viewable_task(request, task_id)
    now = timezone.now()
    page = page_of(shown_alerts().filter(task=task).order_by("-opened_at", "-pk"), request.GET.get("page", ""))
    context = {
        "rows": [row_of(alert, now) for alert in page.object_list],
        "page": page,
        "covering": _rules_for(task),
        "may_operate": request.user.has_perm(OPERATE),
        "query": "",
    }
    return render(request, "tasks/task_alerts.html", shell(request, task, "alerts", **context))


def _rules_for(task: Task) -> list[dict[str, Any]]:
    rules = [rule for rule in AlertRule.objects.order_by("name")[:500] if life.covers(rule, task)]
    return [{"it": rule, "condition": wording.condition(rule), "severity": Severity(rule.severity)} for rule in rules]


# --- what people do ---------------------------------------------------------------------------------------


@require_POST
def alert_act(request: HttpRequest, alert_id: int, act: str) -> HttpResponse:
    """Acknowledge, silence, or take either back; then back to where it was asked for."""
    alert = _viewable_alert(request, alert_id)
    if not request.user.has_perm(OPERATE):
        raise PermissionDenied("You may not acknowledge or silence alerts. Ask for the right to operate tasks.")
    if act not in _ACTS:
        raise Http404("There is no such act.")
    try:
        said = _ACTS[act](request, alert)
    except (life.AlertOver, ValueError) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, said)
    return redirect(way_back(request, alert.get_absolute_url()))


def _acknowledge(request: HttpRequest, alert: Alert) -> str:
    note = request.POST.get("note", "").replace("\0", "").strip()
    if len(note) > _LONGEST_NOTE:
        raise ValueError(f"note: it has {len(note)} characters; {_LONGEST_NOTE} is the most. Nothing was done.")
    life.acknowledge(alert.pk, request.user.get_username(), note)
    return f"Acknowledged: nobody is reminded of “{alert}” any more."


def _unacknowledge(request: HttpRequest, alert: Alert) -> str:
    life.unacknowledge(alert.pk, request.user.get_username())
    return "The acknowledgement is taken back: those whom the rule names are told again."


def _silence(request: HttpRequest, alert: Alert) -> str:
    until = _until(request.POST.get("for", ""), request.POST.get("until", "").strip(), timezone.now())
    life.silence(alert.pk, request.user.get_username(), until)
    return f"Silenced until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC."


def _until(length: str, until: str, now: datetime) -> datetime:
    """Return when a silence ends. Raises ValueError with a sentence."""
    if not until:
        if length not in SILENCES:
            raise ValueError(f"for: a silence lasts {', '.join(SILENCES)}, or give its end. Nothing was done.")
        return now + timedelta(seconds=SILENCES[length][1])
    try:
        at = datetime.fromisoformat(until)
    except ValueError:
        raise ValueError(f"until: {until[:40]!r} is no time; write it as 2026-01-31T14:05, in UTC.") from None
    at = at if at.tzinfo else timezone.make_aware(at)
    if not now < at <= now + _LONGEST_SILENCE:
        raise ValueError("until: the end must be in the future, at most 90 days away. Nothing was done.")
    return at


def _unsilence(request: HttpRequest, alert: Alert) -> str:
    life.unsilence(alert.pk, request.user.get_username())
    return "The silence is over."


_ACTS: Final[dict[str, Callable[[HttpRequest, Alert], str]]] = {
    "acknowledge": _acknowledge,
    "unacknowledge": _unacknowledge,
    "silence": _silence,
    "unsilence": _unsilence,
}
