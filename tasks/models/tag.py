"""Words that people put on tasks, to find them by."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tasks.models.fields import name_validator
from tasks.models.task import Task

#: Of one task.
MOST_TAGS = 20


class TaskTag(models.Model):
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="tags", db_index=False)
    name = models.CharField(max_length=100, validators=[name_validator])

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["task", "name"], name="task_tag_once"),
            models.CheckConstraint(condition=~Q(name=""), name="task_tag_given"),
        ]
        indexes = [models.Index(fields=["name", "task"], name="task_tag_by_name")]

    def __str__(self) -> str:
        return self.name
