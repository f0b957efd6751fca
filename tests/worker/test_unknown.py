"""The deadline passes and the engine says nothing: unknown, shown as such, and settled when it answers."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tasks.engines.base import EngineState, ErrorClass, Fault
from tasks.models import OperationRequest, Snapshot, StatusChange, Task
from tasks.statuses import Operation, Outcome, Status
from tasks.worker import specs
from tasks.worker.loop import Worker
from tests.factories import make_task
from tests.fakes import FakeEngine, snapshot_info
from tests.worker.conftest import Steps, ask, outcome

pytestmark = pytest.mark.django_db

UNKNOWN = (Outcome.UNKNOWN, "engine_unreachable")


def overdue(request: OperationRequest) -> None:
    OperationRequest.objects.filter(pk=request.pk).update(deadline_at=timezone.now())


def show(engine: FakeEngine, task: Task, state: EngineState, **values: object) -> None:
    assert task.run is not None
    engine.show(specs.attempt_ref(task, task.run), state, **values)


@pytest.fixture
def silent(engine: FakeEngine, steps: Steps, running: Task) -> Task:
    """A running task whose engine does not answer."""
    engine.reachable = False
    assert steps(running).status == Status.RUNNING
    return running


def look(engine: FakeEngine, task: Task) -> Task:
    """What a worker does when the engine answers again."""
    engine.reachable = True
    Worker(lambda kind: engine, name="worker-b").once()
    return Task.objects.select_related("run").get(pk=task.pk)


@pytest.mark.parametrize("operation", [Operation.PAUSE, Operation.FORCED_PAUSE, Operation.STOP])
def test_nothing_is_guessed_from_the_deadline(
    engine: FakeEngine, steps: Steps, silent: Task, operation: Operation
) -> None:
    request = ask(silent, operation)
    assert steps(silent).status == Status.OPERATING
    overdue(request)
    task = steps(silent)
    assert (task.status, outcome(request)) == (Status.RUNNING, UNKNOWN)
    assert "Outcome unknown" in task.status_reason
    assert steps(task).status == Status.RUNNING
    assert outcome(request) == UNKNOWN


@pytest.mark.parametrize(
    "operation, state, status, settled",
    [
        (Operation.PAUSE, EngineState.PAUSED, Status.PAUSED, Outcome.SUCCEEDED),
        (Operation.PAUSE, EngineState.RUNNING, Status.RUNNING, Outcome.FAILED),
        (Operation.PAUSE, EngineState.KILLED, Status.PAUSED, Outcome.FAILED),
        (Operation.PAUSE, EngineState.LOST, Status.RUNNING, Outcome.FAILED),
        (Operation.FORCED_PAUSE, EngineState.KILLED, Status.PAUSED, Outcome.SUCCEEDED),
        (Operation.FORCED_PAUSE, EngineState.LOST, Status.PAUSED, Outcome.SUCCEEDED),
        (Operation.FORCED_PAUSE, EngineState.RUNNING, Status.RUNNING, Outcome.FAILED),
        (Operation.STOP, EngineState.KILLED, Status.STOPPED, Outcome.SUCCEEDED),
        (Operation.STOP, EngineState.RUNNING, Status.RUNNING, Outcome.FAILED),
    ],
)
def test_it_is_settled_to_what_the_engine_shows_when_it_answers(
    engine: FakeEngine,
    steps: Steps,
    silent: Task,
    operation: Operation,
    state: EngineState,
    status: Status,
    settled: Outcome,
) -> None:
    request = ask(silent, operation)
    overdue(request)
    steps(silent)
    show(engine, silent, state)
    task = look(engine, silent)
    assert (task.status, outcome(request)[0]) == (status, settled)
    assert not OperationRequest.objects.filter(outcome__in=(Outcome.OPEN, Outcome.UNKNOWN)).exists()
    assert StatusChange.objects.filter(task=task, request=request).count() == 3


@pytest.mark.parametrize(
    "state, status, settled, code",
    [
        (EngineState.RUNNING, Status.RUNNING, Outcome.SUCCEEDED, ""),
        (EngineState.ABSENT, Status.FAILURE, Outcome.FAILED, "not_started"),
        (EngineState.FAILED, Status.FAILURE, Outcome.FAILED, "column_missing"),
    ],
)
def test_a_start_whose_engine_fell_silent(
    engine: FakeEngine, steps: Steps, state: EngineState, status: Status, settled: Outcome, code: str
) -> None:
    task = make_task()
    request = ask(task, Operation.RUN)
    engine.reachable = False
    steps(task)
    overdue(request)
    task = steps(task)
    assert (task.status, outcome(request)) == (Status.FAILURE, UNKNOWN)
    if state is not EngineState.ABSENT:
        fault = Fault(ErrorClass.PERMANENT, "column_missing", "No column id.") if state is EngineState.FAILED else None
        show(engine, task, state, fault=fault)
    task = look(engine, task)
    assert (task.status, outcome(request)) == (status, (settled, code))


def test_a_snapshot_that_arrives_while_nobody_could_look_is_adopted(
    engine: FakeEngine, steps: Steps, silent: Task
) -> None:
    request = ask(silent, Operation.PAUSE)
    overdue(request)
    steps(silent)
    assert silent.run is not None
    ref = specs.attempt_ref(silent, silent.run)
    show(engine, silent, EngineState.PAUSED, snapshots=(snapshot_info(ref, 9, kind="pause"),))
    task = look(engine, silent)
    assert (task.status, task.paused_how, task.status_reason) == (
        Status.PAUSED,
        "normal",
        "A late snapshot was adopted.",
    )
    newest = Snapshot.objects.filter(task=task).first()
    assert newest is not None
    assert newest.kind == "pause"


def test_a_later_operation_overtakes_one_of_unknown_outcome(engine: FakeEngine, steps: Steps, silent: Task) -> None:
    first = ask(silent, Operation.PAUSE)
    overdue(first)
    steps(silent)
    second = ask(silent, Operation.FORCED_PAUSE)
    engine.reachable = True
    task = steps(silent)
    assert (task.status, outcome(second)[0]) == (Status.PAUSED, Outcome.SUCCEEDED)
    assert outcome(first) == (Outcome.FAILED, "overtaken")


def test_a_re_detect_without_an_engine_keeps_what_is_known(engine: FakeEngine, steps: Steps, running: Task) -> None:
    gone = Fault(ErrorClass.MISSING, "table_missing", "Table orders does not exist.", "Create it.", "table orders")
    show(engine, running, EngineState.FAILED, fault=gone)
    task = steps(running)
    engine.reachable = False
    request = ask(task, Operation.DETECT)
    overdue(request)
    task = steps(task)
    assert (task.status, task.fault_code, task.status_before) == (
        Status.DETECTION_EXCEPTION,
        "table_missing",
        Status.RUNNING,
    )
    assert outcome(request) == (Outcome.FAILED, "engine_unreachable")


def test_a_task_may_have_its_own_time_limits() -> None:
    task = make_task(time_limits={"run": 600})
    request = ask(task, Operation.RUN)
    assert (request.deadline_at - request.requested_at).total_seconds() == 600
