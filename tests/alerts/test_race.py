"""Two workers and a person at the same alerts: no deadlock, one alert, no round too many."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from tasks.alerts import life, notices
from tasks.models import Alert, Notification
from tasks.statuses import Status
from tests.alerts.conftest import make_recipients, make_rule
from tests.factories import make_task
from tests.stack import Stack

pytestmark = pytest.mark.process


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nobody_stands_in_anothers_way(
    database: str, tmp_path: Path, django_db_blocker: DjangoDbBlocker, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("server") if database == "postgresql" else None
    stack = Stack(tmp_path, server=server)
    stack.prepare()
    failures: list[BaseException] = []
    over = threading.Event()

    def work(act: Callable[[], None]) -> None:
        with stack.use():
            try:
                while not over.is_set():
                    act()
            except BaseException as error:
                failures.append(error)

    with django_db_blocker.unblock(), stack.use():
        now = timezone.now()
        rule = make_rule("task_delay", window=0, cap=1)
        make_recipients(rule)
        for n in range(2):
            make_task(f"t{n}", status=Status.RUNNING, engine_state="running", observed_at=now, lag_seconds=90.0)
        life.judge(rule.pk, now)
        alert = Alert.objects.earliest("pk")

        def worker() -> None:
            life.judge(rule.pk, now)
            notices.send_due()

        def person() -> None:
            life.acknowledge(alert.pk, "omar", "on it")
            life.unacknowledge(alert.pk, "omar")

        threads = [threading.Thread(target=work, args=(act,)) for act in (worker, worker, person)]
        for thread in threads:
            thread.start()
        over.wait(3)
        over.set()
        for thread in threads:
            thread.join(30)
        assert failures == []
        assert Alert.objects.count() == 2
        assert Notification.objects.count() == 2  # one round, to two recipients: the cap held
