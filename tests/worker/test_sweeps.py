"""What the worker does beside operations, and its loop, against an engine in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, DjangoCaptureOnCommitCallbacks

from tasks.engines.base import Counters, DirtyRow, EngineState, ErrorClass, Fault
from tasks.models import Connection, OperationRequest, ResourceGroup, Task, WorkerHeartbeat
from tasks.operations import SYSTEM, accept
from tasks.statuses import Channel, Operation, Status
from tasks.worker import specs, sweeps
from tasks.worker.loop import Worker
from tests.factories import make_connection, make_group, make_task
from tests.fakes import FakeEngine

pytestmark = pytest.mark.django_db


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


def worker(engine: FakeEngine) -> Worker:
    return Worker(lambda kind: engine, name="worker-a")


def run(task: Task, engine: FakeEngine) -> Task:
    accept(task_id=task.pk, operation=Operation.RUN, actor=SYSTEM, channel=Channel.CLI)
    worker(engine).once()
    return Task.objects.select_related("run").get(pk=task.pk)


def test_once_carries_out_all_that_is_in_flight_and_ends(engine: FakeEngine) -> None:
    tasks = [make_task() for _ in range(5)]
    for task in tasks:
        accept(task_id=task.pk, operation=Operation.RUN, actor=SYSTEM, channel=Channel.CLI)
    worker(engine).once()
    assert set(Task.objects.values_list("status", "lease_owner")) == {(Status.RUNNING, "")}
    assert not WorkerHeartbeat.objects.exists()


def test_figures_are_what_the_engine_shows(engine: FakeEngine) -> None:
    task = run(make_task(), engine)
    assert task.run is not None
    ref = specs.attempt_ref(task, task.run)
    counters = Counters(rows_read=9, rows_written=8, rows_dirty=1, position=9, high_water=9)
    dirty = (DirtyRow(1, 1_700_000_000.0, "CHECK failed", "(1, 'bad')"),)
    engine.show(ref, EngineState.RUNNING, counters=counters, lag_seconds=0.5, offset_text="id = 9", dirty=dirty)
    worker(engine).once()
    task.refresh_from_db()
    assert (task.rows_read, task.rows_written, task.rows_dirty, task.lag_seconds) == (9, 8, 1, 0.5)
    assert task.offset_text == "id = 9"
    assert [row.reason for row in task.run.dirty_rows.all()] == ["CHECK failed"]
    assert task.observed_at is not None


def test_the_fault_of_a_running_task_is_what_it_retries_now(engine: FakeEngine) -> None:
    task = run(make_task(), engine)
    assert task.run is not None
    ref = specs.attempt_ref(task, task.run)
    engine.show(ref, EngineState.RUNNING, fault=Fault(ErrorClass.TRANSIENT, "locked", "The target is locked."))
    worker(engine).once()
    task.refresh_from_db()
    assert task.fault_cause == "The target is locked."
    engine.show(ref, EngineState.RUNNING, fault=None)
    worker(engine).once()
    task.refresh_from_db()
    assert task.fault_cause == ""


def test_steady_running_lets_earlier_restarts_be_forgotten(engine: FakeEngine) -> None:
    task = run(make_task(), engine)
    assert task.run is not None
    engine.show(specs.attempt_ref(task, task.run), EngineState.LOST)
    worker(engine).once()
    Task.objects.update(restart_at=timezone.now())
    worker(engine).once()
    task = Task.objects.select_related("run").get()
    assert task.run is not None
    assert (task.run.epoch, task.restarts_in_row) == (2, 1)
    newest = task.run.attempts.get(epoch=2)
    assert newest.running_at is not None
    newest.running_at -= timedelta(days=1)
    newest.save(update_fields=["running_at"])
    worker(engine).once()
    task.refresh_from_db()
    assert (task.restarts, task.restarts_in_row) == (1, 0)


def test_an_observation_under_way_during_a_stop_brings_no_figures_back(engine: FakeEngine) -> None:
    task = run(make_task(), engine)
    assert task.run is not None
    ref = specs.attempt_ref(task, task.run)
    engine.show(ref, EngineState.RUNNING, counters=Counters(rows_written=8))
    late = sweeps.look_at([task], lambda kind: engine)
    accept(task_id=task.pk, operation=Operation.STOP, actor=SYSTEM, channel=Channel.CLI)
    worker(engine).once()
    sweeps.observing.record_many(late)
    task.refresh_from_db()
    assert (task.status, task.rows_written, task.engine_state) == (Status.STOPPED, 0, "")


def test_observing_many_costs_one_engine_call_and_one_statement_a_task_with_news(
    engine: FakeEngine,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    make_group(capacity=100)
    for _ in range(10):
        run(make_task(), engine)
    with django_capture_on_commit_callbacks(execute=True):
        sweeps.observe(lambda kind: engine)
    for ref in list(engine.shown)[:4]:
        engine.show(ref, EngineState.RUNNING, counters=Counters(rows_read=5, position=5, high_water=5))
    before = dict(Task.objects.values_list("pk", "observed_at"))
    with django_assert_max_num_queries(4 + 1 + 4):  # those that show something new, the others together, and to look
        sweeps.observe(lambda kind: engine)
    after = dict(Task.objects.values_list("pk", "observed_at"))
    assert all(after[pk] > before[pk] for pk in before)
    assert Task.objects.filter(rows_read=5).count() == 4


def test_tasks_of_a_deleted_group_say_so_and_running_ones_are_paused_first(engine: FakeEngine) -> None:
    idle, busy = make_task("idle"), run(make_task("busy"), engine)
    ResourceGroup.objects.all().delete()
    worker(engine).once()
    idle.refresh_from_db()
    assert (idle.status, idle.status_before) == (Status.DETECTION_EXCEPTION, Status.INITIALIZE)
    busy.refresh_from_db()
    assert busy.status == Status.OPERATING
    request = OperationRequest.objects.get(task=busy, operation=Operation.PAUSE)
    assert (request.actor_name, request.reason) == ("system", "Resource group local does not exist.")
    assert busy.run is not None
    sweeps.look_at([busy], lambda kind: engine)
    ref = specs.attempt_ref(busy, busy.run)
    engine.show(ref, EngineState.PAUSED)
    worker(engine).once()
    busy.refresh_from_db()
    assert (busy.status, busy.status_before) == (Status.DETECTION_EXCEPTION, Status.PAUSED)
    # The group made again heals both, with one Re-detect each.
    make_group()
    for task in (idle, busy):
        accept(task_id=task.pk, operation=Operation.DETECT, actor=SYSTEM, channel=Channel.CLI)
    worker(engine).once()
    idle.refresh_from_db()
    busy.refresh_from_db()
    assert (idle.status, busy.status, busy.snapshots.count()) == (Status.INITIALIZE, Status.PAUSED, 1)


def test_groups_show_whether_their_engine_answers(engine: FakeEngine) -> None:
    group = make_group()
    worker(engine).once()
    group.refresh_from_db()
    assert (group.reachable, group.problem) == (True, "")
    engine.reachable = False
    worker(engine).once()
    group.refresh_from_db()
    assert (group.reachable, group.problem) == (False, "The fake engine does not answer.")


def test_connection_tests_are_carried_out_once(engine: FakeEngine) -> None:
    connection = make_connection("shop", check_requested_at=timezone.now())
    engine.faults = (Fault(ErrorClass.MISSING, "connection_missing", "/data/shop.db does not exist."),)
    worker(engine).once()
    connection.refresh_from_db()
    assert (connection.check_requested_at, connection.check_problem) == (None, "/data/shop.db does not exist.")
    worker(engine).once()
    assert engine.calls.count("check_connection") == 1


def test_a_secret_of_another_key_is_a_sentence_not_a_crash(engine: FakeEngine) -> None:
    make_task("a")
    Connection.objects.filter(name="shop").update(secret_token="gAAAAABnot-a-token")
    task = run(Task.objects.get(), engine)
    assert (task.status, task.fault_code) == (Status.FAILURE, "secret_unreadable")
    assert "type it again" in task.status_reason


def test_a_task_that_makes_a_step_raise_does_not_stop_the_others(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = make_task("bad"), make_task("good")
    for task in (bad, good):
        accept(task_id=task.pk, operation=Operation.RUN, actor=SYSTEM, channel=Channel.CLI)
    start = engine.start

    def raising(spec: object, epoch: int, snapshot: object) -> object:
        if getattr(spec, "name", "") == "bad":
            raise ZeroDivisionError
        return start(spec, epoch, snapshot)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "start", raising)
    one = worker(engine)
    for _ in range(3):
        one._work()
        one._in_hand.clear()
    good.refresh_from_db()
    assert good.status == Status.RUNNING
