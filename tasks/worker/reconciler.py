"""One task, one step: look, decide, do. Safe to repeat at any point, by any worker, after any crash."""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from tasks import runs, snapshots
from tasks.engines.base import (
    Engine,
    EngineRefused,
    EngineState,
    EngineUnreachable,
    ErrorClass,
    Fault,
    Observation,
)
from tasks.models import Attempt, Lease, OperationRequest, ResourceGroup, Run, Task
from tasks.models.fields import SecretUnreadable
from tasks.models.run import AttemptCause
from tasks.statuses import Operation, Outcome, Status
from tasks.transitions import MovedOn, write_history
from tasks.worker import claims, decisions, discarding, observing, settling, situation, specs
from tasks.worker.steps import Answer, AskKill, AskPause, Detect, Launch, Restart, Settle, StartAgain, Step, Wait

log = logging.getLogger(__name__)


def reconcile(task_id: int, engine: Engine, owner: str, observation: Observation | None = None) -> bool:
    """Take one step for a task, and return whether a further look will find something to do.

    1. Take the lease, and read the task as it is now.
    2. Look at its newest attempt, unless `observation` already speaks of that.
    3. Decide: a pure function of what was found.
    4. Do it. The engine is called outside every transaction; what is asked for is written down before asking.
    """
    task = Task.objects.select_related("run", "last_request").filter(pk=task_id).first()
    lease = claims.claim(task, owner) if task is not None else None
    if task is None or lease is None:
        return False
    request = _in_question(task)
    is_open = request is not None and request.outcome == Outcome.OPEN
    if is_open and request is not None and request.begun_at is None:
        OperationRequest.objects.filter(pk=request.pk).update(begun_at=timezone.now())
    try:
        observation = _look(task, engine, observation)
        step = decisions.decide(_situation(task, request, observation))
        state = observation.state.value if observation else EngineState.ABSENT.value
        _do(step, task, request, engine, lease, state)
    except MovedOn as moved:
        log.info("%s", moved)
        return True
    except EngineUnreachable as error:
        log.warning("Task %s: %s", task.name, error)
        return True
    if not is_open:
        claims.release(task, lease)
    return not isinstance(step, Settle)


def _in_question(task: Task) -> OperationRequest | None:
    """Return the open request of `task`, or its last one where that one's outcome is still unknown."""
    last = task.last_request
    if last is not None and last.outcome in (Outcome.OPEN, Outcome.UNKNOWN):
        return last
    return task.requests.filter(outcome=Outcome.OPEN).first()


def _look(task: Task, engine: Engine, seen: Observation | None) -> Observation | None:
    if task.run is None or task.run.epoch == 0:
        return None
    ref = specs.attempt_ref(task, task.run)
    if seen is None or seen.ref != ref:
        seen = engine.observe([ref])[ref]
    observing.record(task, seen)
    return seen


def _situation(task: Task, request: OperationRequest | None, observation: Observation | None) -> situation.Situation:
    newest = task.run.attempts.first() if task.run else None
    return situation.of(
        task,
        request,
        now=timezone.now(),
        launched=request is not None and Attempt.objects.filter(request=request).exists(),
        asked_to_end=_asked_to_end(task.last_request),
        attempt_seen=newest is not None and newest.running_at is not None,
        observation=observation,
        missing=specs.missing_object(task),
    )


def _asked_to_end(last: OperationRequest | None) -> bool:
    ending = (Operation.PAUSE, Operation.FORCED_PAUSE, Operation.STOP)
    return last is not None and last.operation in ending and last.asked_at is not None


def _do(step: Step, task: Task, request: OperationRequest | None, engine: Engine, lease: Lease, state: str) -> None:
    match step:
        case Wait():
            pass
        case Launch(cause):
            _launch(task, request, engine, lease, cause)
        case StartAgain():
            _start(task, request, engine, lease)
        case AskPause(token):
            _about_to_ask(task, request, lease)
            engine.pause(specs.attempt_ref(task, _run_of(task)), token)
        case AskKill(grace, reason):
            _about_to_ask(task, request, lease)
            engine.kill(specs.attempt_ref(task, _run_of(task)), grace)
            if reason:
                status = Status(task.status)
                write_history(task, status, status, actor_name="system", reason=reason)
        case Detect():
            _detect(task, request, engine, lease)
        case Restart():
            settling.schedule_restart(task, request, step, ended_as=state, lease=lease)
        case Answer():
            assert request is not None
            settling.answer(task, request, step, lease=lease)
        case Settle():
            run = task.run
            settling.settle(task, request, step, ended_as=state, lease=lease)
            if step.discard and run is not None:
                discarding.discard(run, engine)


def _run_of(task: Task) -> Run:
    assert task.run is not None
    return task.run


def _about_to_ask(task: Task, request: OperationRequest | None, lease: Lease) -> None:
    """Write down that the engine is asked. Raises MovedOn where this is no longer this worker's business."""
    if request is None or request.outcome != Outcome.OPEN:
        current = runs.held(task, lease).exists()
    else:
        still_open = OperationRequest.objects.filter(
            pk=request.pk, outcome=Outcome.OPEN, task__in=runs.held(task, lease)
        )
        current = still_open.update(asked_at=Coalesce("asked_at", Value(timezone.now()))) == 1
    if not current:
        raise MovedOn(f"Another worker holds {task.name}.")


def _launch(task: Task, request: OperationRequest | None, engine: Engine, lease: Lease, cause: AttemptCause) -> None:
    former = specs.attempt_ref(task, task.run) if task.run is not None and cause is AttemptCause.RUN else None
    if former is not None and former.epoch:
        _about_to_ask(task, request, lease)
        engine.kill(former)  # a Failure's attempt that lives on unseen must not outlive its run
        if engine.observe([former])[former].state in (EngineState.STARTING, EngineState.RUNNING, EngineState.PAUSING):
            return  # looked at again soon
    kind = ResourceGroup.objects.values_list("kind", flat=True).get(name=task.group_id)
    if cause is AttemptCause.CONTINUE and snapshots.to_continue_from(_run_of(task), request) is None:
        gone = Fault(ErrorClass.PERMANENT, "snapshot_gone", "The snapshot to continue from is gone.", "Choose another.")
        _fail(task, request, gone, lease)
        return
    # Written down first, and only then asked for: a worker that was superseded writes nothing, so asks nothing.
    with transaction.atomic():
        if cause is AttemptCause.RUN:
            assert request is not None
            runs.begin_run(task, request, kind, lease=lease)
        run = _run_of(task)
        snapshot = None if cause is AttemptCause.RUN else snapshots.to_continue_from(run, request)
        if snapshot is not None and request is not None and request.from_snapshot:
            snapshots.go_back_to(snapshot)
        runs.begin_attempt(task, run, cause, snapshot, request, lease=lease)
    _start(task, request, engine, lease)


def _start(task: Task, request: OperationRequest | None, engine: Engine, lease: Lease) -> None:
    run = _run_of(task)
    attempt = run.attempts.select_related("from_snapshot").get(epoch=run.epoch)
    info = specs.snapshot_info(attempt.from_snapshot, run) if attempt.from_snapshot else None
    _about_to_ask(task, request, lease)
    try:
        engine.start(specs.task_spec(task, run), run.epoch, info)
    except SecretUnreadable as error:
        fault = Fault(ErrorClass.PERMANENT, "secret_unreadable", f"A connection's password can't be read. {error}")
        _fail(task, request, fault, lease)
    except EngineRefused as refused:
        if refused.code == "shutting_down" or not runs.held(task, lease).exists():
            log.info("Task %s: %s", task.name, refused)
            return
        _fail(task, request, Fault(ErrorClass.PERMANENT, refused.code, str(refused)), lease)


def _fail(task: Task, request: OperationRequest | None, fault: Fault, lease: Lease) -> None:
    step = Settle(Status.FAILURE, False, fault.sentence, fault.code, fault=fault)
    settling.settle(task, request, step, ended_as="refused", lease=lease)


def _detect(task: Task, request: OperationRequest | None, engine: Engine, lease: Lease) -> None:
    assert request is not None
    overdue = timezone.now() >= request.deadline_at
    fault = specs.missing_object(task)
    if fault is None:
        _about_to_ask(task, request, lease)
        try:
            faults = engine.check(specs.task_spec(task, None))
        except EngineUnreachable as error:
            if not overdue:
                raise
            # What was missing before is still all that is known.
            blind = Settle(
                Status.DETECTION_EXCEPTION, False, f"Nothing could be checked: {error}", "engine_unreachable"
            )
            settling.settle(task, request, blind, ended_as="", lease=lease)
            return
        fault = faults[0] if faults else None
    former = Status(task.status_before)
    if fault is not None:
        step = Settle(Status.DETECTION_EXCEPTION, False, fault.sentence, fault.code, fault=fault)
        settling.settle(task, request, step, ended_as="", lease=lease)
    elif former is Status.RUNNING:
        _launch(task, request, engine, lease, AttemptCause.REDETECT)
    else:
        found = Settle(former, True, "All configured objects were found.")
        settling.settle(task, request, found, ended_as="", lease=lease)
