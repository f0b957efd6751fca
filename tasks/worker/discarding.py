"""Have engines forget the runs that are over: their snapshots, offsets, counters and logs.

The console ends a run first, in one transaction, and only then asks: nothing that a superseded worker still asks for
can reach a run that somebody may want to continue. What can't be asked now is asked again by the next sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from django.utils import timezone

from tasks import logs, metrics
from tasks.engines.base import AttemptRef, Engine, EngineRefused, EngineUnreachable
from tasks.models import Run

log = logging.getLogger(__name__)

#: Runs discarded in one sweep.
MOST: Final = 200


def discard(run: Run, engine: Engine) -> bool:
    """Ask `engine` to forget `run`; False where that has to be asked again later."""
    try:
        if run.epoch:
            engine.discard(AttemptRef(run.task.uid.hex, run.number, run.epoch))
    except (EngineUnreachable, EngineRefused) as error:
        log.info("Run %s of %s is discarded later: %s", run.number, run.task.name, error)
        return False
    logs.discard(run)
    metrics.discard(run)  # one that was being taken while the run ended
    Run.objects.filter(pk=run.pk, ended_at__isnull=False).update(discarded_at=timezone.now())
    return True


def discard_ended(engines: Callable[[str], Engine]) -> None:
    """Discard the runs that ended while their engine could not be asked."""
    for run in Run.objects.filter(ended_at__isnull=False, discarded_at__isnull=True).select_related("task")[:MOST]:
        try:
            engine = engines(run.engine)
        except LookupError:
            continue
        discard(run, engine)
