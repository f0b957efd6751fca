"""Alert rules and those who are told: lists, the editor with its preview, test messages."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import Count, Max, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from tasks.alerts import notices, quiet, wording
from tasks.alerts.metrics import METRICS, Metric
from tasks.alerts.preview import Preview, preview
from tasks.alerts.rules import FIELDS, delete_rules, save_rule
from tasks.models import AlertRule, NoticeKind, Notification, RecipientGroup, Scope, Severity
from tasks.rule_forms import RuleForm
from tasks.submission import RulePlan
from tasks.submission.alert_writing import save_plan
from tasks.tables import page_of
from tasks.views import htmx
from tasks.views.access import may_view
from tasks.views.addresses import whole_number
from tasks.views.alerts import message_row

_SHOWN: Final = 20


def _must(request: HttpRequest, act: str) -> None:
    may_view(request)
    if not request.user.has_perm(f"tasks.{act}_alertrule"):
        raise PermissionDenied(f"You may not {act} alert rules. Ask an administrator for the right.")


def _rule(rule_id: int) -> AlertRule:
    rule = AlertRule.objects.filter(pk=rule_id).first()
    if rule is None:
        raise Http404("There is no such rule.")
    return rule


def _log(request: HttpRequest, rule: AlertRule, flag: int, text: str) -> None:
    """Into the journal that the admin keeps, where its own changes stand too."""
    LogEntry.objects.log_actions(request.user.pk, [rule], flag, change_message=text, single_object=True)


# --- lists ------------------------------------------------------------------------------------------------


@require_GET
def rule_list(request: HttpRequest) -> HttpResponse:
    may_view(request)
    rules = AlertRule.objects.annotate(
        open=Count("alerts", filter=Q(alerts__resolved_at__isnull=True)), last=Max("alerts__opened_at")
    ).prefetch_related("people", "groups")
    page = page_of(rules.order_by("name", "pk"), request.GET.get("page", ""), 50)
    context = {
        "rows": [_row(rule) for rule in page.object_list],
        "page": page,
        "may_add": request.user.has_perm("tasks.add_alertrule"),
        "may_change": request.user.has_perm("tasks.change_alertrule"),
    }
    return render(request, "tasks/alert_rules.html", context)


def _row(rule: Any) -> dict[str, Any]:
    return {
        "it": rule,
        "severity": Severity(rule.severity),
        "condition": wording.condition(rule),
        "scope": scope_words(rule),
        "told": [
            *(["the owner"] if rule.to_owner else []),
            *(person.get_username() for person in rule.people.all()),
            *(group.name for group in rule.groups.all()),
        ],
    }


def scope_words(rule: AlertRule) -> str:
    label = str(Scope(rule.scope).label)
    if rule.scope == Scope.ALL:
        return label
    more = f" and {len(rule.names) - 3} more" if len(rule.names) > 3 else ""
    return f"{label}: {', '.join(rule.names[:3])}{more}"


@require_GET
def recipient_list(request: HttpRequest) -> HttpResponse:
    """Who can be told, and what came of the latest messages to them."""
    may_view(request)
    groups = RecipientGroup.objects.prefetch_related("people", "channels", "rules").order_by("name", "pk")
    page = page_of(groups, request.GET.get("page", ""), 25)
    tests = Notification.objects.filter(kind=NoticeKind.TEST).order_by("-pk")[:_SHOWN]
    context = {
        "page": page,
        "groups": page.object_list,
        "tests": [message_row(message) for message in tests],
        "may_test": request.user.has_perm("tasks.change_alertrule"),
        "may_change": request.user.is_staff and request.user.has_perm("tasks.change_recipientgroup"),
    }
    return render(request, "tasks/recipients.html", context)


# --- the editor -------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
def new_rule(request: HttpRequest) -> HttpResponse:
    """First its metric is chosen, then the questions that this one needs are asked."""
    _must(request, "add")
    copied = AlertRule.objects.filter(pk=whole_number(request.GET.get("copy", ""))).first()
    code = copied.metric if copied else request.POST.get("metric") or request.GET.get("metric", "")
    if code not in METRICS:
        return render(request, "tasks/alert_metrics.html", {"metrics": list(METRICS.values())})
    metric = METRICS[code]
    form = RuleForm(request.POST or None, metric=metric, copied=copied)
    return _edit(request, form, metric, None)


@require_http_methods(["GET", "HEAD", "POST"])
def edit_rule(request: HttpRequest, rule_id: int) -> HttpResponse:
    may_view(request)
    rule = _rule(rule_id)
    if request.method == "POST":
        _must(request, "change")
    metric = METRICS[rule.metric]
    return _edit(request, RuleForm(request.POST or None, instance=rule, metric=metric), metric, rule)


def _edit(request: HttpRequest, form: RuleForm, metric: Metric, rule: AlertRule | None) -> HttpResponse:
    wants_preview = "preview" in request.POST
    is_valid = form.is_bound and form.is_valid()
    if is_valid and not wants_preview:
        try:
            saved = save_plan(form.cleaned_data["plan"], rule, request.user.get_username())
        except IntegrityError:
            form.add_error("name", "There is a rule of this name already.")
        except AlertRule.DoesNotExist:
            raise Http404("This rule was deleted meanwhile.") from None
        else:
            changed = ", ".join(form.changed_data) or "nothing"
            _log(request, saved, CHANGE if rule else ADDITION, f"In the console: {changed}.")
            messages.success(request, f"Rule {saved.name} is saved; the worker looks at it within seconds.")
            return redirect("tasks:alert_rules")
    told = preview(_unsaved(form.cleaned_data["plan"], rule), timezone.now()) if is_valid and wants_preview else None
    context = _editor(request, form, metric, rule, told)
    status = 422 if form.is_bound and form.errors else 200
    if wants_preview and htmx.wants_fragment(request):
        return render(request, "tasks/partials/rule_preview.html", context, status=status)
    return render(request, "tasks/alert_rule.html", context, status=status)


def _unsaved(plan: RulePlan, rule: AlertRule | None) -> AlertRule:
    values = {name: value for name, value in asdict(plan).items() if name in FIELDS}
    return AlertRule(pk=rule.pk if rule else None, **values)


def _editor(
    request: HttpRequest, form: RuleForm, metric: Metric, rule: AlertRule | None, told: Preview | None
) -> dict[str, Any]:
    return {
        "form": form,
        "metric": metric,
        "rule": rule,
        "preview": told,
        "firings": [
            {"it": firing, "value": wording.amount(firing.value, metric.unit or "s")}
            for firing in (told.firings[:_SHOWN] if told else [])
        ],
        "tasks_told": len({firing.task_id for firing in told.firings}) if told else 0,
        "may_save": request.user.has_perm(f"tasks.{'change' if rule else 'add'}_alertrule"),
        "may_delete": rule is not None and request.user.has_perm("tasks.delete_alertrule"),
        "may_copy": rule is not None and request.user.has_perm("tasks.add_alertrule"),
        "quiet_now": _quiet_now(rule) if rule else None,
    }


def _quiet_now(rule: AlertRule) -> Any:
    return quiet.quiet_until(rule.quiet, rule.zone, timezone.now())


# --- single acts ------------------------------------------------------------------------------------------


@require_POST
def toggle_rule(request: HttpRequest, rule_id: int) -> HttpResponse:
    """Turn a rule on or off, as the form says: pressed twice, it stays so."""
    _must(request, "change")
    rule = _rule(rule_id)
    enabled = request.POST.get("enabled") == "1"
    if rule.enabled != enabled:
        save_rule(
            rule.pk,
            {"enabled": enabled},
            people=rule.people.all(),
            groups=rule.groups.all(),
            actor_name=request.user.get_username(),
        )
        _log(request, rule, CHANGE, f"In the console: turned {'on' if enabled else 'off'}.")
    messages.success(request, f"Rule {rule.name} is {'on' if enabled else 'off; its open alerts are resolved'}.")
    return redirect("tasks:alert_rules")


@require_http_methods(["GET", "HEAD", "POST"])
def delete_rule(request: HttpRequest, rule_id: int) -> HttpResponse:
    _must(request, "delete")
    rule = _rule(rule_id)
    if request.method != "POST":
        still = rule.alerts.filter(resolved_at__isnull=True).count()
        return render(request, "tasks/alert_rule_delete.html", {"rule": rule, "open": still})
    _log(request, rule, DELETION, "In the console.")
    delete_rules([rule], request.user.get_username())
    messages.success(request, f"Rule {rule.name} is deleted.")
    return redirect("tasks:alert_rules")


@require_POST
def test_rule(request: HttpRequest, rule_id: int) -> HttpResponse:
    """Put a message to everybody whom the rule names into the outbox."""
    _must(request, "change")
    return _tested(request, notices.send_test(_rule(rule_id), request.user))


@require_POST
def test_recipients(request: HttpRequest, group_id: int) -> HttpResponse:
    _must(request, "change")
    group = RecipientGroup.objects.filter(pk=group_id).first()
    if group is None:
        raise Http404("There is no such recipient group.")
    return _tested(request, notices.send_test(group, request.user))


def _tested(request: HttpRequest, sent: list[Notification]) -> HttpResponse:
    if sent:
        count = f"{len(sent)} test message{'' if len(sent) == 1 else 's'}"
        messages.success(request, f"{count} on the way; what came of each is shown below.")
    else:
        messages.error(request, "Nobody is named there: no message was sent.")
    return redirect("tasks:recipients")
