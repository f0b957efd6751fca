"""Which workers are alive, and what it means to hold a task."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's hold on one task. Every write under it compares both: the number is never given out twice."""

    owner: str
    number: int


class WorkerHeartbeat(models.Model):
    """One row a worker process, touched each second or so; removed at a clean exit, pruned when long silent."""

    name = models.CharField(max_length=100, unique=True)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    pass_ms = models.FloatField(null=True)  # the slowest pass of its loop since the beat before
    in_hand = models.PositiveIntegerField(null=True)  # tasks that it works on

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["beat_at"], name="worker_by_beat")]

    def __str__(self) -> str:
        return self.name
