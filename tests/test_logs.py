"""The console's copy of runs' logs: bounded, searched, and gone with their run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tasks import diagnosis, logs, runs
from tasks.engines import base
from tasks.engines.base import EngineUnreachable
from tasks.models import LogLine, Run, Task
from tasks.statuses import Status
from tasks.worker import copying
from tests.factories import make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Run:
    task = make_task("orders", status=Status.RUNNING)
    assert task.run is not None
    return task.run


def line(run: Run, n: int, text: str = "x", **values: Any) -> LogLine:
    return LogLine(**{"run": run, "n": n, "at": timezone.now(), "level": "INFO", "epoch": 1, "text": text, **values})


def kept(**filters: Any) -> list[int]:
    return list(LogLine.objects.filter(**filters).order_by("n").values_list("n", flat=True))


def test_lines_are_kept_once_and_at_most_so_many(run: Run, settings: Any) -> None:
    settings.OPS_LOG_LINES = 5
    logs.record(run, [line(run, n) for n in range(1, 5)])
    logs.record(run, [line(run, n) for n in range(3, 9)])
    logs.record(run, [line(run, 8)])  # another worker, later
    assert kept() == [4, 5, 6, 7, 8]
    assert Run.objects.get().log_n == 8


def test_a_run_that_ended_keeps_none_and_gets_no_more(run: Run) -> None:
    logs.record(run, [line(run, 1)])
    runs.end_run(run, "Stopped")
    logs.record(run, [line(run, 2)])
    assert kept() == []


def test_old_lines_are_pruned(run: Run, settings: Any) -> None:
    old = timezone.now() - timedelta(days=settings.OPS_LOG_DAYS, minutes=1)
    logs.record(run, [line(run, 1, at=old), line(run, 2)])
    logs.prune()
    assert kept() == [2]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", [1, 2, 3, 4]),
        ("disk", [1, 2]),
        ("DISK FULL", [1]),
        ("disk AND full", [1]),
        ("full OR refused", [1, 3]),
        ("disk NOT full", [2]),
        ("NOT (disk OR refused)", [4]),
        ('"connection refused"', [3]),
        ("disk full OR NOT disk refused", [1, 3]),
        ("NOT NOT full", [1]),
        ("100%", [4]),
        ("and", [2]),  # only capitals are operators
    ],
)
def test_a_search_finds_the_lines_that_it_describes(run: Run, search: str, found: list[int]) -> None:
    texts = ["The disk is full.", "Disk and shelf", "Connection refused", "100% done"]
    logs.record(run, [line(run, n, text) for n, text in enumerate(texts, start=1)])
    assert sorted(logs.find(run, search=search).values_list("n", flat=True)) == found


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ('"open', "quotation mark"),
        ("(disk", "not closed"),
        ("disk)", "too many"),
        ("disk AND", "at the end"),
        ("OR disk", "before OR"),
        ("NOT", "at the end"),
        ("()", "before )"),
        ("a " * 21, "20 words"),
    ],
)
def test_a_search_that_can_not_be_read_is_said(search: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace(")", r"\)")):
        logs.condition(search)


class Logging:
    """An engine that has lines 1 to `last`, and hands out at most ten at once."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.asked: list[int] = []
        self.silent = False

    def logs(self, ref: base.AttemptRef, after: int) -> tuple[base.LogLine, ...]:
        if self.silent:
            raise EngineUnreachable("no answer")
        self.asked.append(after)
        some = range(after + 1, min(self.last, after + 10) + 1)
        return tuple(base.LogLine(n, 1.0, "WARN" if n == 3 else "odd", 1, f"line\0{n}") for n in some)


def test_what_the_engine_has_more_is_copied(run: Run) -> None:
    engine: Any = Logging(25)
    copying.copy_logs(lambda kind: engine)
    assert engine.asked == []  # nothing is asked where nothing new was shown
    Task.objects.update(log_n=25)
    engine.silent = True
    copying.copy_logs(lambda kind: engine)
    engine.silent = False
    copying.copy_logs(lambda kind: engine)
    copying.copy_logs(lambda kind: engine)
    assert engine.asked == [0, 10, 20]
    assert kept() == list(range(1, 26))
    assert kept(level="WARNING") == [3]
    assert LogLine.objects.get(n=1).text == "line\N{REPLACEMENT CHARACTER}1"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("orders.jsonl was rotated away: the file that this task was reading is no longer in /x", "offset_expired"),
        ("file a.csv was truncated or rewritten: 10 bytes of it had been read, now it has 2.", "source_truncated"),
        ("The disk of table a of connection b is full. Make room on the server's disk.", "disk_full"),
        ("User app lacks the right to use schema public.", "permission"),
        ("The right to use table a of connection b is lacking.", "permission"),
        ("127.0.0.1:5432 does not let user app in (connection pg).", "login"),
        ("Table orders does not exist in schema public of database app (connection pg).", "missing"),
        ("table t of connection b has no column n, which the source has.", "schema_change"),
        ("table t of connection b has no unique index on the key (id).", "key"),
        ("15 rows could not be written; 10 are allowed.", "constraint"),
        ("table t of connection b was in conflict with another transaction.", "deadlock"),
        ("PostgreSQL at 127.0.0.1:1 does not answer (connection pg). Trying again in 0.1 s.", "unreachable"),
        ("The connection to 127.0.0.1:5432 broke (table t of connection b).", "unreachable"),
        ("Something unforeseen went wrong (KeyError).", "unexpected"),
    ],
)
def test_what_connectors_say_is_diagnosed(run: Run, text: str, code: str) -> None:
    found = diagnosis.diagnose([line(run, 2, text), line(run, 1, text), line(run, 0, "Attempt 1 begins.")])
    assert [(finding.cause.code, finding.count, finding.newest.n) for finding in found] == [(code, 2, 2)]


def test_each_line_that_the_postgresql_connector_can_say_of_a_state_has_a_cause(run: Run) -> None:
    from tasks.engines.local.postgresql import _STATES

    unknown = [
        cause
        for _, _, code, cause, _ in _STATES
        if code not in ("io_error", "too_busy") and not diagnosis.diagnose([line(run, 1, cause.format("table t"))])
    ]
    assert unknown == []
