"""What somebody who configures a task wants to know of a connection: asked by a page, answered by a worker."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from tasks.models.fields import one_of


class LookupKind(models.TextChoices):
    OBJECTS = "objects", "objects of a connection"
    COLUMNS = "columns", "columns of an object"
    CHECK = "check", "a task that is not saved yet"


class Lookup(models.Model):
    """Kept for an hour. `asked` is connection and object, or the task in the form of a submission."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=10, choices=LookupKind.choices)
    asked = models.JSONField()
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    found = models.JSONField(default=list)  # names; columns as name, type, key; or problems
    problem = models.TextField(blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [one_of("kind", LookupKind, name="lookup_kind_known")]
        indexes = [
            models.Index(fields=["id"], condition=Q(answered_at__isnull=True), name="lookup_unanswered"),
            models.Index(fields=["asked_at"], name="lookup_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
