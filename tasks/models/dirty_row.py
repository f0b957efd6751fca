"""A row that could not be read or written, kept with its reason."""

from __future__ import annotations

from django.db import models

from tasks.models.run import Run


class DirtyRow(models.Model):
    """Bounded by the task's dirty_limit; discarded with its run."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="dirty_rows")
    n = models.PositiveIntegerField()
    at = models.DateTimeField()
    reason = models.TextField()
    row = models.TextField()

    class Meta:
        ordering = ["-n", "-pk"]
        constraints = [models.UniqueConstraint(fields=["run", "n"], name="dirty_row_once_a_run")]

    def __str__(self) -> str:
        return f"dirty row {self.n}"
