"""Do the objects that tasks name still exist? A few tasks a sweep, the longest unchecked first.

Groups and connections are the console's own records, and looked for in each sweep. Source and target objects are looked
for by the engine, which costs a process and a connection there: at most MOST checks a sweep, however many tasks there
are. A task that runs needs none: its connector says at once what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from tasks.engines.base import EngineError, ErrorClass, Fault
from tasks.models import Connection, ResourceGroup, Task
from tasks.models.fields import SecretUnreadable
from tasks.models.task import OCCUPYING
from tasks.operations import SYSTEM, OperationRefused, accept
from tasks.statuses import Channel, Operation, Status
from tasks.transitions import MovedOn
from tasks.worker import claims, settling, specs
from tasks.worker.steps import Settle
from tasks.worker.sweeps import CHUNK, Engines, engine_kind

log = logging.getLogger(__name__)

MOST: Final = 10  # checks of source and target objects in one sweep
#: A file that is being rotated is away for a moment: what is missing has to be so twice, this far apart.
CONFIRM_AFTER: Final = timedelta(seconds=3)

_SETTLED: Final = (Status.INITIALIZE, Status.PAUSED, Status.STOPPED, Status.FAILURE)


# --- groups and connections ---------------------------------------------------------------------------------


def detect_missing_names(owner: str) -> None:
    """Tasks whose group or connections were deleted: those that run are paused first, the others say so at once."""
    groups = _in_use("group_id") - set(ResourceGroup.objects.values_list("name", flat=True))
    named = _in_use("source_connection_id") | _in_use("target_connection_id")
    connections = named - set(Connection.objects.values_list("name", flat=True))
    if groups or connections:
        gone = Q(source_connection__in=connections) | Q(target_connection__in=connections) | Q(group__in=groups)
        orphans = Task.objects.submitted().filter(gone, status__in=(*_SETTLED, Status.RUNNING))
        _detect_orphans(orphans.select_related("run").order_by("pk")[:CHUNK], owner)


def _in_use(column: str) -> set[str]:
    """Return the names that tasks have in `column`: a jump in its index a name, however many tasks there are."""
    with connection.cursor() as cursor:
        cursor.execute(_NAMES.format(column=column, table=Task._meta.db_table))
        return {name for (name,) in cursor.fetchall() if name is not None}


#: Both are names of our own; neither database reads an index this way by itself for SELECT DISTINCT.
_NAMES: Final = (
    "WITH RECURSIVE names(n) AS (SELECT MIN({column}) FROM {table} UNION ALL "
    "SELECT (SELECT MIN({column}) FROM {table} WHERE {column} > names.n) FROM names WHERE names.n IS NOT NULL) "
    "SELECT n FROM names"
)


def _detect_orphans(orphans: Iterable[Task], owner: str) -> None:
    for task in orphans:
        fault = specs.missing_object(task)
        if fault is None:
            continue
        if task.status == Status.RUNNING:
            _pause_first(task, fault)
        else:
            _say_missing(task, fault, owner)


def _pause_first(task: Task, fault: Fault) -> None:
    """Ask for a pause; where none is possible (between restarts), end it without one."""
    for operation in (Operation.PAUSE, Operation.FORCED_PAUSE):
        try:
            accept(task_id=task.pk, operation=operation, actor=SYSTEM, channel=Channel.SYSTEM, reason=fault.cause)
        except OperationRefused as refused:
            if refused.refusal.code != "restarting":
                return
        else:
            return


def _say_missing(task: Task, fault: Fault, owner: str) -> None:
    lease = claims.claim(task, owner)
    if lease is None:
        return
    step = Settle(Status.DETECTION_EXCEPTION, False, fault.sentence, fault.code, fault=fault)
    try:
        settling.settle(task, None, step, ended_as="missing", lease=lease)
    except MovedOn:
        claims.release(task, lease)


# --- source and target objects ------------------------------------------------------------------------------


def detect_missing_objects(
    engines: Engines, owner: str, most: int = MOST, ended: Callable[[], bool] = lambda: False
) -> None:
    """Check the objects of the `most` tasks that were not checked for the longest time, until `ended`."""
    now = timezone.now()
    old = now - timedelta(seconds=settings.OPS_DETECT_SECONDS)
    idle = Task.objects.submitted().exclude(status__in=OCCUPYING).select_related("run")
    suspected = idle.filter(missing_since__lt=now - CONFIRM_AFTER).exclude(status=Status.DETECTION_EXCEPTION)
    # Ordered, cut, and only then compared: the index is read from its beginning, never through.
    longest = idle.order_by("checked_at", "pk")[:most]
    due = [task for task in longest if task.checked_at < old]
    for task in [*suspected.order_by("missing_since", "pk")[:most], *due][:most]:
        if ended():  # a check may take its time, and a worker that is told to end has little
            return
        # Of several workers one checks it.
        if Task.objects.filter(pk=task.pk, checked_at=task.checked_at).update(checked_at=timezone.now()) == 1:
            _check(task, engines, owner)


def _check(task: Task, engines: Engines, owner: str) -> None:
    if specs.missing_object(task) is not None:
        return  # said already by the look for names
    try:
        faults = engines(engine_kind(task)).check(specs.task_spec(task, None))
    except (EngineError, LookupError, SecretUnreadable, Connection.DoesNotExist) as error:
        log.debug("Task %s could not be checked: %s", task.name, error)
        return
    fault = next((fault for fault in faults if fault.error_class is ErrorClass.MISSING), None)
    same = Task.objects.filter(pk=task.pk, status=task.status)
    if task.status == Status.DETECTION_EXCEPTION:
        if not faults:
            back = Status(task.status_before).label
            same.update(fault_advice=f"All is there again: Re-detect returns it to {back}.")
    elif fault is None:
        if task.missing_since is not None:
            same.update(missing_since=None)
    elif task.missing_since is None:
        same.update(missing_since=timezone.now())
    elif timezone.now() - task.missing_since >= CONFIRM_AFTER:
        _say_missing(task, fault, owner)
