"""What a worker does beside operations: observe all that runs, look at groups and connections, tidy up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from tasks.engines.base import Engine, EngineError, EngineState, ErrorClass, Fault, Observation
from tasks.models import Connection, EngineKind, ResourceGroup, Task, WorkerHeartbeat
from tasks.models.fields import SecretUnreadable
from tasks.operations import SYSTEM, OperationRefused, accept
from tasks.statuses import Channel, Operation, Status
from tasks.transitions import MovedOn
from tasks.worker import claims, observing, settling, specs
from tasks.worker.decisions import Settle

log = logging.getLogger(__name__)

#: Tasks looked at in one transaction, and with one engine call.
CHUNK = 500

Engines = Callable[[str], Engine]


def observe(engines: Engines, statuses: tuple[Status, ...] = (Status.RUNNING,)) -> list[tuple[Task, Observation]]:
    """Record what the engines show of all tasks in `statuses`; return those that need a step."""
    eventful: list[tuple[Task, Observation]] = []
    after = 0
    while True:
        tasks = list(
            Task.objects.filter(status__in=statuses, pk__gt=after, run__isnull=False, run__epoch__gt=0)
            .select_related("run")
            .order_by("pk")[:CHUNK]
        )
        if not tasks:
            return eventful
        after = tasks[-1].pk
        pairs = look_at(tasks, engines)
        observing.record_many(pairs)
        eventful += [pair for pair in pairs if _needs_a_step(*pair)]


def look_at(tasks: list[Task], engines: Engines) -> list[tuple[Task, Observation]]:
    """Return each task with what its engine shows of its newest attempt: one call an engine."""
    by_engine: dict[str, list[Task]] = {}
    for task in tasks:
        if task.run is not None and task.run.epoch:
            by_engine.setdefault(task.run.engine, []).append(task)
    pairs: list[tuple[Task, Observation]] = []
    for kind, members in by_engine.items():
        refs = {task.pk: specs.attempt_ref(task, task.run) for task in members if task.run}
        seen = engines(kind).observe(list(refs.values()))
        pairs += [(task, seen[refs[task.pk]]) for task in members]
    return pairs


def _needs_a_step(task: Task, observation: Observation) -> bool:
    state = observation.state
    if state is EngineState.UNREACHABLE or task.restart_at is not None:
        return False
    alive = state in (EngineState.STARTING, EngineState.RUNNING, EngineState.PAUSING)
    return alive is not (task.status == Status.RUNNING)


def engine_kind(task: Task) -> str:
    """Return which engine `task` is, or would be, on."""
    if task.run is not None:
        return task.run.engine
    kind = ResourceGroup.objects.filter(name=task.group_id).values_list("kind", flat=True).first()
    return kind or EngineKind.LOCAL.value  # of a task that never ran, on a group that is gone, nothing is asked


def detect_missing_objects(owner: str) -> None:
    """Tasks whose group or connections were deleted: those that run are paused first, the others say so at once."""
    groups = ResourceGroup.objects.values("name")
    connections = Connection.objects.values("name")
    settled = (Status.INITIALIZE, Status.PAUSED, Status.STOPPED, Status.FAILURE)
    orphans = Task.objects.submitted().exclude(
        group__in=groups, source_connection__in=connections, target_connection__in=connections
    )
    for task in orphans.filter(status__in=(*settled, Status.RUNNING)).select_related("run").order_by("pk")[:CHUNK]:
        fault = specs.missing_object(task)
        if fault is None:
            continue
        if task.status == Status.RUNNING:
            _pause_first(task, fault)
        elif claims.claim(task, owner):
            step = Settle(Status.DETECTION_EXCEPTION, False, fault.sentence, fault.code, fault=fault)
            try:
                settling.settle(task, None, step, ended_as="missing", owner=owner)
            except MovedOn:
                claims.release(task, owner)


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


def look_at_groups(engines: Engines) -> None:
    """Write down which groups' engines answer."""
    for group in ResourceGroup.objects.order_by("pk")[:CHUNK]:
        now = timezone.now()
        try:
            engines(group.kind).capacity()
        except (EngineError, LookupError) as error:
            ResourceGroup.objects.filter(pk=group.pk).update(reachable=False, problem=str(error))
        else:
            ResourceGroup.objects.filter(pk=group.pk).update(reachable=True, answered_at=now, problem="")


def test_connections(engines: Engines) -> None:
    """Carry out the connection tests that were asked for in the admin."""
    for connection in Connection.objects.filter(check_requested_at__isnull=False).order_by("check_requested_at")[:20]:
        faults = _test(connection, engines)
        Connection.objects.filter(pk=connection.pk, check_requested_at=connection.check_requested_at).update(
            check_requested_at=None,
            checked_at=timezone.now(),
            check_problem=" ".join(fault.sentence for fault in faults),
        )


def _test(connection: Connection, engines: Engines) -> tuple[Fault, ...]:
    try:
        return engines("local").check_connection(specs.connection_spec(connection))
    except (EngineError, SecretUnreadable) as error:
        return (Fault(ErrorClass.TRANSIENT, "not_tested", str(error)),)


def forget_dead_workers() -> None:
    WorkerHeartbeat.objects.filter(beat_at__lt=timezone.now() - timedelta(days=1)).delete()
