"""Forget alerts that resolved long ago, with their messages, and old test messages."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from tasks.models import Alert, NoticeKind, Notification

CHUNK: Final = 500


def prune() -> None:
    """Delete what is older than OPS_ALERT_DAYS, in small transactions."""
    before = timezone.now() - timedelta(days=settings.OPS_ALERT_DAYS)
    Notification.objects.filter(kind=NoticeKind.TEST, created_at__lt=before).delete()
    while True:
        old = list(Alert.objects.filter(resolved_at__lt=before).order_by("pk").values_list("pk", flat=True)[:CHUNK])
        Alert.objects.filter(pk__in=old).delete()
        if len(old) < CHUNK:
            return
