"""Many at once: exactly one is accepted, and exactly one worker carries it out."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tasks.models import Attempt, OperationRequest, StatusChange
from tasks.operations import OperationRefused
from tasks.statuses import Operation, Outcome, Status
from tests.chaos.conftest import SUBMISSION, Writer
from tests.stack import Stack

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

THREADS = 16


def test_of_many_clicks_one_is_accepted(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> None:
    stack = Stack(tmp_path)
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


def test_two_workers_start_one_attempt_each_time(stack: Stack, writer: Writer) -> None:
    second = Stack.__new__(Stack)
    second.__dict__ = {**stack.__dict__, "processes": {}, "directory": stack.directory / "second"}
    second.directory.mkdir()
    second.start("worker")
    try:
        for operation in [Operation.RUN, *[Operation.PAUSE, Operation.CONTINUE] * 5]:
            stack.operate("upsert", operation)
        task = stack.task("upsert")
        assert task.run is not None
        assert list(Attempt.objects.filter(run=task.run).order_by("epoch").values_list("epoch", flat=True)) == [
            1,
            2,
            3,
            4,
            5,
            6,
        ]
    finally:
        second.close()
