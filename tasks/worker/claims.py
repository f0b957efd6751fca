"""Leases: which worker has a task in hand.

Compare-and-set on the task's own row, so it is right on every database; SKIP LOCKED, where there is such a thing, only
keeps workers from waiting for each other. A lease is kept over many looks and given up with the settlement; a dead
worker's runs out. Whatever is written later compares owner and number again: a worker that lost its lease can't write,
not even where it took a new one meanwhile. Times are the database's own: the clocks of workers need not agree.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from tasks.models import Lease, Task
from tasks.statuses import Status


def due(owner: str) -> QuerySet[Task]:
    """Return tasks that want a look and that no other worker holds: an operation in flight, or a restart due."""
    wants = Q(status=Status.OPERATING) | Q(status=Status.RUNNING, restart_at__lte=timezone.now())
    return Task.objects.filter(wants, _free(owner), submitted_at__isnull=False).order_by("pk")


def _free(owner: str) -> Q:
    return Q(lease_owner="") | Q(lease_owner=owner) | _run_out()


def _run_out() -> Q:
    return Q(lease_until__lt=Now()) | Q(lease_until__isnull=True)


def _length() -> timedelta:
    return timedelta(seconds=settings.OPS_LEASE_SECONDS)


def take(pks: Collection[int], owner: str) -> None:
    """Take the leases of those of `pks` that are free, many in one transaction; the caller then reads which it has."""
    wanted = Task.objects.filter(Q(lease_owner="") | _run_out(), pk__in=pks)
    with transaction.atomic():
        if connection.features.has_select_for_update_skip_locked:
            locked = wanted.order_by("pk").select_for_update(skip_locked=True)
            wanted = Task.objects.filter(pk__in=list(locked.values_list("pk", flat=True)))
        wanted.update(lease_owner=owner, lease_number=F("lease_number") + 1, lease_until=Now() + _length())


def claim(task: Task, owner: str) -> Lease | None:
    """Take the lease on `task`, or renew it; None when another worker has it. `task` must have been read just now."""
    number = task.lease_number
    if task.lease_owner == owner:
        left = task.lease_until - timezone.now() if task.lease_until is not None else timedelta(0)
        if left > _length() / 2:
            return Lease(owner, number)
    else:
        number += 1
    found = Task.objects.filter(_free(owner), pk=task.pk, lease_number=task.lease_number)
    if found.update(lease_owner=owner, lease_number=number, lease_until=Now() + _length()) != 1:
        return None
    task.lease_owner, task.lease_number = owner, number
    task.lease_until = timezone.now() + _length()
    return Lease(owner, number)


def release(task: Task, lease: Lease) -> None:
    """Give the lease up, where it still holds."""
    held = Task.objects.filter(pk=task.pk, lease_owner=lease.owner, lease_number=lease.number)
    held.update(lease_owner="", lease_until=None)


def release_all(owner: str) -> None:
    """At a clean exit: the next worker need not wait for the leases to run out."""
    Task.objects.filter(lease_owner=owner).update(lease_owner="", lease_until=None)
