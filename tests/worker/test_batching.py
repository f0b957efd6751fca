"""Batches are carried on a few at a time, through refusals, failures, deaths of workers and cancellation."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tasks import batches
from tasks.models import Batch, BatchItem, ItemState, OperationRequest, Task
from tasks.operations import Actor
from tasks.statuses import Operation, Outcome, Status
from tasks.worker import batching
from tests.factories import make_task, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def actor() -> Actor:
    return Actor.of(make_user("olga", "view_task", "operate_task", "stop_task"))


def make_batch(actor: Actor, count: int = 5, *, prefix: str = "t", key: str = "one", **values: Any) -> Batch:
    tasks = [make_task(f"{prefix}{n}", status=Status.RUNNING) for n in range(count)]
    return batches.create(Operation.PAUSE, tasks, actor=actor, key=key, **values)


def states(batch: Batch) -> dict[str, str]:
    return dict(batch.items.order_by("pk").values_list("task_name", "state"))


def settle(name: str, outcome: Outcome = Outcome.SUCCEEDED, message: str = "") -> None:
    OperationRequest.objects.filter(task__name=name, outcome=Outcome.OPEN).update(
        outcome=outcome, message=message, settled_at=timezone.now()
    )


def test_a_few_are_in_progress_at_once_and_the_rest_follows(actor: Actor) -> None:
    batch = make_batch(actor, concurrency=2)
    batching.carry_on()
    batching.carry_on()
    assert list(states(batch).values()) == ["asked", "asked", "waiting", "waiting", "waiting"]
    settle("t0")
    batching.carry_on()
    assert list(states(batch).values()) == ["succeeded", "asked", "asked", "waiting", "waiting"]
    for name in ("t1", "t2", "t3", "t4"):
        settle(name)
        batching.carry_on()
    batch.refresh_from_db()
    assert set(states(batch).values()) == {"succeeded"}
    assert batch.finished_at is not None


def test_each_outcome_is_that_of_its_request(actor: Actor) -> None:
    batch = make_batch(actor, 4)
    Task.objects.filter(name="t3").update(status=Status.STOPPED)  # since somebody looked at the preview
    batching.carry_on()
    settle("t0")
    settle("t1", Outcome.FAILED, "The disk is full.")
    settle("t2", Outcome.UNKNOWN, "The engine does not answer.")
    batching.carry_on()
    assert list(states(batch).values()) == ["succeeded", "failed", "unknown", "refused"]
    assert batch.items.get(task_name="t1").message == "The disk is full."
    assert "Pause is for tasks in status Running" in batch.items.get(task_name="t3").message


def test_what_is_known_to_be_refused_is_on_record_from_the_start(actor: Actor) -> None:
    stopped = make_task("stopped", status=Status.STOPPED)
    found = batches.forecast(Operation.PAUSE, [make_task("t0", status=Status.RUNNING), stopped], actor.may)
    batch = batches.create(
        Operation.PAUSE, found.allowed, refused=found.refused, actor=actor, key="k", stop_on_error=True
    )
    assert states(batch) == {"t0": "waiting", "stopped": "refused"}
    batching.carry_on()
    assert states(batch)["t0"] == "asked"  # that one is no surprise


def test_the_rest_is_left_out_when_one_goes_wrong(actor: Actor) -> None:
    batch = make_batch(actor, concurrency=1, stop_on_error=True)
    batching.carry_on()
    settle("t0", Outcome.FAILED, "The disk is full.")
    batching.carry_on()
    batch.refresh_from_db()
    assert list(states(batch).values()) == ["failed"] + ["cancelled"] * 4
    assert batch.stopped_because == "t0: The disk is full."
    assert batch.finished_at is not None


def test_cancelled_it_leaves_out_what_has_not_begun_and_waits_for_the_rest(actor: Actor) -> None:
    batch = make_batch(actor, concurrency=1)
    batching.carry_on()
    assert batches.cancel(batch, "omar") == 4
    batching.carry_on()
    batch.refresh_from_db()
    assert (states(batch)["t0"], batch.finished_at) == ("asked", None)
    settle("t0")
    batching.carry_on()
    batch.refresh_from_db()
    assert (states(batch)["t0"], batch.finished_at is not None) == ("succeeded", True)
    assert batches.cancel(batch, "omar") == 0


def test_many_batches_under_way_each_have_their_turn(actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MOST", 2)
    made = [make_batch(actor, 2, key=f"k{n}", prefix=f"b{n}-", concurrency=1) for n in range(5)]
    for _ in range(3):
        batching.carry_on()
    assert [Counter(states(batch).values())["asked"] for batch in made] == [1] * 5


def test_a_key_belongs_to_one_operation(actor: Actor) -> None:
    batch = make_batch(actor, 2)
    tasks = list(Task.objects.all())
    assert batches.create(Operation(batch.operation), tasks, actor=actor, key=batch.key) == batch
    with pytest.raises(batches.BatchRefused, match="Open it anew"):
        batches.create(Operation.STOP, tasks, actor=actor, key=batch.key)


@pytest.mark.django_db(transaction=True)
def test_a_task_that_is_deleted_at_that_moment_is_told_of(actor: Actor) -> None:
    tasks = [make_task(f"t{n}", status=Status.RUNNING) for n in range(2)]
    Task.objects.filter(name="t0").delete()
    with pytest.raises(batches.BatchRefused, match="look again"):
        batches.create(Operation.PAUSE, tasks, actor=actor, key="k")
    assert not batches.Batch.objects.exists()


def test_a_worker_that_died_with_an_item_in_hand_is_healed_and_nothing_is_asked_twice(actor: Actor) -> None:
    batch = make_batch(actor, 2)
    batching.carry_on()
    # It died after accept() and before it wrote the request down.
    BatchItem.objects.filter(task_name="t0").update(request=None, asked_at=timezone.now() - timedelta(seconds=60))
    # And before accept().
    OperationRequest.objects.filter(task__name="t1").delete()
    Task.objects.filter(name="t1").update(status=Status.RUNNING)
    BatchItem.objects.filter(task_name="t1").update(request=None, asked_at=timezone.now() - timedelta(seconds=60))
    batching.carry_on()
    assert OperationRequest.objects.count() == 2
    settle("t0")
    settle("t1")
    batching.carry_on()
    assert set(states(batch).values()) == {"succeeded"}


def test_a_task_or_a_person_that_is_gone_ends_the_items(actor: Actor) -> None:
    batch = make_batch(actor, 3, concurrency=1)
    batching.carry_on()
    Task.objects.filter(name="t0").delete()
    BatchItem.objects.filter(task_name="t0").update(asked_at=timezone.now() - timedelta(seconds=60))
    Task.objects.filter(name="t1").delete()
    make = type(batch.actor)
    batching.carry_on()
    assert states(batch)["t1"] == "failed"
    make.objects.filter(username="olga").update(is_active=False)  # type: ignore[union-attr]
    batching.carry_on()
    assert states(batch) == {"t0": "failed", "t1": "failed", "t2": "refused"}
    assert batch.items.get(task_name="t2").message == "olga may no longer sign in."


def test_rights_that_were_taken_away_meanwhile_count(actor: Actor) -> None:
    batch = make_batch(actor, 1)
    assert batch.actor is not None
    batch.actor.user_permissions.clear()
    batching.carry_on()
    assert states(batch) == {"t0": "refused"}
    assert Task.objects.get().status == Status.RUNNING


def test_the_same_form_sent_twice_is_one_batch(actor: Actor) -> None:
    batch = make_batch(actor, 1)
    assert batches.create(Operation.PAUSE, [], actor=actor, key="one") == batch
    assert BatchItem.objects.count() == 1


def test_a_pass_costs_the_same_for_a_large_batch(actor: Actor, django_assert_max_num_queries: Any) -> None:
    batch = make_batch(actor, 60, concurrency=1)
    batching.carry_on()
    with django_assert_max_num_queries(10):
        batching.carry_on()
    assert batches.counts(batch)[ItemState.WAITING] == 59
