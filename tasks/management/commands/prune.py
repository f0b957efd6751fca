"""manage.py prune: drop old history, so that it stays bounded."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone

from tasks.models import Batch, OperationRequest, Run, StatusChange, WorkerHeartbeat
from tasks.statuses import Outcome

CHUNK = 1_000


class Command(BaseCommand):
    help = "Deletes settled requests, status changes, ended runs, batches and heartbeats older than --days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=90, help="keep this many days (default 90)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["days"] < 1:
            raise CommandError("--days must be 1 or more.")
        before = timezone.now() - timedelta(days=options["days"])
        latest = StatusChange.objects.order_by().values("task").annotate(last=Max("pk")).values("last")
        requests = OperationRequest.objects.filter(settled_at__lt=before).exclude(outcome=Outcome.OPEN)
        counted = Q(counted=True) | Q(outcome=Outcome.UNKNOWN)
        old = {
            "status changes": StatusChange.objects.filter(at__lt=before).exclude(pk__in=latest),
            # One that is not in the totals yet would be missing there.
            "requests": requests.filter(counted).exclude(pk=F("task__last_request")),
            # One that its engine has not forgotten yet has to be on record until it has.
            "ended runs": Run.objects.filter(ended_at__lt=before, discarded_at__isnull=False),
            "batches": Batch.objects.filter(finished_at__lt=before),
            "heartbeats": WorkerHeartbeat.objects.filter(beat_at__lt=before),
        }
        for what, rows in old.items():
            self.stdout.write(f"{_delete(rows)} {what} deleted")


def _delete(rows: QuerySet[Any]) -> int:
    """Delete in chunks: a long transaction would hold up the worker."""
    deleted = 0
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:CHUNK]):
        rows.model._default_manager.filter(pk__in=ids).delete()
        deleted += len(ids)
    return deleted
