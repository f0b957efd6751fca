"""Count the requests that were settled, once each, into totals that outlive them."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from django.db import transaction

from tasks.models import OperationRequest, OperationTotal
from tasks.statuses import Outcome

#: Seconds of the histogram of how long operations take.
WITHIN: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
CHUNK: Final = 1_000


def count_settled() -> None:
    """Count what was settled since; several workers may try at once, and one of them does it."""
    while _count_some() == CHUNK:
        pass


@transaction.atomic
def _count_some() -> int:
    # The totals are the lock: on PostgreSQL a second worker waits here, and then finds nothing left to count.
    totals = {(total.operation, total.outcome): total for total in OperationTotal.objects.select_for_update()}
    pending = OperationRequest.objects.filter(counted=False, settled_at__isnull=False)
    settled = list(
        pending.exclude(outcome=Outcome.UNKNOWN)  # it will have another one
        .select_for_update(skip_locked=True, of=("self",))
        .order_by("pk")
        .values_list("pk", "operation", "outcome", "requested_at", "settled_at")[:CHUNK]
    )
    seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for _, operation, outcome, requested_at, settled_at in settled:
        assert settled_at is not None
        seconds[operation, outcome].append(max(0.0, (settled_at - requested_at).total_seconds()))
    for (operation, outcome), took in seconds.items():
        total = totals.get((operation, outcome)) or _new_total(operation, outcome)
        total.count += len(took)
        total.seconds += sum(took)
        total.within = {str(most): total.within.get(str(most), 0) + sum(s <= most for s in took) for most in WITHIN}
        total.save(update_fields=["count", "seconds", "within"])
    OperationRequest.objects.filter(pk__in=[pk for pk, *_ in settled]).update(counted=True)
    return len(settled)


def _new_total(operation: str, outcome: str) -> OperationTotal:
    OperationTotal.objects.bulk_create([OperationTotal(operation=operation, outcome=outcome)], ignore_conflicts=True)
    return OperationTotal.objects.select_for_update().get(operation=operation, outcome=outcome)
