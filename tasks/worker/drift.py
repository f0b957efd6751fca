"""Drift: what runs on an engine though the console says that it should not.

One question an engine, whatever the number of tasks. A job is a stray only if the engine shows it alive before and
after the console's record of it was read: an operation that goes on meanwhile is no drift.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Final

from tasks.engines.base import AttemptRef, Engine, EngineError
from tasks.models import EngineKind, Task
from tasks.statuses import Status
from tasks.transitions import write_history
from tasks.worker.sweeps import Engines

log = logging.getLogger(__name__)

MOST: Final = 1_000  # strays handled in one sweep

_UID: Final = re.compile("[0-9a-f]{32}")
_EXPECTED: Final = (Status.RUNNING, Status.OPERATING)


def find_strays(engines: Engines, reported: set[AttemptRef]) -> list[Task]:
    """End the attempts that the console has ended, superseded, or never begun.

    Return the tasks whose newest attempt runs although their status says otherwise. `reported` remembers what was said.
    """
    out_of_place: list[Task] = []
    for kind in EngineKind.values:  # whether or not a group of it still exists: what runs, runs
        try:
            engine = engines(kind)
            alive = engine.live()
            if not alive:
                continue
            known = {task.uid.hex: task for task in _tasks_of(alive)}
            alive = tuple(set(alive) & set(engine.live()))
        except (EngineError, LookupError) as error:
            log.debug("Engine %s: %s", kind, error)
            continue
        for ref in alive[:MOST]:
            task = known.get(ref.task)
            if task is None:
                _report(ref, reported, "The engine runs a task that this console does not know")
            elif not _is_newest(task, ref):
                _end(engine, task, ref, reported)
            elif task.status not in _EXPECTED:
                out_of_place.append(task)
    return out_of_place


def _tasks_of(refs: Iterable[AttemptRef]) -> Iterable[Task]:
    uids = [uid for uid in {ref.task for ref in refs} if _UID.fullmatch(uid)]
    for start in range(0, len(uids), MOST):
        yield from Task.objects.select_related("run").filter(uid__in=uids[start : start + MOST])


def _is_newest(task: Task, ref: AttemptRef) -> bool:
    # An attempt is written down before it is asked for, so none that the console began is ahead of its record.
    run = task.run
    return run is not None and (ref.run, ref.epoch) == (run.number, run.epoch)


def _end(engine: Engine, task: Task, ref: AttemptRef, reported: set[AttemptRef]) -> None:
    try:
        engine.kill(ref)
    except EngineError as error:
        log.warning("Task %s: attempt %s of run %s should not run: %s", task.name, ref.epoch, ref.run, error)
        return
    if ref in reported:
        return
    reported.add(ref)
    status = Status(task.status)
    reason = f"Its engine ran attempt {ref.epoch} of run {ref.run}, which is not the newest here: it was ended there."
    write_history(task, status, status, actor_name="system", reason=reason)


def _report(ref: AttemptRef, reported: set[AttemptRef], what: str) -> None:
    if ref not in reported:
        reported.add(ref)
        log.warning("%s: %s, run %s, attempt %s. It is left alone.", what, ref.task, ref.run, ref.epoch)
