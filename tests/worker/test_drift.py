"""What runs though it should not, what ended though it should not, and objects that are gone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tasks import runs
from tasks.engines.base import AttemptRef, EngineState, ErrorClass, Fault
from tasks.models import Connection, ResourceGroup, Run, StatusChange, Task
from tasks.models.run import AttemptCause
from tasks.models.task import NEVER
from tasks.statuses import Operation, Status
from tasks.transitions import MovedOn
from tasks.worker import claims, detection, settling, specs
from tasks.worker.loop import Worker
from tasks.worker.steps import Settle
from tests.factories import make_task
from tests.fakes import FakeEngine
from tests.worker.conftest import Steps, ask

pytestmark = pytest.mark.django_db

GONE = Fault(ErrorClass.MISSING, "table_missing", "Table orders does not exist.", "Create it.", "table orders")


def worker(engine: FakeEngine) -> Worker:
    return Worker(lambda kind: engine, name="worker-b")


def ref_of(task: Task) -> AttemptRef:
    assert task.run is not None
    return specs.attempt_ref(task, task.run)


def reasons(task: Task) -> list[str]:
    return list(StatusChange.objects.filter(task=task).values_list("reason", flat=True))


@pytest.mark.parametrize("operation", [Operation.FORCED_PAUSE, Operation.STOP])
def test_a_job_that_runs_again_behind_the_consoles_back_is_ended(
    engine: FakeEngine, steps: Steps, running: Task, operation: Operation
) -> None:
    ref = ref_of(running)
    ask(running, operation)
    task = steps(running)
    engine.show(ref, EngineState.RUNNING)
    worker(engine).once()
    assert engine.shown[ref].state is EngineState.KILLED
    task.refresh_from_db()
    assert task.status in (Status.PAUSED, Status.STOPPED)
    assert "ended there" in reasons(task)[0]


def test_an_older_attempt_that_lives_on_is_ended_and_the_newest_left_alone(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    older = ref_of(running)
    ask(running, Operation.FORCED_PAUSE)
    task = steps(running)
    ask(task, Operation.CONTINUE)
    task = steps(task)
    engine.show(older, EngineState.RUNNING)
    worker(engine).once()
    assert engine.shown[older].state is EngineState.KILLED
    assert engine.shown[ref_of(task)].state is EngineState.RUNNING
    assert "attempt 1 of run 1, which is not the newest" in reasons(task)[0]


def test_a_task_that_the_console_does_not_know_is_left_alone(engine: FakeEngine, running: Task) -> None:
    stranger = AttemptRef("beef", 1, 1)
    engine.show(stranger, EngineState.RUNNING)
    worker(engine).once()
    assert engine.shown[stranger].state is EngineState.RUNNING


def test_a_task_ended_on_the_engine_by_somebody_else_is_paused_and_says_so(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    engine.show(ref_of(running), EngineState.KILLED)
    task = steps(running)
    assert (task.status, task.paused_how) == (Status.PAUSED, "forced")
    assert "nobody asked for that here" in task.status_reason


def test_a_worker_that_comes_back_late_neither_writes_nor_starts(engine: FakeEngine, steps: Steps) -> None:
    """The first worker is stopped between its claim and its step; a second one does all; then the first wakes up."""
    task = make_task()
    request = ask(task, Operation.RUN)
    stale = Task.objects.select_related("run").get(pk=task.pk)
    lease = claims.claim(stale, "worker-late")
    assert lease is not None
    Task.objects.filter(pk=task.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    task = steps(task)
    assert task.status == Status.RUNNING
    with pytest.raises(MovedOn), transaction.atomic():
        runs.begin_run(stale, request, "local", lease=lease)
    assert task.run is not None
    with pytest.raises(MovedOn), transaction.atomic():
        runs.begin_attempt(stale, task.run, AttemptCause.RESTART, None, None, lease=lease)
    with pytest.raises(MovedOn):
        settling.settle(stale, request, Settle(Status.FAILURE, False, "Late."), ended_as="", lease=lease)
    task.refresh_from_db()
    assert (task.status, Run.objects.get().epoch, engine.calls) == (Status.RUNNING, 1, ["start 1/1"])


def test_a_run_is_forgotten_by_its_engine_as_soon_as_that_can_be_asked(
    engine: FakeEngine, steps: Steps, running: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = ref_of(running)
    discard = engine.discard

    def silent(ref: AttemptRef) -> None:
        engine.reachable = False
        discard(ref)

    monkeypatch.setattr(engine, "discard", silent)
    ask(running, Operation.STOP)
    task = steps(running)
    assert (task.status, Run.objects.get().discarded_at) == (Status.STOPPED, None)
    monkeypatch.undo()
    engine.reachable = True
    worker(engine).once()
    assert Run.objects.get().discarded_at is not None
    assert ref not in engine.shown


# --- detection ----------------------------------------------------------------------------------------------


def check(engine: FakeEngine, task: Task) -> Task:
    """One sweep over a task that is due, as if long enough after the one before."""
    Task.objects.filter(pk=task.pk).update(checked_at=NEVER)
    Task.objects.filter(pk=task.pk, missing_since__isnull=False).update(
        missing_since=timezone.now() - timedelta(seconds=60)
    )
    detection.detect_missing_objects(lambda kind: engine, "worker-b")
    task.refresh_from_db()
    return task


@pytest.mark.parametrize("status", [Status.INITIALIZE, Status.PAUSED, Status.STOPPED, Status.FAILURE])
def test_an_object_has_to_be_missing_twice(engine: FakeEngine, status: Status) -> None:
    task = make_task(status=status)
    engine.faults = (GONE,)
    task = check(engine, task)
    assert (task.status, task.missing_since is not None) == (status, True)
    since = task.missing_since
    task = check(engine, task)
    assert (task.status, task.status_before, task.fault_subject) == (
        Status.DETECTION_EXCEPTION,
        status,
        "table orders",
    )
    assert since is not None
    assert task.missing_since is not None


def test_what_was_away_for_a_moment_is_no_exception(engine: FakeEngine) -> None:
    task = make_task(status=Status.STOPPED)
    engine.faults = (GONE,)
    check(engine, task)
    engine.faults = ()
    task = check(engine, task)
    assert (task.status, task.missing_since) == (Status.STOPPED, None)


def test_a_fault_that_may_pass_is_not_missing(engine: FakeEngine) -> None:
    task = make_task(status=Status.STOPPED)
    engine.faults = (Fault(ErrorClass.TRANSIENT, "unreachable", "No answer."),)
    assert check(engine, task).missing_since is None


def test_what_is_there_again_is_said_and_nothing_starts_by_itself(engine: FakeEngine) -> None:
    task = make_task(status=Status.DETECTION_EXCEPTION, status_before=Status.PAUSED, fault_code="table_missing")
    task = check(engine, task)
    assert task.status == Status.DETECTION_EXCEPTION
    assert task.fault_advice == "All is there again: Re-detect returns it to Paused."


def test_a_sweep_checks_a_bounded_number_the_longest_unchecked_first(
    engine: FakeEngine, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    tasks = [make_task(status=Status.STOPPED) for _ in range(30)]
    for _ in range(3):
        engine.calls.clear()
        with django_assert_max_num_queries(2 + 10 * 6):
            detection.detect_missing_objects(lambda kind: engine, "worker-b")
        assert engine.calls == ["check"] * 10
    assert not Task.objects.filter(pk__in=[task.pk for task in tasks], checked_at=NEVER).exists()
    detection.detect_missing_objects(lambda kind: engine, "worker-b")
    assert engine.calls == ["check"] * 10


def test_names_that_vanished_are_found_at_a_cost_that_does_not_grow_with_the_tasks(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _ in range(5):
        make_task(status=Status.STOPPED)
    with django_assert_num_queries(5):
        detection.detect_missing_names("worker-b")
    Connection.objects.filter(name="warehouse").delete()
    detection.detect_missing_names("worker-b")
    assert Task.objects.filter(status=Status.DETECTION_EXCEPTION).count() == 5
    assert set(Task.objects.values_list("fault_subject", flat=True)) == {"Connection warehouse"}
    ResourceGroup.objects.all().delete()
    detection.detect_missing_names("worker-b")
    assert set(Task.objects.values_list("fault_subject", flat=True)) == {"Connection warehouse"}
