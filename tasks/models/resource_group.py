"""Where tasks run."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from tasks.models.fields import name_validator, one_of


class EngineKind(models.TextChoices):
    LOCAL = "local", "Local engine"


class ResourceGroup(models.Model):
    """An engine with a capacity. Tasks refer to it by name, so that one made again heals them."""

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    kind = models.CharField(max_length=20, choices=EngineKind.choices, default=EngineKind.LOCAL)
    capacity = models.PositiveIntegerField(
        default=100, validators=[MinValueValidator(1)], help_text="How many tasks may run at once."
    )
    enabled = models.BooleanField(
        default=True, help_text="Off for maintenance: nothing starts here; what runs goes on running."
    )
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    reachable = models.BooleanField(null=True, editable=False)
    answered_at = models.DateTimeField(null=True, editable=False)
    problem = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            one_of("kind", EngineKind, name="group_kind_known"),
            models.CheckConstraint(condition=models.Q(capacity__gte=1), name="group_capacity_positive"),
            models.CheckConstraint(condition=~models.Q(name=""), name="group_name_given"),
        ]

    def __str__(self) -> str:
        return self.name
