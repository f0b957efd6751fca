"""The life of an operation, from acceptance to settlement, against an engine that shows what each test sets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tasks.engines.base import AttemptRef, Counters, EngineState, ErrorClass, Fault
from tasks.models import Attempt, OperationRequest, ResourceGroup, Run, Snapshot, StatusChange, Task
from tasks.statuses import Operation, Outcome, Status
from tasks.worker import observing, specs
from tasks.worker.reconciler import reconcile
from tests.factories import make_task
from tests.fakes import FakeEngine, snapshot_info
from tests.worker.conftest import Steps, ask, outcome

pytestmark = pytest.mark.django_db

MISSING = Fault(ErrorClass.MISSING, "table_missing", "Table orders does not exist.", "Create it.", "table orders")
BROKEN = Fault(ErrorClass.PERMANENT, "column_missing", "Column id does not exist.")
PASSING = Fault(ErrorClass.TRANSIENT, "locked", "The database is locked.")


def ref_of(task: Task) -> AttemptRef:
    assert task.run is not None
    return specs.attempt_ref(task, task.run)


def test_run_opens_a_run_and_an_attempt_and_ends_running(engine: FakeEngine, steps: Steps) -> None:
    task = make_task()
    request = ask(task, Operation.RUN)
    task = steps(task)
    assert (task.status, outcome(request)[0], engine.calls) == (Status.RUNNING, Outcome.SUCCEEDED, ["start 1/1"])
    assert task.run is not None
    assert (task.run.number, task.run.epoch, task.lease_owner) == (1, 1, "")
    assert Snapshot.objects.filter(task=task).count() == 1
    chain = list(StatusChange.objects.order_by("pk").values_list("from_status", "to_status"))
    assert chain == [("initialize", "operating"), ("operating", "running")]


def test_run_of_a_missing_object_is_a_detection_exception_that_remembers(engine: FakeEngine, steps: Steps) -> None:
    engine.on_start = EngineState.STARTING
    task = make_task()
    request = ask(task, Operation.RUN)
    task = steps(task, 1)
    engine.show(ref_of(task), EngineState.FAILED, fault=MISSING)
    task = steps(task)
    assert (task.status, task.status_before) == (Status.DETECTION_EXCEPTION, Status.INITIALIZE)
    assert (outcome(request), task.fault_subject) == ((Outcome.FAILED, "table_missing"), "table orders")


def test_run_on_a_deleted_group_is_a_detection_exception(engine: FakeEngine, steps: Steps) -> None:
    task = make_task()
    ResourceGroup.objects.all().delete()
    ask(task, Operation.RUN)
    task = steps(task)
    assert (task.status, task.fault_cause) == (Status.DETECTION_EXCEPTION, "Resource group local does not exist.")
    assert engine.calls == []


def test_pause_is_asked_once_and_settles_when_the_engine_shows_the_snapshot(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    request = ask(running, Operation.PAUSE)
    assert steps(running).status == Status.OPERATING
    assert engine.calls.count("pause") == 1
    engine.show(ref_of(running), EngineState.PAUSED, snapshots=(snapshot_info(ref_of(running), 9, kind="pause"),))
    task = steps(running)
    assert (task.status, task.paused_how, outcome(request)[0]) == (Status.PAUSED, "normal", Outcome.SUCCEEDED)
    newest = Snapshot.objects.filter(task=task).first()
    assert newest is not None
    assert (newest.kind, newest.position) == ("pause", 9)


def test_a_pause_that_the_engine_gives_up_leaves_it_running_and_names_the_way_out(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    request = ask(running, Operation.PAUSE)
    steps(running)
    token = f"request-{request.pk}"
    engine.show(ref_of(running), EngineState.RUNNING, pause_token=token, pause_error="The target is locked.")
    task = steps(running)
    assert (task.status, outcome(request)) == (Status.RUNNING, (Outcome.FAILED, "pause_failed"))
    assert "Forced pause is the way out" in task.status_reason


def test_a_pause_past_its_deadline_returns_to_running_and_its_late_snapshot_is_adopted(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    request = ask(running, Operation.PAUSE)
    steps(running)
    OperationRequest.objects.filter(pk=request.pk).update(deadline_at=timezone.now())
    assert steps(running).status == Status.RUNNING
    assert outcome(request) == (Outcome.FAILED, "timed_out")
    engine.show(ref_of(running), EngineState.PAUSED)
    task = steps(running)
    assert (task.status, task.paused_how) == (Status.PAUSED, "normal")


def test_forced_pause_then_continue_starts_the_next_epoch_from_the_latest_snapshot(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    first = ref_of(running)
    engine.show(
        first,
        EngineState.RUNNING,
        counters=Counters(rows_written=50, position=50, high_water=50),
        snapshots=(snapshot_info(first, 20), snapshot_info(first, 1)),
    )
    ask(running, Operation.FORCED_PAUSE)
    task = steps(running)
    assert (task.status, task.paused_how, task.high_water) == (Status.PAUSED, "forced", 50)
    ask(task, Operation.CONTINUE)
    task = steps(task)
    assert (task.status, ref_of(task).epoch) == (Status.RUNNING, 2)
    assert engine.started_from is not None
    assert engine.started_from.position == 20
    assert Attempt.objects.get(run=task.run, epoch=2).replay_forecast == 30


def test_stop_discards_snapshots_offsets_and_figures_but_not_history(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    engine.show(ref_of(running), EngineState.RUNNING, counters=Counters(rows_written=50), offset_text="id = 50")
    ask(running, Operation.STOP)
    task = steps(running)
    assert (task.status, task.run, task.rows_written, task.offset_text) == (Status.STOPPED, None, 0, "")
    assert not Snapshot.objects.exists()
    assert engine.calls[-2:] == ["kill", "discard"]
    assert Run.objects.get().ended_at is not None
    assert StatusChange.objects.filter(task=task).count() == 4


def test_what_does_not_run_shows_no_lag(engine: FakeEngine, steps: Steps, running: Task) -> None:
    engine.show(ref_of(running), EngineState.RUNNING, lag_seconds=0.0, lag_rows=0, event_lag_ms=4.0)
    observing.record_many([(running, engine.observe([ref_of(running)])[ref_of(running)])])
    running.refresh_from_db()
    assert (running.lag_seconds, running.lag_rows) == (0.0, 0)
    ask(running, Operation.PAUSE)
    steps(running)
    engine.show(
        ref_of(running), EngineState.PAUSED, lag_seconds=0.0, lag_rows=0, snapshots=(snapshot_info(ref_of(running), 9),)
    )
    task = steps(running)
    assert (task.status, task.lag_seconds, task.lag_rows, task.event_lag_ms) == (Status.PAUSED, None, None, None)


def test_a_second_run_gets_the_next_number(engine: FakeEngine, steps: Steps, running: Task) -> None:
    ask(running, Operation.STOP)
    task = steps(running)
    ask(task, Operation.RUN)
    task = steps(task)
    assert task.run is not None
    assert (task.run.number, task.run.epoch, task.status) == (2, 1, Status.RUNNING)


def test_a_crash_restarts_from_the_snapshot_with_back_off(engine: FakeEngine, steps: Steps, running: Task) -> None:
    engine.show(ref_of(running), EngineState.LOST)
    task = steps(running)
    assert (task.status, task.restarts, task.restarts_in_row) == (Status.RUNNING, 1, 1)
    assert task.restart_at is not None
    Task.objects.filter(pk=task.pk).update(restart_at=timezone.now())
    task = steps(task)
    assert (task.status, ref_of(task).epoch, task.restart_at) == (Status.RUNNING, 2, None)
    assert "Automatic restart 1 of 5" in StatusChange.objects.filter(task=task)[0].reason


def test_past_the_limit_of_restarts_it_is_a_failure_that_can_be_continued(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    Task.objects.filter(pk=running.pk).update(restarts_in_row=5)
    engine.show(ref_of(running), EngineState.FAILED, fault=PASSING)
    task = steps(running)
    assert (task.status, task.fault_code) == (Status.FAILURE, "locked")
    assert "5 automatic restarts" in task.status_reason
    ask(task, Operation.CONTINUE)
    assert steps(task).status == Status.RUNNING


def test_a_permanent_fault_is_a_failure_at_once(engine: FakeEngine, steps: Steps, running: Task) -> None:
    engine.show(ref_of(running), EngineState.FAILED, fault=BROKEN)
    task = steps(running)
    assert (task.status, task.restarts, task.fault_cause) == (Status.FAILURE, 0, "Column id does not exist.")


def test_an_engine_shut_down_does_not_count_against_the_limit(engine: FakeEngine, steps: Steps, running: Task) -> None:
    Task.objects.filter(pk=running.pk).update(restarts_in_row=5)
    engine.show(ref_of(running), EngineState.DRAINED)
    task = steps(running)
    assert (task.status, ref_of(task).epoch, task.restarts_in_row) == (Status.RUNNING, 2, 5)


def test_a_worker_that_died_between_writing_and_asking_is_healed_by_looking(engine: FakeEngine, steps: Steps) -> None:
    task = make_task()
    ask(task, Operation.RUN)
    engine.reachable = False
    task = steps(task, 1)
    assert ref_of(task).epoch == 1
    engine.reachable = True
    task = steps(task)
    assert (task.status, ref_of(task).epoch) == (Status.RUNNING, 1)


def test_another_workers_lease_is_respected_until_it_runs_out(engine: FakeEngine) -> None:
    task = make_task()
    ask(task, Operation.RUN)
    Task.objects.filter(pk=task.pk).update(lease_owner="worker-b", lease_until=timezone.now() + timedelta(seconds=9))
    assert reconcile(task.pk, engine, "worker-a") is False
    assert engine.calls == []
    Task.objects.filter(pk=task.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert reconcile(task.pk, engine, "worker-a") is True
    assert engine.calls == ["start 1/1"]


def test_re_detect_returns_to_the_former_status_with_snapshots_intact(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    ask(running, Operation.FORCED_PAUSE)
    task = steps(running)
    engine.show(ref_of(task), EngineState.KILLED)
    ask(task, Operation.CONTINUE)
    task = steps(task, 1)
    engine.show(ref_of(task), EngineState.FAILED, fault=MISSING)
    task = steps(task)
    assert (task.status, task.status_before) == (Status.DETECTION_EXCEPTION, Status.PAUSED)
    engine.faults = (MISSING,)
    request = ask(task, Operation.DETECT)
    task = steps(task)
    assert (task.status, outcome(request)[1]) == (Status.DETECTION_EXCEPTION, "table_missing")
    engine.faults = ()
    ask(task, Operation.DETECT)
    task = steps(task)
    assert (task.status, task.fault_code) == (Status.PAUSED, "")
    assert Snapshot.objects.filter(task=task).exists()


def test_re_detect_of_a_task_that_was_running_runs_it_again(engine: FakeEngine, steps: Steps, running: Task) -> None:
    engine.show(ref_of(running), EngineState.FAILED, fault=MISSING)
    task = steps(running)
    assert (task.status, task.status_before) == (Status.DETECTION_EXCEPTION, Status.RUNNING)
    ask(task, Operation.DETECT)
    task = steps(task)
    assert (task.status, ref_of(task).epoch) == (Status.RUNNING, 2)


def test_a_run_that_ends_by_itself_is_stopped_and_nothing_is_kept(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    engine.show(ref_of(running), EngineState.FINISHED)
    task = steps(running)
    assert (task.status, task.run) == (Status.STOPPED, None)
    assert not Snapshot.objects.exists()


def test_a_failure_that_the_engine_shows_running_is_running_after_all(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    engine.show(ref_of(running), EngineState.STARTING)
    engine.show(ref_of(running), EngineState.FAILED, fault=BROKEN)
    task = steps(running)
    assert task.status == Status.FAILURE
    engine.show(ref_of(task), EngineState.RUNNING)
    assert steps(task).status == Status.RUNNING


def test_a_paused_task_found_alive_is_ended(engine: FakeEngine, steps: Steps, running: Task) -> None:
    ask(running, Operation.FORCED_PAUSE)
    task = steps(running)
    engine.show(ref_of(task), EngineState.RUNNING)
    task = steps(task)
    assert engine.calls[-1] == "kill"
    assert engine.shown[ref_of(task)].state is EngineState.KILLED


def test_an_operating_task_without_a_request_is_settled_to_what_the_engine_shows(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    request = ask(running, Operation.PAUSE)
    OperationRequest.objects.filter(pk=request.pk).delete()
    assert steps(running).status == Status.RUNNING


def test_what_no_worker_took_in_hand_in_time_is_not_started_late(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    engine.show(ref_of(running), EngineState.FAILED, fault=BROKEN)
    task = steps(running)
    request = ask(task, Operation.CONTINUE)
    OperationRequest.objects.filter(pk=request.pk).update(deadline_at=timezone.now())
    task = steps(task)
    assert (task.status, outcome(request)) == (Status.FAILURE, (Outcome.FAILED, "timed_out"))
    assert (task.fault_code, engine.calls) == ("column_missing", ["start 1/1"])


def test_a_start_that_keeps_failing_does_not_outlast_its_deadline(
    engine: FakeEngine, steps: Steps, running: Task
) -> None:
    ask(running, Operation.FORCED_PAUSE)
    task = steps(running)
    engine.on_start = EngineState.STARTING
    request = ask(task, Operation.CONTINUE)
    task = steps(task, 1)
    engine.show(ref_of(task), EngineState.FAILED, fault=PASSING)
    task = steps(task)
    assert (task.status, task.restart_at is not None) == (Status.OPERATING, True)
    OperationRequest.objects.filter(pk=request.pk).update(deadline_at=timezone.now())
    task = steps(task)
    assert (task.status, task.restart_at, outcome(request)) == (Status.FAILURE, None, (Outcome.FAILED, "timed_out"))
    assert "does not stay up: The database is locked" in task.status_reason


def test_an_older_look_recorded_later_does_not_turn_figures_back(engine: FakeEngine, running: Task) -> None:
    older = engine.observe([ref_of(running)])[ref_of(running)]
    engine.show(ref_of(running), EngineState.KILLED, counters=Counters(position=9, high_water=9))
    observing.record(running, engine.observe([ref_of(running)])[ref_of(running)])
    observing.record(running, older)
    running.refresh_from_db()
    assert (running.high_water, running.engine_state) == (9, "killed")
