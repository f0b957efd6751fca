"""A named source or target system."""

from __future__ import annotations

from typing import Any

from django.db import models

from tasks.models.fields import decrypt, encrypt, name_validator, one_of


class ConnectionKind(models.TextChoices):
    SQLITE = "sqlite", "SQLite"
    POSTGRESQL = "postgresql", "PostgreSQL"
    FILE = "file", "Files"


class Connection(models.Model):
    """Kind and address; the password, where there is one, is encrypted and never shown again.

    Tasks refer to it by name: deleting it turns them into Detection exceptions, making it again heals them.
    """

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    kind = models.CharField(max_length=20, choices=ConnectionKind.choices)
    settings = models.JSONField(default=dict, blank=True, help_text="The address, by kind.")
    secret_token = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    check_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    check_problem = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            one_of("kind", ConnectionKind, name="connection_kind_known"),
            models.CheckConstraint(condition=~models.Q(name=""), name="connection_name_given"),
        ]
        indexes = [
            models.Index(
                fields=["check_requested_at"],
                condition=models.Q(check_requested_at__isnull=False),
                name="connection_check_due",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def set_secret(self, secret: str) -> None:
        self.secret_token = encrypt(secret)

    def secret(self) -> str:
        """Return the password. Raises SecretUnreadable when OPS_SECRET_KEY has changed since it was stored."""
        return decrypt(self.secret_token)

    @property
    def has_secret(self) -> bool:
        return bool(self.secret_token)

    @property
    def address(self) -> str:
        """The address as people write it, without secrets."""
        values: dict[str, Any] = self.settings
        if self.kind == ConnectionKind.POSTGRESQL:
            return "{user}@{host}:{port}/{database}".format_map({"port": 5432, **values})
        return str(values.get("path", ""))
