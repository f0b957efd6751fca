"""A worker hears of an operation when it is committed, on PostgreSQL by LISTEN and NOTIFY."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.db import transaction
from pytest_django.plugin import DjangoDbBlocker

from tasks import wakeup
from tasks.models import Task
from tasks.operations import SYSTEM, accept
from tasks.statuses import Channel, Operation
from tests.chaos.conftest import SUBMISSION
from tests.postgres import PostgresServer
from tests.stack import Stack
from tests.waiting import wait_for

pytestmark = pytest.mark.process


def test_the_message_comes_with_the_commit_and_only_then(
    tmp_path: Path, server: PostgresServer, django_db_blocker: DjangoDbBlocker
) -> None:
    stack = Stack(tmp_path, server=server)
    stack.prepare()
    stack.submit(SUBMISSION.format(directory=tmp_path))
    heard: list[int] = []
    ended = threading.Event()

    def listen() -> None:
        with stack.use():
            wakeup.listen(lambda: heard.append(1), ended.is_set)

    with django_db_blocker.unblock(), stack.use():
        thread = threading.Thread(target=listen)
        thread.start()
        try:
            wait_for(lambda: len(heard) == 1, "it listens")  # it looks once as soon as it does
            first, second = Task.objects.order_by("pk")
            with transaction.atomic():
                accept(task_id=first.pk, operation=Operation.RUN, actor=SYSTEM, channel=Channel.CLI)
                transaction.set_rollback(True)
            accept(task_id=second.pk, operation=Operation.RUN, actor=SYSTEM, channel=Channel.CLI)
            wait_for(lambda: len(heard) == 2, "it hears of the second")
            first.refresh_from_db()
            assert first.status == "initialize"
        finally:
            ended.set()
            thread.join()
        assert len(heard) == 2


def test_without_postgresql_nothing_is_sent(db: None) -> None:
    if not wakeup.can_listen():
        wakeup.wake_workers()
