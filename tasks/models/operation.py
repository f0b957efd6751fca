"""A request for an operation: who, what, when, why, by when, and what became of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from tasks.models.fields import one_of
from tasks.models.task import Task
from tasks.statuses import Channel, Operation, Outcome, Status


class OperationRequest(models.Model):
    """Open from acceptance until the worker settles it; at most one a task is open. Refused ones are kept too."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="requests")
    operation = models.CharField(max_length=20, choices=Operation.choices)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=150)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    reason = models.TextField(blank=True)
    key = models.CharField(max_length=100, blank=True)  # idempotency key: the same one gets the first answer again
    start_position = models.CharField(max_length=10, blank=True)  # of a Run that overrides the task's own
    from_snapshot = models.CharField(max_length=200, blank=True, db_default="")  # the engine's id of a chosen one
    from_status = models.CharField(max_length=20, choices=Status.choices)
    from_paused_how = models.CharField(max_length=10, blank=True)
    requested_at = models.DateTimeField()
    deadline_at = models.DateTimeField()
    begun_at = models.DateTimeField(null=True)  # a worker took it in hand
    asked_at = models.DateTimeField(null=True)  # the engine was, or was about to be, asked
    settled_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.OPEN)
    code = models.CharField(max_length=50, blank=True)  # of a refusal or failure, stable
    message = models.TextField(blank=True)
    allowed = models.JSONField(default=list, blank=True)  # of a refusal: what was allowed instead
    wait_for = models.TextField(blank=True)
    counted = models.BooleanField(default=False, db_default=False)  # in OperationTotal

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["task"], condition=Q(outcome=Outcome.OPEN), name="request_one_open_a_task"),
            models.UniqueConstraint(fields=["task", "key"], condition=~Q(key=""), name="request_key_once_a_task"),
            one_of("operation", Operation, name="request_operation_known"),
            one_of("channel", Channel, name="request_channel_known"),
            one_of("outcome", Outcome, name="request_outcome_known"),
            one_of("from_status", Status, name="request_from_status_known"),
            models.CheckConstraint(
                condition=Q(outcome=Outcome.OPEN, settled_at__isnull=True)
                | (~Q(outcome=Outcome.OPEN) & Q(settled_at__isnull=False)),
                name="request_settled_iff_closed",
            ),
        ]
        indexes = [
            models.Index(fields=["task", "-id"], name="request_of_task"),
            models.Index(fields=["-requested_at", "-id"], name="request_by_time"),
            models.Index(fields=["deadline_at"], condition=Q(outcome=Outcome.OPEN), name="request_open"),
            models.Index(fields=["task"], condition=Q(outcome=Outcome.UNKNOWN), name="request_unknown"),
            models.Index(
                fields=["id"], condition=Q(counted=False, settled_at__isnull=False), name="request_to_be_counted"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_operation_display()} by {self.actor_name}"


class OperationTotal(models.Model):
    """How many requests ended how, ever: the requests themselves are pruned, and a counter must not fall with that."""

    operation = models.CharField(max_length=20, choices=Operation.choices)
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    count = models.BigIntegerField(default=0)
    seconds = models.FloatField(default=0.0)  # from request to end, of all together
    within = models.JSONField(default=dict)  # seconds as text -> how many took no longer

    class Meta:
        ordering = ["operation", "outcome"]
        constraints = [
            models.UniqueConstraint(fields=["operation", "outcome"], name="operation_total_once"),
            one_of("operation", Operation, name="operation_total_operation_known"),
            one_of("outcome", Outcome, name="operation_total_outcome_known"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.outcome}"
