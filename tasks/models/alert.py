"""An alert from its first sight to its end, and all that was told about it: the outbox."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from tasks.models.alert_rule import AlertMetric, AlertRule, Comparison, RecipientChannel, Severity
from tasks.models.fields import one_of
from tasks.models.task import Task


class AlertPending(models.Model):
    """A rule's condition was seen, but not yet for as long as the rule asks."""

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="+", db_index=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["rule", "task"], name="alert_pending_once")]

    def __str__(self) -> str:
        return f"{self.rule_id} of {self.task_id}"


class Alert(models.Model):
    """One rule broken by one task. It keeps the rule's words, which may change or go while it is told about."""

    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.SET_NULL, related_name="alerts", db_index=False)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="alerts", db_index=False)
    rule_name = models.CharField(max_length=100)
    severity = models.CharField(max_length=10, choices=Severity.choices)
    metric = models.CharField(max_length=30, choices=AlertMetric.choices)
    comparison = models.CharField(max_length=10, choices=Comparison.choices)
    threshold = models.FloatField()
    window = models.PositiveIntegerField()

    opened_at = models.DateTimeField()
    times = models.PositiveIntegerField(default=1)  # opened anew soon after it had resolved
    value = models.FloatField()  # when last seen
    worst = models.FloatField()
    seen_at = models.DateTimeField()
    clear_since = models.DateTimeField(null=True)  # it looks well, but not yet for long enough
    resolved_at = models.DateTimeField(null=True)
    resolve_reason = models.TextField(blank=True)

    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    note = models.TextField(blank=True)
    silenced_until = models.DateTimeField(null=True)
    silenced_by = models.CharField(max_length=150, blank=True)

    rounds = models.PositiveIntegerField(default=0)  # of notifications
    told = models.BooleanField(default=False)  # somebody was told that it is open, and not yet that it is over
    last_told_at = models.DateTimeField(null=True)
    next_notice_at = models.DateTimeField(null=True)
    held_by = models.TextField(blank=True)  # why the next notice waits: quiet hours, the cap

    class Meta:
        ordering = ["-opened_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "task"], condition=Q(resolved_at__isnull=True), name="alert_one_open_a_rule_and_task"
            ),
            one_of("severity", Severity, name="alert_severity_known"),
            one_of("metric", AlertMetric, name="alert_metric_known"),
            one_of("comparison", Comparison, name="alert_comparison_known"),
            models.CheckConstraint(
                condition=Q(resolved_at__isnull=True) | Q(next_notice_at__isnull=True), name="alert_resolved_is_quiet"
            ),
        ]
        indexes = [
            models.Index(fields=["-opened_at", "-id"], name="alert_by_time"),
            models.Index(fields=["task", "-opened_at"], name="alert_of_task"),
            models.Index(fields=["rule", "-opened_at"], name="alert_of_rule"),
            models.Index(fields=["rule"], condition=Q(resolved_at__isnull=True), name="alert_open"),
            models.Index(fields=["next_notice_at"], condition=Q(next_notice_at__isnull=False), name="alert_notice_due"),
            models.Index(fields=["resolved_at"], condition=Q(resolved_at__isnull=False), name="alert_resolved"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_name} of {self.task_id}"

    def get_absolute_url(self) -> str:
        return reverse("tasks:alert", args=[self.pk])


class AlertEventKind(models.TextChoices):
    OPENED = "opened", "Opened"
    REOPENED = "reopened", "Opened anew"
    TOLD = "told", "Told"
    HELD = "held", "Held back"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    UNACKNOWLEDGED = "unacknowledged", "Acknowledgement taken back"
    SILENCED = "silenced", "Silenced"
    UNSILENCED = "unsilenced", "Silence ended"
    RESOLVED = "resolved", "Resolved"


class AlertEvent(models.Model):
    """Append-only: the life of an alert."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="events", db_index=False)
    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    at = models.DateTimeField()
    kind = models.CharField(max_length=20, choices=AlertEventKind.choices)
    actor_name = models.CharField(max_length=150)
    text = models.TextField(blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [one_of("kind", AlertEventKind, name="alert_event_kind_known")]
        indexes = [
            models.Index(fields=["alert", "-id"], name="alert_event_of_alert"),
            models.Index(fields=["-at", "-id"], name="alert_event_by_time"),
            models.Index(fields=["rule", "at"], condition=Q(kind="told"), name="alert_event_told"),  # for the cap
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"


class NoticeKind(models.TextChoices):
    OPENED = "opened", "Opened"
    REMINDER = "reminder", "Still open"
    RESOLVED = "resolved", "Resolved"
    TEST = "test", "Test"


class NoticeState(models.TextChoices):
    PENDING = "pending", "waiting"
    SENDING = "sending", "being sent"
    SENT = "sent", "sent"
    FAILED = "failed", "failed"


class Notification(models.Model):
    """One message to one recipient over one channel. Written with what it tells of, sent afterwards.

    Exactly one of `user` (told by e-mail) and `channel` is set, until it is deleted.
    """

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)  # receivers tell a repetition by it
    alert = models.ForeignKey(Alert, null=True, on_delete=models.SET_NULL, related_name="notifications", db_index=False)
    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.SET_NULL, related_name="notifications")
    kind = models.CharField(max_length=10, choices=NoticeKind.choices)
    round = models.PositiveIntegerField(default=0)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    channel = models.ForeignKey(RecipientChannel, null=True, on_delete=models.SET_NULL, related_name="+")
    recipient = models.CharField(max_length=255)  # as people call it
    via = models.CharField(max_length=100)  # "e-mail", or the channel's service
    subject = models.CharField(max_length=255)
    body = models.TextField()
    created_at = models.DateTimeField()
    actor_name = models.CharField(max_length=150, blank=True)  # of a test

    state = models.CharField(max_length=10, choices=NoticeState.choices, default=NoticeState.PENDING)
    due_at = models.DateTimeField(null=True)  # null: nothing is to be done any more
    attempts = models.PositiveIntegerField(default=0)
    claimed_by = models.CharField(max_length=100, blank=True)
    error = models.TextField(blank=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            one_of("kind", NoticeKind, name="notification_kind_known"),
            one_of("state", NoticeState, name="notification_state_known"),
            models.UniqueConstraint(fields=["alert", "round", "user"], name="notification_once_a_person"),
            models.UniqueConstraint(fields=["alert", "round", "channel"], name="notification_once_a_channel"),
            models.CheckConstraint(
                condition=Q(state__in=("pending", "sending"), due_at__isnull=False, settled_at__isnull=True)
                | Q(state__in=("sent", "failed"), due_at__isnull=True, settled_at__isnull=False),
                name="notification_due_iff_open",
            ),
        ]
        indexes = [
            models.Index(fields=["due_at", "id"], condition=Q(due_at__isnull=False), name="notification_due"),
            models.Index(fields=["created_at"], name="notification_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.recipient}"


class DeliveryAttempt(models.Model):
    """One try to send a notification, and what came of it."""

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    succeeded = models.BooleanField()
    error = models.TextField(blank=True)
    took_ms = models.FloatField()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{'sent' if self.succeeded else 'failed'} at {self.at}"
