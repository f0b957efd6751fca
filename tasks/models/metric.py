"""Samples of what tasks and groups did, in three resolutions; each a fixed number of rows at most."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tasks.models.run import Run


class Sample(models.Model):
    """What a run had done by the end of a stretch of `resolution` seconds, and the worst it showed within it.

    Times are whole seconds since the epoch: half the size of a timestamp, and stretches are found by division.
    """

    pk = models.CompositePrimaryKey("run", "resolution", "at")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="samples", db_index=False)
    resolution = models.PositiveSmallIntegerField()
    at = models.BigIntegerField()  # the begin of the stretch, a multiple of the resolution

    # Of the run so far.
    rows_read = models.BigIntegerField()
    rows_written = models.BigIntegerField()
    rows_dirty = models.BigIntegerField()
    rows_replayed = models.BigIntegerField()
    bytes_read = models.BigIntegerField()
    bytes_written = models.BigIntegerField()
    bytes_dirty = models.BigIntegerField()
    restarts = models.PositiveIntegerField()

    # The worst within the stretch; null: not known.
    lag_seconds = models.FloatField(null=True)
    lag_rows = models.BigIntegerField(null=True)
    delivery_ms = models.FloatField(null=True)
    event_lag_ms = models.FloatField(null=True)
    snapshot_age = models.FloatField(null=True)  # seconds
    snapshot_ms = models.FloatField(null=True)
    snapshot_bytes = models.BigIntegerField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(resolution__gte=1), name="sample_resolution_positive"),
        ]
        indexes = [models.Index(fields=["resolution", "at"], name="sample_by_age")]

    def __str__(self) -> str:
        return f"{self.resolution} s from {self.at}"


class GroupSample(models.Model):
    """What all tasks of a resource group did within a stretch. It outlives their runs: Stop takes nothing from it."""

    pk = models.CompositePrimaryKey("group", "resolution", "at")
    group = models.CharField(max_length=100)
    resolution = models.PositiveSmallIntegerField()
    at = models.BigIntegerField()

    rows_read = models.BigIntegerField()
    rows_written = models.BigIntegerField()
    bytes_read = models.BigIntegerField()
    bytes_written = models.BigIntegerField()
    running = models.PositiveIntegerField()  # tasks, the most at once
    lag_seconds = models.FloatField(null=True)  # of the task that is furthest behind

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(resolution__gte=1), name="group_sample_resolution_positive"),
        ]
        indexes = [models.Index(fields=["resolution", "at"], name="group_sample_by_age")]

    def __str__(self) -> str:
        return f"{self.group}, {self.resolution} s from {self.at}"
