"""move(): the only writer of a status."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from tasks.models import Lease, StatusChange, Task
from tasks.statuses import PausedHow, Status
from tasks.transitions import LEGAL, MovedOn, move
from tests.factories import make_task

pytestmark = pytest.mark.django_db


def test_status_and_history_are_written_together() -> None:
    task = make_task(status=Status.RUNNING)
    with transaction.atomic():
        move(
            task, expected=Status.RUNNING, to=Status.PAUSED, actor_name="olga", paused_how=PausedHow.FORCED, reason="x"
        )
    assert (task.status, task.paused_how) == ("paused", "forced")
    change = StatusChange.objects.get()
    assert (change.from_status, change.to_status, change.paused_how) == ("running", "paused", "forced")
    assert (change.actor_name, change.run_number, change.epoch) == ("olga", 1, 1)


def test_a_task_that_moved_on_is_left_alone() -> None:
    task = make_task(status=Status.RUNNING)
    Task.objects.filter(pk=task.pk).update(status=Status.OPERATING)
    with pytest.raises(MovedOn), transaction.atomic():
        move(task, expected=Status.RUNNING, to=Status.FAILURE, actor_name="system")
    assert not StatusChange.objects.exists()


@pytest.mark.parametrize("holder", [Lease("a", 7), Lease("b", 6)])
def test_a_worker_without_the_lease_writes_nothing(holder: Lease) -> None:
    """Neither another worker, nor this one under a lease that it lost and took again."""
    task = make_task(status=Status.OPERATING)
    Task.objects.filter(pk=task.pk).update(lease_owner="b", lease_number=7)
    with pytest.raises(MovedOn), transaction.atomic():
        move(task, expected=Status.OPERATING, to=Status.RUNNING, actor_name="system", holder=holder)
    task.refresh_from_db()
    assert task.status == Status.OPERATING


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_it_refuses() -> None:
    with pytest.raises(RuntimeError, match="needs the caller's transaction"):
        move(make_task(), expected=Status.INITIALIZE, to=Status.OPERATING, actor_name="x")


@pytest.mark.parametrize("start", list(Status))
@pytest.mark.parametrize("end", list(Status))
def test_what_is_not_legal_is_a_programming_error(start: Status, end: Status) -> None:
    if (start, end) in LEGAL:
        return
    task = make_task(status=start)
    with pytest.raises(ValueError, match="never becomes"), transaction.atomic():
        move(task, expected=start, to=end, actor_name="x")


@pytest.mark.parametrize(
    "values",
    [
        {"status": "resting"},
        {"status": "paused", "paused_how": ""},
        {"paused_how": "normal"},
        {"status": "detection_exception", "status_before": ""},
        {"write_mode": "merge"},
        {"snapshot_interval": 0},
        {"group_id": None},
        {"name": ""},
        {"submitted_at": None, "status": "running"},
        {"position": 5, "high_water": 4},
    ],
)
def test_the_database_itself_refuses_what_can_not_be(values: dict[str, object]) -> None:
    task = make_task()
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.filter(pk=task.pk).update(**values)
