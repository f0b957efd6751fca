"""What is worth an alert, of which tasks, and who is told how often."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from tasks.models.fields import decrypt, encrypt, name_validator, one_of
from tasks.statuses import Tone


class Severity(models.TextChoices):
    NORMAL = "normal", "Normal"
    IMPORTANT = "important", "Important"
    URGENT = "urgent", "Urgent"

    @property
    def tone(self) -> Tone:
        return {Severity.NORMAL: Tone.PROGRESS, Severity.IMPORTANT: Tone.HELD, Severity.URGENT: Tone.BAD}[self]


class AlertMetric(models.TextChoices):
    """What a rule looks at; `tasks.alerts.metrics` says what each means."""

    TASK_FAILURE = "task_failure", "Task failure"
    RUN_TIMEOUT = "run_timeout", "Run timeout"
    TASK_STOPPED = "task_stopped", "Task stopped"
    TASK_PAUSED = "task_paused", "Task paused"
    READ_SPEED = "read_speed", "Read speed"
    WRITE_SPEED = "write_speed", "Write speed"
    READ_THROUGHPUT = "read_throughput", "Read throughput"
    WRITE_THROUGHPUT = "write_throughput", "Write throughput"
    DIRTY_BYTES = "dirty_bytes", "Dirty bytes"
    DIRTY_ROWS = "dirty_rows", "Dirty rows"
    TASK_EXCEPTION = "task_exception", "Task exception"
    DETECTION_EXCEPTION = "detection_exception", "Task detection exception"
    RESTARTS_10M = "restarts_10m", "Restarts in 10 minutes"
    RESTARTS_20M = "restarts_20m", "Restarts in 20 minutes"
    TASK_DELAY = "task_delay", "Task delay"
    TRANSFER_LATENCY = "transfer_latency", "Transfer latency"
    BUSINESS_LATENCY = "business_latency", "Business latency"
    NO_SNAPSHOT = "no_snapshot", "No snapshot"
    NO_PROGRESS = "no_progress", "No progress"
    NOT_HEARD = "not_heard", "Status not heard of"
    PAUSED_LONG = "paused_long", "Paused for long"


class Comparison(models.TextChoices):
    ABOVE = "above", "more than"
    BELOW = "below", "less than"


class Scope(models.TextChoices):
    """Which tasks a rule is for; `names` lists tasks, groups or owners."""

    ALL = "all", "All tasks"
    TASKS = "tasks", "Listed tasks"
    GROUPS = "groups", "Tasks of resource groups"
    OWNERS = "owners", "Tasks of owners"


class RecipientGroup(models.Model):
    """People, told by e-mail, and channels: chats, pagers, HTTP receivers."""

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    description = models.TextField(blank=True)
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=~Q(name=""), name="recipient_group_name_given")]

    def __str__(self) -> str:
        return self.name


class RecipientChannel(models.Model):
    """An address that apprise understands. It mostly holds a token, so it is encrypted and never shown again."""

    group = models.ForeignKey(RecipientGroup, on_delete=models.CASCADE, related_name="channels")
    name = models.CharField(max_length=100, validators=[name_validator])
    service = models.CharField(max_length=100, editable=False)  # as people call it: Slack, JSON
    url_token = models.TextField(editable=False)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["group", "name"], name="recipient_channel_once"),
            models.CheckConstraint(condition=~Q(url_token=""), name="recipient_channel_has_address"),
        ]

    def __str__(self) -> str:
        return f"{self.group.name}: {self.name}"

    def set_url(self, url: str) -> None:
        self.url_token = encrypt(url)

    def url(self) -> str:
        """Return the address. Raises SecretUnreadable when OPS_SECRET_KEY has changed since it was stored."""
        return decrypt(self.url_token)


class AlertRule(models.Model):
    """Tasks, groups and owners are listed by name: one that is submitted again under its name is covered again."""

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    description = models.TextField(blank=True)
    enabled = models.BooleanField(default=True)
    enabled_at = models.DateTimeField(default=timezone.now, editable=False)  # what stopped before is no news
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.IMPORTANT)

    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.ALL)
    names = models.JSONField(default=list, blank=True)

    metric = models.CharField(max_length=30, choices=AlertMetric.choices)
    comparison = models.CharField(max_length=10, choices=Comparison.choices, default=Comparison.ABOVE)
    threshold = models.FloatField(default=0.0, help_text="In the metric's unit.")
    window = models.PositiveIntegerField(
        default=60, validators=[MaxValueValidator(86_400)], help_text="Seconds that it must last, or is averaged over."
    )
    resolve_after = models.PositiveIntegerField(
        default=60, validators=[MaxValueValidator(86_400)], help_text="Seconds that all must be well to resolve it."
    )

    interval = models.PositiveIntegerField(
        default=3_600, validators=[MaxValueValidator(2_592_000)], help_text="Seconds between reminders; 0: none."
    )
    cap = models.PositiveIntegerField(default=60, help_text="The most that is told per period; 0: no limit.")
    cap_period = models.PositiveIntegerField(
        default=3_600, validators=[MaxValueValidator(2_592_000)], help_text="Seconds."
    )
    quiet = models.JSONField(default=list, blank=True)  # [{"days": [0..6 from Monday], "from": "22:00", "to": "06:00"}]
    zone = models.CharField(max_length=64, default="UTC")  # of the quiet hours
    to_owner = models.BooleanField(default=False)
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    groups = models.ManyToManyField(RecipientGroup, blank=True, related_name="rules")

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="alert_rule_name_given"),
            one_of("severity", Severity, name="alert_rule_severity_known"),
            one_of("scope", Scope, name="alert_rule_scope_known"),
            one_of("metric", AlertMetric, name="alert_rule_metric_known"),
            one_of("comparison", Comparison, name="alert_rule_comparison_known"),
            models.CheckConstraint(condition=Q(threshold__gte=0), name="alert_rule_threshold_positive"),
            models.CheckConstraint(condition=Q(cap=0) | Q(cap_period__gte=1), name="alert_rule_cap_has_period"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("tasks:alert_rule", args=[self.pk])
