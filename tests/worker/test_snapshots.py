"""Snapshots that people pin, choose to continue from, or ask for while a task goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tasks import snapshots
from tasks.engines.base import AttemptRef, EngineState, ErrorClass, Fault
from tasks.models import Snapshot, StatusChange, Task
from tasks.operations import SYSTEM, OperationRefused, accept
from tasks.statuses import Channel, Operation, Status
from tasks.worker import asking, observing
from tests.factories import make_snapshot, make_task
from tests.fakes import FakeEngine, snapshot_info
from tests.worker.conftest import Steps, ask

pytestmark = pytest.mark.django_db


def continue_from(task: Task, snapshot: str, operation: Operation = Operation.CONTINUE) -> Any:
    return accept(task_id=task.pk, operation=operation, actor=SYSTEM, channel=Channel.CLI, from_snapshot=snapshot)


@pytest.fixture
def paused(steps: Steps, running: Task) -> Task:
    ask(running, Operation.FORCED_PAUSE)
    task = steps(running)
    assert task.status == Status.PAUSED
    for n in (2, 3):
        assert task.run is not None
        long_ago = timezone.now() - timedelta(days=9_000 - n)
        make_snapshot(task, engine_id=f"older-{n}", taken_at=long_ago, position=n, pinned_by="olga")
    return task


def test_continue_goes_on_from_the_one_that_was_chosen(engine: FakeEngine, steps: Steps, paused: Task) -> None:
    continue_from(paused, "older-2")
    task = steps(paused)
    assert task.status == Status.RUNNING
    assert engine.started_from is not None
    assert engine.started_from.id == "older-2"
    assert task.run is not None
    attempt = task.run.attempts.get(epoch=2)
    assert attempt.from_snapshot is not None
    assert attempt.from_snapshot.engine_id == "older-2"


def test_whoever_went_back_behind_newer_ones_stays_there(engine: FakeEngine, steps: Steps, paused: Task) -> None:
    """Else a crash before the first new snapshot would leave out what was to be written again."""
    engine.snapshot_on_start = False
    continue_from(paused, "older-2")
    task = steps(paused)
    assert task.run is not None
    (ref,) = [ref for ref in engine.shown if ref.epoch == 2]
    # The engine tells of one of the first attempt that the console had not heard of, and has forgotten the chosen one.
    late = snapshot_info(AttemptRef(ref.task, ref.run, 1), 9)
    engine.show(ref, EngineState.FAILED, fault=Fault(ErrorClass.TRANSIENT, "net", "gone"), snapshots=(late,))
    task = steps(task)
    Task.objects.filter(pk=task.pk).update(restart_at=timezone.now())
    task = steps(task)
    assert (task.status, [ref.epoch for ref in engine.shown]) == (Status.RUNNING, [1, 2, 3])
    assert engine.started_from is not None
    assert engine.started_from.id == "older-2"
    # By choice one goes forward again.
    ask(task, Operation.FORCED_PAUSE)
    task = steps(task)
    continue_from(task, "older-3")
    steps(task)
    assert engine.started_from.id == "older-3"
    assert set(Snapshot.objects.filter(superseded=False).values_list("engine_id", flat=True)) == {"older-2", "older-3"}


@pytest.mark.parametrize(
    ("snapshot", "values", "code"),
    [
        ("nosuch", {}, "snapshot_gone"),
        ("older-2", {"unusable": "Its offset is gone."}, "snapshot_unusable"),
    ],
)
def test_one_that_can_not_be_continued_from_is_refused(
    paused: Task, snapshot: str, values: dict[str, str], code: str
) -> None:
    Snapshot.objects.filter(engine_id="older-2").update(**values)
    with pytest.raises(OperationRefused) as caught:
        continue_from(paused, snapshot)
    assert caught.value.refusal.code == code


def test_only_continue_takes_one_and_never_with_a_ledger(paused: Task) -> None:
    with pytest.raises(OperationRefused) as caught:
        continue_from(paused, "older-2", Operation.STOP)
    assert caught.value.refusal.code == "snapshot_not_for_this"
    Task.objects.update(exactly_once=True)
    with pytest.raises(OperationRefused) as caught:
        continue_from(paused, "older-2")
    assert caught.value.refusal.code == "exactly_once"


def test_one_that_vanished_after_acceptance_is_a_failure_not_another_one(
    engine: FakeEngine, steps: Steps, paused: Task
) -> None:
    continue_from(paused, "older-2")
    Snapshot.objects.filter(engine_id="older-2").delete()
    task = steps(paused)
    assert (task.status, task.fault_code) == (Status.FAILURE, "snapshot_gone")
    assert Snapshot.objects.filter(engine_id="older-3").exists()
    assert "start 1/2" not in engine.calls


def test_a_pinned_one_is_kept_when_the_engine_forgets_it(running: Task) -> None:
    assert running.run is not None
    old = make_snapshot(running, engine_id="old", taken_at=timezone.now() - timedelta(days=9_000))
    make_snapshot(running, engine_id="older", taken_at=timezone.now() - timedelta(days=9_001))
    assert snapshots.pin(old, "olga")
    ref = next(iter(running.run.attempts.values_list("epoch", flat=True)))
    infos = [snapshot_info(type("Ref", (), {"task": "t", "run": 1, "epoch": ref})(), 7)]
    observing.record_snapshots(running.run, infos)
    assert set(Snapshot.objects.values_list("engine_id", flat=True)) >= {"old", infos[0].id}
    assert not Snapshot.objects.filter(engine_id="older").exists()


def test_only_so_many_are_pinned(running: Task) -> None:
    made = [make_snapshot(running) for _ in range(snapshots.MOST_PINNED + 1)]
    assert [snapshots.pin(one, "olga") for one in made] == [True] * snapshots.MOST_PINNED + [False]
    snapshots.unpin(made[0], "omar")
    assert snapshots.pin(made[-1], "olga")
    told = list(StatusChange.objects.order_by("-pk").values_list("actor_name", "reason")[:2])
    assert told == [("olga", "Pinned the snapshot at id = 10"), ("omar", "Let go of the snapshot at id = 10")]


def test_a_snapshot_on_demand_is_asked_for_until_it_is_seen(engine: FakeEngine, running: Task) -> None:
    now = timezone.now()
    assert snapshots.ask_for(running, now, "olga")
    asking.ask_for_snapshots(lambda kind: engine)
    assert engine.calls[-1] == "snapshot"
    make_snapshot(running, kind="manual", taken_at=now, offset_text="id = 7")
    asking.ask_for_snapshots(lambda kind: engine)
    running.refresh_from_db()
    assert running.snapshot_asked_at is None
    assert StatusChange.objects.latest("pk").reason == "A snapshot was taken on demand: id = 7."


def test_one_that_does_not_come_is_given_up_and_said(engine: FakeEngine, running: Task) -> None:
    assert snapshots.ask_for(running, timezone.now() - timedelta(minutes=1), "olga")
    asking.ask_for_snapshots(lambda kind: engine)
    running.refresh_from_db()
    assert running.snapshot_asked_at is None
    assert "none came" in StatusChange.objects.latest("pk").reason


def test_only_a_running_task_takes_one(running: Task) -> None:
    assert not snapshots.ask_for(make_task("idle", status=Status.STOPPED), timezone.now(), "olga")
    assert snapshots.ask_for(running, timezone.now(), "olga")
    assert snapshots.ask_for(running, timezone.now(), "olga")  # a double click
    Task.objects.update(restart_at=timezone.now())
    assert not snapshots.ask_for(running, timezone.now(), "olga")
