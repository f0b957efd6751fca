"""Which workers are alive."""

from __future__ import annotations

from django.db import models


class WorkerHeartbeat(models.Model):
    """One row a worker process, touched each second or so; removed at a clean exit, pruned when long silent."""

    name = models.CharField(max_length=100, unique=True)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["beat_at"], name="worker_by_beat")]

    def __str__(self) -> str:
        return self.name
