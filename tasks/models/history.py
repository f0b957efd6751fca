"""Append-only: each change of a task's status, and each automatic restart."""

from __future__ import annotations

from django.db import models

from tasks.models.fields import one_of
from tasks.models.operation import OperationRequest
from tasks.models.task import Task
from tasks.statuses import PausedHow, Status


class StatusChange(models.Model):
    """Written with the status, in one transaction. `from` equals `to` where something happened within a status."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="changes")
    at = models.DateTimeField()
    from_status = models.CharField(max_length=20, choices=Status.choices, blank=True)
    to_status = models.CharField(max_length=20, choices=Status.choices)
    paused_how = models.CharField(max_length=10, choices=PausedHow.choices, blank=True)
    actor_name = models.CharField(max_length=150)
    request = models.ForeignKey(OperationRequest, null=True, on_delete=models.SET_NULL, related_name="changes")
    run_number = models.PositiveIntegerField(null=True)
    epoch = models.PositiveIntegerField(null=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            one_of("from_status", Status, name="change_from_known", blank=True),
            one_of("to_status", Status, name="change_to_known"),
            one_of("paused_how", PausedHow, name="change_paused_how_known", blank=True),
        ]
        indexes = [
            models.Index(fields=["task", "-id"], name="change_of_task"),
            models.Index(fields=["-at", "-id"], condition=models.Q(request__isnull=True), name="change_by_system"),
        ]

    def __str__(self) -> str:
        return f"{self.from_status or 'new'} -> {self.to_status}"
