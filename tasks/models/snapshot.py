"""A durable, consistent record from which a run can continue."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tasks.models.fields import one_of
from tasks.models.run import Run
from tasks.models.task import Task


class SnapshotKind(models.TextChoices):
    PAUSE = "pause", "Pause"
    PERIODIC = "periodic", "Periodic"
    MANUAL = "manual", "Manual"


class SnapshotQuerySet(models.QuerySet["Snapshot"]):
    def continuable(self) -> SnapshotQuerySet:
        """Return those that a Continue or a restart goes back to where nobody chooses, the first choice first."""
        return self.filter(unusable="", superseded=False).order_by("-taken_at", "-pk")


class Snapshot(models.Model):
    """The console's copy of what the engine wrote: enough to continue even if the engine forgot it."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="snapshots")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="snapshots")
    engine_id = models.CharField(max_length=200)  # the engine's name for it
    kind = models.CharField(max_length=10, choices=SnapshotKind.choices)
    epoch = models.PositiveIntegerField()
    taken_at = models.DateTimeField()
    offset = models.JSONField()
    offset_text = models.TextField(blank=True)
    position = models.BigIntegerField()  # rows of the run processed up to here, replays not counted
    size_bytes = models.BigIntegerField(default=0)
    duration_ms = models.FloatField(default=0)
    unusable = models.TextField(blank=True)  # why it can't be continued from; empty: usable
    # Somebody went back behind it by a Continue from an older one: only who chooses it goes on from it.
    superseded = models.BooleanField(default=False, db_default=False)
    pinned_by = models.CharField(max_length=150, blank=True, db_default="")  # kept when the engine forgets it

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        ordering = ["-taken_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["run", "engine_id"], name="snapshot_once_a_run"),
            one_of("kind", SnapshotKind, name="snapshot_kind_known"),
            models.CheckConstraint(condition=Q(position__gte=0), name="snapshot_position_not_negative"),
        ]
        indexes = [models.Index(fields=["task", "-taken_at", "-id"], name="snapshot_of_task")]

    def __str__(self) -> str:
        return f"{self.kind} {self.engine_id}"
