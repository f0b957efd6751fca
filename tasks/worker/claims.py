"""Leases: which worker has a task in hand.

Compare-and-set on the task's own row, so it is right on every database. A lease is kept over many looks and given up
with the settlement; a dead worker's runs out. Whatever is written later compares the lease again: a worker that lost
it can't write.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from tasks.models import Task
from tasks.statuses import Status


def due(owner: str) -> QuerySet[Task]:
    """Return tasks that want a look and that no other worker holds: an operation in flight, or a restart due."""
    now = timezone.now()
    wants = Q(status=Status.OPERATING) | Q(status=Status.RUNNING, restart_at__lte=now)
    return Task.objects.filter(wants, _free(owner, now), submitted_at__isnull=False).order_by("pk")


def _free(owner: str, now: datetime) -> Q:
    return Q(lease_owner="") | Q(lease_owner=owner) | Q(lease_until__lt=now) | Q(lease_until__isnull=True)


def claim(task: Task, owner: str) -> bool:
    """Take or keep the lease on `task`; False when another worker has it."""
    now = timezone.now()
    length = timedelta(seconds=settings.OPS_LEASE_SECONDS)
    if task.lease_owner == owner and task.lease_until is not None and task.lease_until - now > length / 2:
        return True
    if Task.objects.filter(_free(owner, now), pk=task.pk).update(lease_owner=owner, lease_until=now + length) != 1:
        return False
    task.lease_owner, task.lease_until = owner, now + length
    return True


def release(task: Task, owner: str) -> None:
    """Give the lease up, where `owner` still has it."""
    Task.objects.filter(pk=task.pk, lease_owner=owner).update(lease_owner="", lease_until=None)


def release_all(owner: str) -> None:
    """At a clean exit: the next worker need not wait for the leases to run out."""
    Task.objects.filter(lease_owner=owner).update(lease_owner="", lease_until=None)
