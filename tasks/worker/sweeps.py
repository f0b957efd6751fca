"""What a worker does beside operations: observe all that runs, look at groups and connections, tidy up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from tasks.engines.base import ALIVE, Engine, EngineError, EngineState, ErrorClass, Fault, Observation
from tasks.models import Connection, EngineKind, OperationRequest, ResourceGroup, Task, WorkerHeartbeat
from tasks.models.fields import SecretUnreadable
from tasks.statuses import Outcome, Status
from tasks.worker import observing, specs

log = logging.getLogger(__name__)

#: Tasks looked at in one transaction, and with one engine call.
CHUNK = 500

Engines = Callable[[str], Engine]


def observe(engines: Engines) -> list[tuple[Task, Observation]]:
    """Record what the engines show of all running tasks; return those that need a step."""
    eventful: list[tuple[Task, Observation]] = []
    after = 0
    while True:
        tasks = list(
            Task.objects.filter(status=Status.RUNNING, pk__gt=after, run__isnull=False, run__epoch__gt=0)
            .select_related("run")
            .order_by("pk")[:CHUNK]
        )
        if not tasks:
            return eventful
        after = tasks[-1].pk
        pairs = look_at(tasks, engines)
        observing.record_many(pairs)
        eventful += [pair for pair in pairs if _needs_a_step(*pair)]


def observe_unknown(engines: Engines) -> list[tuple[Task, Observation]]:
    """Look at the tasks with an operation whose outcome is unknown; return those whose engine answers again."""
    unknown = OperationRequest.objects.filter(outcome=Outcome.UNKNOWN)
    tasks = Task.objects.filter(last_request__in=unknown).exclude(status=Status.OPERATING)
    pairs = look_at(list(tasks.select_related("run").order_by("pk")[:CHUNK]), engines)
    observing.record_many(pairs)
    return [pair for pair in pairs if pair[1].state is not EngineState.UNREACHABLE]


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
    return state is not EngineState.UNREACHABLE and state not in ALIVE and task.restart_at is None


def engine_kind(task: Task) -> str:
    """Return which engine `task` is, or would be, on."""
    if task.run is not None:
        return task.run.engine
    kind = ResourceGroup.objects.filter(name=task.group_id).values_list("kind", flat=True).first()
    return kind or EngineKind.LOCAL.value  # of a task that never ran, on a group that is gone, nothing is asked


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
