"""Does a worker answer? Without one nothing that is accepted gets carried out, so each page says it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from tasks.models import ResourceGroup, WorkerHeartbeat

#: Older than this is silence: of a worker's heartbeat, and of what an engine last showed of a running task.
SILENT_AFTER: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Silence:
    """`since` is None when no worker has ever answered, or each left cleanly."""

    since: datetime | None


def is_old(at: datetime | None) -> bool:
    return at is None or timezone.now() - at > SILENT_AFTER


def silence() -> Silence | None:
    newest = WorkerHeartbeat.objects.order_by("-beat_at", "-pk").values_list("beat_at", flat=True).first()
    return Silence(newest) if is_old(newest) else None


def engines() -> dict[str, bool]:
    """Return whether the engine of each enabled group answers, of at most 100; one not looked at yet is left out."""
    groups = ResourceGroup.objects.filter(enabled=True, reachable__isnull=False).order_by("name", "pk")[:100]
    return {group.name: bool(group.reachable) for group in groups}
