"""Alert rules and recipients; alerts and messages to read. A channel's address is never shown, only replaced."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from tasks.admin.history import ReadOnlyAdmin
from tasks.alerts import notices, wording
from tasks.alerts.addresses import LONGEST, AddressInvalid, service_of
from tasks.alerts.rules import delete_rules
from tasks.models import Alert, AlertRule, Notification, RecipientChannel, RecipientGroup
from tasks.rule_forms import RuleForm
from tasks.submission.alert_writing import save_plan


@admin.register(AlertRule)
class AlertRuleAdmin(admin.ModelAdmin):
    form = RuleForm
    list_display = ("name", "enabled", "severity", "condition", "scope")
    list_filter = ("enabled", "severity", "metric")
    search_fields = ("name", "description")
    list_per_page = 50
    actions = ("send_test",)
    fieldsets = (
        (None, {"fields": ("name", "description", "enabled", "severity")}),
        ("When", {"fields": ("metric", "comparison", "threshold", "window", "resolve_after", "scope", "names")}),
        ("Who is told", {"fields": ("to_owner", "people", "groups", "interval", "cap", "cap_period", "quiet", "zone")}),
    )

    @admin.display(description="when")
    def condition(self, rule: AlertRule) -> str:
        return wording.condition(rule)

    def save_model(self, request: HttpRequest, obj: AlertRule, form: Any, change: bool) -> None:
        stored = AlertRule.objects.get(pk=obj.pk) if change else None
        obj.pk = save_plan(form.cleaned_data["plan"], stored, request.user.get_username()).pk

    def delete_model(self, request: HttpRequest, obj: AlertRule) -> None:
        delete_rules([obj], request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AlertRule]) -> None:
        delete_rules(queryset, request.user.get_username())

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        to_delete, count, _, protected = super().get_deleted_objects(objs, request)
        # What waits for a rule goes with it; the right to delete the rule decides.
        lacking = set() if self.has_delete_permission(request) else {"alert rule"}
        return to_delete, count, lacking, protected

    @admin.action(description="Send a test message of the selected rules", permissions=["change"])
    def send_test(self, request: HttpRequest, rules: QuerySet[AlertRule]) -> None:
        sent = [message for rule in rules.order_by("pk")[:20] for message in notices.send_test(rule, request.user)]
        _say_sent(self, request, sent)


def _say_sent(model_admin: Any, request: HttpRequest, sent: list[Notification]) -> None:
    if sent:
        model_admin.message_user(request, f"{len(sent)} messages are on the way; Notifications shows their outcome.")
    else:
        model_admin.message_user(request, "Nobody is named there: no message was sent.", messages.WARNING)


class ChannelForm(forms.ModelForm):
    url = forms.CharField(
        label="Address",
        required=False,
        max_length=LONGEST,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "size": 60}),
        help_text="As apprise writes it: slack://…, json://host/path. Stored encrypted and never shown again; leave it "
        "empty to keep what is stored.",
    )

    class Meta:
        model = RecipientChannel
        fields = ("name",)

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if not url and not self.instance.pk:
            raise forms.ValidationError("A new channel needs its address.")
        if url:
            try:
                self.instance.service = service_of(url)
            except AddressInvalid as error:
                raise forms.ValidationError(str(error)) from None
            self.instance.set_url(url)
        return url


class ChannelInline(admin.TabularInline):
    model = RecipientChannel
    form = ChannelForm
    fields = ("name", "service", "url")
    readonly_fields = ("service",)
    extra = 1


@admin.register(RecipientGroup)
class RecipientGroupAdmin(admin.ModelAdmin):
    list_display = ("name", "description", "rules_told")
    search_fields = ("name", "description")
    list_per_page = 50
    fields = ("name", "description", "people")
    filter_horizontal = ("people",)
    inlines = (ChannelInline,)
    actions = ("send_test",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[RecipientGroup]:
        return super().get_queryset(request).prefetch_related("rules")

    @admin.display(description="told by rules")
    def rules_told(self, group: RecipientGroup) -> str:
        return ", ".join(rule.name for rule in group.rules.all()) or "-"

    @admin.action(description="Send a test message to the selected groups", permissions=["change"])
    def send_test(self, request: HttpRequest, groups: QuerySet[RecipientGroup]) -> HttpResponse | None:
        sent = [message for group in groups.order_by("pk")[:20] for message in notices.send_test(group, request.user)]
        _say_sent(self, request, sent)
        return None


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    list_display = ("opened_at", "severity", "task", "rule_name", "metric", "acknowledged_by", "resolved_at")
    list_filter = ("severity", "metric")
    list_select_related = ("task",)
    search_fields = ("task__name", "rule_name")


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "recipient", "via", "subject", "state", "attempts", "error")
    list_filter = ("kind", "state")
    search_fields = ("recipient", "subject")
    exclude = ("channel", "claimed_by")
