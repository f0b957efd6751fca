"""One life of a task, and each launch of it on an engine."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from tasks.models.fields import one_of
from tasks.models.task import StartPosition, Task


class Run(models.Model):
    """From Run to Stop. `epoch` is the newest attempt; it only grows, by compare-and-set."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField()
    epoch = models.PositiveIntegerField(default=0)
    engine = models.CharField(max_length=20)
    start_position = models.CharField(max_length=10, choices=StartPosition.choices)
    started_at = models.DateTimeField()
    started_by = models.CharField(max_length=150)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.TextField(blank=True)
    log_n = models.BigIntegerField(default=0, db_default=0)  # the newest line of its log that was copied
    discarded_at = models.DateTimeField(null=True, blank=True)  # its engine was seen to have forgotten it

    class Meta:
        ordering = ["-number", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["task", "number"], name="run_number_once_a_task"),
            models.UniqueConstraint(fields=["task"], condition=Q(ended_at__isnull=True), name="run_one_open_a_task"),
            one_of("start_position", StartPosition, name="run_start_position_known"),
            models.CheckConstraint(condition=Q(number__gte=1), name="run_number_from_one"),
        ]
        indexes = [
            models.Index(
                fields=["id"],
                condition=Q(ended_at__isnull=False, discarded_at__isnull=True),
                name="run_to_discard",
            ),
        ]

    def __str__(self) -> str:
        return f"run {self.number}"


class AttemptCause(models.TextChoices):
    RUN = "run", "Run"
    CONTINUE = "continue", "Continue"
    RESTART = "restart", "Automatic restart"
    REDETECT = "redetect", "Re-detect"


class Attempt(models.Model):
    """What was asked of the engine, written before asking: a crash between the two is healed by looking."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="attempts")
    epoch = models.PositiveIntegerField()
    cause = models.CharField(max_length=10, choices=AttemptCause.choices)
    request = models.ForeignKey("OperationRequest", null=True, on_delete=models.SET_NULL, related_name="attempts")
    from_snapshot = models.ForeignKey("Snapshot", null=True, on_delete=models.SET_NULL, related_name="+")
    replay_forecast = models.BigIntegerField(null=True)  # rows between the snapshot and the furthest written
    replayed_before = models.BigIntegerField(null=True)  # by the run, when this attempt began
    settings = models.JSONField(null=True)  # of the task, as this attempt began with them; no secrets
    started_at = models.DateTimeField()
    running_at = models.DateTimeField(null=True)  # when the engine was first seen to know it
    ended_at = models.DateTimeField(null=True)
    ended_as = models.CharField(max_length=20, blank=True)
    end_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-epoch", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["run", "epoch"], name="attempt_epoch_once_a_run"),
            models.UniqueConstraint(fields=["run"], condition=Q(ended_at__isnull=True), name="attempt_one_open_a_run"),
            one_of("cause", AttemptCause, name="attempt_cause_known"),
            models.CheckConstraint(condition=Q(epoch__gte=1), name="attempt_epoch_from_one"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")), name="attempt_ends_after_start"
            ),
        ]
        indexes = [models.Index(fields=["started_at"], condition=Q(cause="restart"), name="attempt_restarts")]

    def __str__(self) -> str:
        return f"attempt {self.epoch}"
