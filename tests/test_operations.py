"""accept(): one answer for every surface, and exactly one winner."""

from __future__ import annotations

import pytest

from tasks.matrix import MATRIX, operations_for
from tasks.models import OperationRequest, StatusChange, Task
from tasks.operations import SYSTEM, OperationRefused, accept
from tasks.statuses import Channel, Operation, Outcome, Status
from tests.factories import make_snapshot, make_task

pytestmark = pytest.mark.django_db


def ask(task: Task, operation: Operation, **values: object) -> OperationRequest:
    return accept(task_id=task.pk, operation=operation, actor=SYSTEM, channel=Channel.CLI, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("operation", list(Operation))
def test_each_cell_of_the_matrix_is_what_accept_does(status: Status, operation: Operation) -> None:
    task = make_task(status=status)
    if task.run:
        make_snapshot(task)
    if operation in operations_for(status):
        request = ask(task, operation)
        task.refresh_from_db()
        assert (task.status, request.outcome) == (Status.OPERATING, Outcome.OPEN)
        change = StatusChange.objects.get(task=task)
        assert (change.from_status, change.to_status, change.request) == (status, Status.OPERATING, request)
    else:
        with pytest.raises(OperationRefused) as caught:
            ask(task, operation)
        task.refresh_from_db()
        assert task.status == status
        assert caught.value.refusal.sentence
        assert OperationRequest.objects.get(task=task).outcome == Outcome.REFUSED
        assert not StatusChange.objects.exists()


def test_a_second_request_is_refused_and_says_who_was_first() -> None:
    task = make_task()
    ask(task, Operation.RUN)
    with pytest.raises(OperationRefused) as caught:
        ask(task, Operation.RUN)
    assert caught.value.refusal.code == "in_progress"
    assert caught.value.refusal.sentence.startswith("Run was already requested by system, 0 s ago")


def test_the_same_key_gets_the_first_answer_again() -> None:
    task = make_task()
    first = ask(task, Operation.RUN, key="k1")
    assert ask(task, Operation.RUN, key="k1") == first
    assert OperationRequest.objects.count() == 1


def test_a_refusal_is_repeated_for_its_key_even_when_it_would_now_be_accepted() -> None:
    task = make_task()
    for _ in range(2):
        with pytest.raises(OperationRefused) as caught:
            ask(task, Operation.PAUSE, key="k2")
        assert caught.value.refusal.code == "not_allowed"
    assert OperationRequest.objects.count() == 1


def test_continue_without_a_usable_snapshot_is_refused() -> None:
    task = make_task(status=Status.FAILURE)
    make_snapshot(task, unusable="expired")
    with pytest.raises(OperationRefused) as caught:
        ask(task, Operation.CONTINUE)
    assert caught.value.refusal.code == "no_snapshot"
    assert caught.value.refusal.allowed == (Operation.RUN, Operation.STOP)


def test_a_full_group_refuses_what_starts_and_nothing_else() -> None:
    running = make_task(status=Status.RUNNING)
    group = running.group
    assert group is not None
    group.capacity = 1
    group.save(update_fields=["capacity"])
    waiting = make_task()
    with pytest.raises(OperationRefused) as caught:
        ask(waiting, Operation.RUN)
    assert caught.value.refusal.code == "group_full"
    assert "1 of 1" in caught.value.refusal.sentence
    assert ask(running, Operation.PAUSE).outcome == Outcome.OPEN


def test_a_disabled_group_refuses_what_starts() -> None:
    task = make_task()
    assert task.group is not None
    type(task.group).objects.update(enabled=False)
    with pytest.raises(OperationRefused) as caught:
        ask(task, Operation.RUN)
    assert caught.value.refusal.code == "group_disabled"


def test_a_draft_is_refused() -> None:
    task = make_task(submitted_at=None)
    with pytest.raises(OperationRefused) as caught:
        ask(task, Operation.RUN)
    assert caught.value.refusal.code == "not_submitted"


def test_every_operation_has_its_permission_sentence_and_effect() -> None:
    for row in MATRIX.values():
        assert row.permission.startswith("tasks.")
        assert row.effect.endswith(".")
