"""An engine in memory, and tasks that are taken through their steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tasks.models import OperationRequest, Task
from tasks.operations import SYSTEM, accept
from tasks.statuses import Channel, Operation, Status
from tasks.worker.reconciler import reconcile
from tests.factories import make_task
from tests.fakes import FakeEngine

Steps = Callable[..., Task]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def steps(engine: FakeEngine) -> Steps:
    """Take steps until nothing changes any more (or `most`), and return the task as it then is."""

    def take(task: Task, most: int = 6) -> Task:
        for _ in range(most):
            reconcile(task.pk, engine, "worker-a")
        return Task.objects.select_related("run").get(pk=task.pk)

    return take


def ask(task: Task, operation: Operation) -> OperationRequest:
    return accept(task_id=task.pk, operation=operation, actor=SYSTEM, channel=Channel.CLI)


@pytest.fixture
def running(steps: Steps) -> Task:
    task = make_task()
    ask(task, Operation.RUN)
    task = steps(task)
    assert task.status == Status.RUNNING
    return task


def outcome(request: OperationRequest) -> tuple[str, str]:
    request.refresh_from_db()
    return request.outcome, request.code
