"""Which tasks lose an object that is about to be deleted."""

from __future__ import annotations

from django.db.models import Q

from tasks.models import Task
from tasks.statuses import Status

SHOWN = 20


def affected(which: Q) -> list[object]:
    """Return lines for the confirmation page: what becomes of the tasks that `which` selects. Bounded."""
    tasks = Task.objects.submitted().filter(which)
    running = Q(status__in=(Status.RUNNING, Status.OPERATING))
    lines: list[object] = []
    for words, chosen in (
        ("running now, to be paused with a snapshot first and then Detection exception", tasks.filter(running)),
        ("to become Detection exception", tasks.exclude(running).exclude(status=Status.DETECTION_EXCEPTION)),
        ("already a Detection exception", tasks.filter(status=Status.DETECTION_EXCEPTION)),
    ):
        names = list(chosen.order_by("name", "pk").values_list("name", flat=True)[: SHOWN + 1])
        if names:
            total = chosen.count() if len(names) > SHOWN else len(names)
            more = [f"and {total - SHOWN} more"] if total > SHOWN else []
            lines += [f"{total} task{'' if total == 1 else 's'} {words}:", [*names[:SHOWN], *more]]
    return lines
