"""Two workers carry the same batch on: no more is in progress than it allows."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tasks import batches
from tasks.models import BatchItem, ItemState
from tasks.operations import Actor
from tasks.statuses import Operation, Status
from tasks.worker import batching
from tests.factories import make_task, make_user
from tests.stack import Stack

pytestmark = pytest.mark.process


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_no_more_is_in_progress_than_may_be(
    database: str, tmp_path: Path, django_db_blocker: DjangoDbBlocker, request: pytest.FixtureRequest
) -> None:
    stack = Stack(tmp_path, server=request.getfixturevalue("server") if database == "postgresql" else None)
    stack.prepare()
    failures: list[BaseException] = []
    together = threading.Barrier(2)

    def worker(rounds: int) -> None:
        with stack.use():
            try:
                for _ in range(rounds):
                    together.wait(20)
                    batching.carry_on()
            except BaseException as error:
                failures.append(error)
                together.abort()

    with django_db_blocker.unblock(), stack.use():
        actor = Actor.of(make_user("olga", "view_task", "operate_task"))
        tasks = [make_task(f"t{n:02}", status=Status.RUNNING) for n in range(20)]
        made = [
            batches.create(Operation.PAUSE, tasks[n : n + 2], actor=actor, key=f"k{n}", concurrency=1)
            for n in range(0, 20, 2)
        ]
        threads = [threading.Thread(target=worker, args=(3,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert failures == []
        begun = BatchItem.objects.filter(state=ItemState.ASKED)
        assert sorted(begun.values_list("batch", flat=True)) == [batch.pk for batch in made]
