"""Copy what attempts log from the engines into the console: the page never asks an engine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from django.db.models import F

from tasks import logs, snapshots
from tasks.engines.base import Engine, EngineRefused, EngineUnreachable
from tasks.models import LogLine, Task
from tasks.models.log import Level
from tasks.worker import specs

log = logging.getLogger(__name__)

#: Tasks looked at in one sweep, and calls for each: a task that logs much must not keep the others waiting.
MOST: Final = 200
CALLS: Final = 5
#: What other engines call their levels.
_LEVELS: Final = {"TRACE": Level.DEBUG, "WARN": Level.WARNING, "FATAL": Level.ERROR, "CRITICAL": Level.ERROR}


def copy_logs(engines: Callable[[str], Engine]) -> None:
    """Copy the lines of the tasks whose engine has shown to have more than was copied."""
    behind = Task.objects.filter(run__ended_at__isnull=True, log_n__gt=F("run__log_n"))
    for task in behind.select_related("run").order_by("run__log_n", "pk")[:MOST]:
        assert task.run is not None
        try:
            _copy(task, engines(task.run.engine))
        except (EngineUnreachable, EngineRefused, LookupError) as error:
            log.debug("The log of %s is copied later: %s", task.name, error)


def _copy(task: Task, engine: Engine) -> None:
    run = task.run
    assert run is not None
    after = run.log_n
    for _ in range(CALLS):
        lines = engine.logs(specs.attempt_ref(task, run), after)
        logs.record(
            run,
            [
                LogLine(
                    run=run,
                    n=line.n,
                    at=snapshots.moment(line.at),
                    level=_level(line.level),
                    epoch=line.epoch,
                    text=line.text.replace("\0", "\N{REPLACEMENT CHARACTER}"),
                )
                for line in lines
            ],
        )
        if not lines or lines[-1].n >= task.log_n:
            return
        after = lines[-1].n


def _level(name: str) -> str:
    name = name.upper()
    return name if name in Level.values else _LEVELS.get(name, Level.INFO)
