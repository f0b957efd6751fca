"""Forget alerts that resolved long ago, with their messages, and old test messages."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from tasks.models import Alert, Notification

CHUNK: Final = 500


def prune() -> None:
    """Delete what is older than OPS_ALERT_DAYS, in small transactions."""
    before = timezone.now() - timedelta(days=settings.OPS_ALERT_DAYS)
    alerts = Alert.objects.filter(resolved_at__lt=before)
    # Messages whose alert went with its task, and test messages, stand alone.
    alone = Notification.objects.filter(alert__isnull=True, created_at__lt=before, due_at__isnull=True)
    for model, rows in ((Notification, alone), (Alert, alerts)):
        while old := list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK]):
            if model is Alert:
                Notification.objects.filter(alert__in=old).delete()
            model._default_manager.filter(pk__in=old).delete()
