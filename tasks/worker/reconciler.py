"""One task, one step: look, decide, do. Safe to repeat at any point, by any worker, after any crash."""

from __future__ import annotations

import logging

from django.db import transaction
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
from tasks.models import Attempt, OperationRequest, ResourceGroup, Run, Task
from tasks.models.fields import SecretUnreadable
from tasks.models.run import AttemptCause
from tasks.statuses import Outcome, Status
from tasks.transitions import MovedOn
from tasks.worker import claims, decisions, observing, settling, situation, specs
from tasks.worker.decisions import AskKill, AskPause, Detect, Launch, Restart, Settle, StartAgain, Step, Wait

log = logging.getLogger(__name__)


def reconcile(task_id: int, engine: Engine, owner: str, observation: Observation | None = None) -> bool:
    """Take one step for a task, and return whether a further look will find something to do.

    1. Take the lease, and read the task as it is now.
    2. Look at its newest attempt, unless `observation` already speaks of that.
    3. Decide: a pure function of what was found.
    4. Do it. The engine is called outside every transaction; what is asked for is written down before asking.
    """
    task = Task.objects.select_related("run").filter(pk=task_id).first()
    if task is None or not claims.claim(task, owner):
        return False
    task.refresh_from_db(from_queryset=Task.objects.select_related("run"))
    request = task.requests.filter(outcome=Outcome.OPEN).first()
    if request is not None and request.begun_at is None:
        OperationRequest.objects.filter(pk=request.pk).update(begun_at=timezone.now())
    try:
        observation = _look(task, engine, observation)
        step = decisions.decide(_situation(task, request, observation))
        state = observation.state.value if observation else EngineState.ABSENT.value
        _do(step, task, request, engine, owner, state)
    except MovedOn as moved:
        log.info("%s", moved)
        return True
    except EngineUnreachable as error:
        log.warning("Task %s: %s", task.name, error)
        return True
    if request is None:
        claims.release(task, owner)
    return not isinstance(step, Settle)


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
        attempt_seen=newest is not None and newest.running_at is not None,
        observation=observation,
        missing=specs.missing_object(task),
    )


def _do(step: Step, task: Task, request: OperationRequest | None, engine: Engine, owner: str, state: str) -> None:
    match step:
        case Wait():
            pass
        case Launch(cause):
            _launch(task, request, engine, owner, cause)
        case StartAgain():
            _start(task, request, engine, owner)
        case AskPause(token):
            _note_asked(request)
            engine.pause(specs.attempt_ref(task, _run_of(task)), token)
        case AskKill(grace):
            _note_asked(request)
            engine.kill(specs.attempt_ref(task, _run_of(task)), grace)
        case Detect():
            _detect(task, request, engine, owner)
        case Restart():
            settling.schedule_restart(task, request, step, ended_as=state, owner=owner)
        case Settle():
            if step.discard and task.run is not None and task.run.epoch:
                _note_asked(request)
                engine.discard(specs.attempt_ref(task, task.run))
            settling.settle(task, request, step, ended_as=state, owner=owner)


def _run_of(task: Task) -> Run:
    assert task.run is not None
    return task.run


def _note_asked(request: OperationRequest | None) -> None:
    if request is not None and request.asked_at is None:
        request.asked_at = timezone.now()
        OperationRequest.objects.filter(pk=request.pk).update(asked_at=request.asked_at)


def _launch(task: Task, request: OperationRequest | None, engine: Engine, owner: str, cause: AttemptCause) -> None:
    former = specs.attempt_ref(task, task.run) if task.run is not None and cause is AttemptCause.RUN else None
    if former is not None and former.epoch:
        engine.kill(former)  # a Failure's attempt that lives on unseen must not outlive its run
        if engine.observe([former])[former].state in (EngineState.STARTING, EngineState.RUNNING, EngineState.PAUSING):
            return  # looked at again soon
        engine.discard(former)
    kind = ResourceGroup.objects.values_list("kind", flat=True).get(name=task.group_id)
    with transaction.atomic():
        if cause is AttemptCause.RUN:
            assert request is not None
            runs.begin_run(task, request, kind, lease_owner=owner)
        run = _run_of(task)
        snapshot = None if cause is AttemptCause.RUN else snapshots.latest_usable(run)
        runs.begin_attempt(task, run, cause, snapshot, request, lease_owner=owner)
    _start(task, request, engine, owner)


def _start(task: Task, request: OperationRequest | None, engine: Engine, owner: str) -> None:
    run = _run_of(task)
    attempt = run.attempts.select_related("from_snapshot").get(epoch=run.epoch)
    info = specs.snapshot_info(attempt.from_snapshot, run) if attempt.from_snapshot else None
    _note_asked(request)
    try:
        engine.start(specs.task_spec(task, run), run.epoch, info)
    except SecretUnreadable as error:
        fault = Fault(ErrorClass.PERMANENT, "secret_unreadable", f"A connection's password can't be read. {error}")
        _fail(task, request, fault, owner)
    except EngineRefused as refused:
        if refused.code == "shutting_down":
            log.info("Task %s: %s", task.name, refused)
            return
        _fail(task, request, Fault(ErrorClass.PERMANENT, refused.code, str(refused)), owner)


def _fail(task: Task, request: OperationRequest | None, fault: Fault, owner: str) -> None:
    step = Settle(Status.FAILURE, False, fault.sentence, fault.code, fault=fault)
    settling.settle(task, request, step, ended_as="refused", owner=owner)


def _detect(task: Task, request: OperationRequest | None, engine: Engine, owner: str) -> None:
    assert request is not None
    overdue = timezone.now() >= request.deadline_at
    fault = specs.missing_object(task)
    if fault is None:
        _note_asked(request)
        try:
            faults = engine.check(specs.task_spec(task, None))
        except EngineUnreachable as error:
            if not overdue:
                raise
            faults = (Fault(ErrorClass.TRANSIENT, "engine_unreachable", str(error), "Start it, then Re-detect."),)
        fault = faults[0] if faults else None
    former = Status(task.status_before)
    if fault is not None:
        step = Settle(Status.DETECTION_EXCEPTION, False, fault.sentence, fault.code, fault=fault)
        settling.settle(task, request, step, ended_as="", owner=owner)
    elif former is Status.RUNNING:
        _launch(task, request, engine, owner, AttemptCause.REDETECT)
    else:
        found = Settle(former, True, "All configured objects were found.")
        settling.settle(task, request, found, ended_as="", owner=owner)
