"""Many at once: exactly one is accepted, and exactly one worker carries it out."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tasks.models import Attempt, OperationRequest, StatusChange
from tasks.operations import OperationRefused
from tasks.statuses import Operation, Outcome, Status
from tests.chaos.conftest import SUBMISSION, Writer, running_stack
from tests.postgres import PostgresServer
from tests.stack import Stack

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

THREADS = 16


def test_of_many_clicks_one_is_accepted(
    tmp_path: Path, control: PostgresServer | None, django_db_blocker: DjangoDbBlocker
) -> None:
    stack = Stack(tmp_path, server=control)
    stack.prepare()
    stack.submit(SUBMISSION.format(directory=tmp_path))
    answers: list[str] = []
    barrier = threading.Barrier(THREADS)

    def click() -> None:
        with stack.use():
            barrier.wait()
            try:
                stack.ask("append", Operation.RUN)
            except OperationRefused as refused:
                answers.append(refused.refusal.code)
            else:
                answers.append("accepted")

    with django_db_blocker.unblock(), stack.use():
        threads = [threading.Thread(target=click) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == ["accepted"] + ["in_progress"] * (THREADS - 1)
        assert StatusChange.objects.filter(task__name="append", to_status=Status.OPERATING).count() == 1
        refused = OperationRequest.objects.filter(outcome=Outcome.REFUSED)
        assert refused.count() == THREADS - 1
        assert all(
            "Run was already requested by olga" in message for message in refused.values_list("message", flat=True)
        )


def test_three_workers_start_one_attempt_each_time(
    tmp_path: Path, control: PostgresServer | None, django_db_blocker: DjangoDbBlocker
) -> None:
    workers = ("worker", "worker-2", "worker-3")
    writer = Writer(tmp_path / "shop.db")
    with running_stack(Stack(tmp_path, server=control), django_db_blocker, workers=workers) as stack:
        stack.submit(SUBMISSION.format(directory=tmp_path))
        for operation in [Operation.RUN, *[Operation.PAUSE, Operation.CONTINUE] * 5]:
            stack.operate("upsert", operation)
        task = stack.task("upsert")
        epochs = Attempt.objects.filter(run=task.run).order_by("epoch").values_list("epoch", flat=True)
        assert list(epochs) == [1, 2, 3, 4, 5, 6]
    writer.end()
