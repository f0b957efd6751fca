"""How one person looks at the console: columns and density of the list, and views that were given a name."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from tasks.models.fields import one_of


class Density(models.TextChoices):
    COMFORTABLE = "comfortable", "Comfortable"
    COMPACT = "compact", "Compact"


class Preference(models.Model):
    """Of one user; without a row all is as it comes."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    hidden = models.JSONField(default=list)  # columns of the list that are not shown
    density = models.CharField(max_length=15, choices=Density.choices, default=Density.COMFORTABLE)

    class Meta:
        constraints = [one_of("density", Density, name="preference_density_known")]

    def __str__(self) -> str:
        return f"of {self.user_id}"


class SavedView(models.Model):
    """A query of the list under a name. A shared one is offered to everybody, and changed by its owner alone."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=60)
    query = models.TextField(blank=True)
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="saved_view_once_a_user"),
            models.CheckConstraint(condition=~Q(name=""), name="saved_view_name_given"),
        ]

    def __str__(self) -> str:
        return self.name
