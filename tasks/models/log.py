"""The console's copy of what a run's attempts logged."""

from __future__ import annotations

from django.db import models

from tasks.models.fields import one_of
from tasks.models.run import Run


class Level(models.TextChoices):
    DEBUG = "DEBUG", "Debug"
    INFO = "INFO", "Info"
    WARNING = "WARNING", "Warning"
    ERROR = "ERROR", "Error"


class LogLine(models.Model):
    """Bounded for each run and by age; discarded with its run."""

    pk = models.CompositePrimaryKey("run", "n")
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="+", db_index=False)
    n = models.BigIntegerField()  # 1, 2, 3 ... within the run
    at = models.DateTimeField()
    level = models.CharField(max_length=10, choices=Level.choices)
    epoch = models.PositiveIntegerField()
    text = models.TextField()

    class Meta:
        constraints = [one_of("level", Level, name="log_line_level_known")]
        indexes = [models.Index(fields=["at"], name="log_line_by_age")]

    def __str__(self) -> str:
        return f"line {self.n}"
