"""The log of a task as a page, a tail and a file."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks import logs
from tasks.models import LogLine, Task
from tasks.statuses import Status
from tests.factories import make_task, make_user

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


def logged(n: int = 3, **values: Any) -> Task:
    task = make_task("orders", status=Status.RUNNING)
    add(task, range(1, n + 1), **values)
    return task


def add(task: Task, numbers: Any, **values: Any) -> None:
    assert task.run is not None
    line = {"at": timezone.now(), "level": "INFO", "epoch": 1, "text": "Snapshot taken.", **values}
    logs.record(task.run, [LogLine(run=task.run, n=n, **line) for n in numbers])


def text(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


def shown(page: str) -> list[int]:
    return [int(part.partition('"')[0]) for part in page.split('<li id="L')[1:]]


def test_it_shows_the_newest_lines_and_leads_to_the_older_ones(viewer: Client) -> None:
    task = logged(700)
    page = text(viewer.get(f"/tasks/{task.pk}/logs/"))
    assert (shown(page)[0], shown(page)[-1]) == (401, 700)
    older = text(viewer.get(f"/tasks/{task.pk}/logs/?before=401"))
    assert (shown(older)[0], shown(older)[-1]) == (101, 400)
    assert 'id="log_tail"' in page
    assert 'id="log_tail"' not in older  # who reads old lines is not disturbed
    assert "To the newest line" in older


def test_a_link_to_a_line_shows_what_stands_around_it(viewer: Client) -> None:
    task = logged(700)
    page = text(viewer.get(f"/tasks/{task.pk}/logs/?line=200"))
    assert 200 in shown(page)
    assert 350 in shown(page)
    assert 360 not in shown(page)


def test_lines_are_escaped_and_attempts_marked(viewer: Client) -> None:
    task = logged(2, text="<script>alert(1)</script>")
    add(task, [3], epoch=2, level="ERROR", text="The disk is full.")
    page = text(viewer.get(f"/tasks/{task.pk}/logs/"))
    assert "<script>alert" not in page
    assert page.count('class="attempt"') == 2
    assert 'data-cause="disk_full"' in page


def test_it_filters_by_level_words_and_time(viewer: Client) -> None:
    task = logged(1, at=timezone.now() - timedelta(hours=2))
    add(task, [2], level="ERROR", text="Connection refused")
    add(task, [3], level="WARNING", text="Connection slow")
    for query, found in (
        ("level=ERROR&level=WARNING", [2, 3]),
        ("q=connection+NOT+slow", [2]),
        ("range=1h", [2, 3]),
        ("level=nonsense", [1, 2, 3]),
        ("q=nothing", []),
    ):
        assert shown(text(viewer.get(f"/tasks/{task.pk}/logs/?{query}"))) == found
    page = text(viewer.get(f"/tasks/{task.pk}/logs/?q=%22open"))
    assert "A quotation mark is not closed." in page
    assert shown(page) == [1, 2, 3]
    assert viewer.get(f"/tasks/{task.pk}/log.txt?q=%22open").status_code == 400


def test_the_tail_brings_only_what_is_new_and_matches(viewer: Client) -> None:
    task = logged(5)
    address = f"/tasks/{task.pk}/logs/?level=ERROR&v=log_tail."
    assert viewer.get(f"{address}0", **HTMX).status_code == 204
    add(task, [6])
    assert viewer.get(f"{address}0", **HTMX).status_code == 204
    add(task, [7, 8], level="ERROR")
    tail = text(viewer.get(f"{address}0", **HTMX))
    assert shown(tail) == [7, 8]
    assert 'hx-swap-oob="beforeend:#log_lines"' in tail
    assert 'data-version="8"' in tail
    assert viewer.get(f"{address}8", **HTMX).status_code == 204


def test_the_file_has_all_that_matches(viewer: Client) -> None:
    task = logged(400)
    response: Any = viewer.get(f"/tasks/{task.pk}/log.txt?q=snapshot")
    body = b"".join(response.streaming_content).decode()
    assert response["Content-Disposition"] == 'attachment; filename="orders.log"'
    assert body.count("INFO    attempt 1 Snapshot taken.\n") == 400


def test_without_a_log_it_says_why(viewer: Client) -> None:
    assert "It has never run." in text(viewer.get(f"/tasks/{make_task().pk}/logs/"))
    stopped = make_task(status=Status.STOPPED)
    assert "Stop discarded the log" in text(viewer.get(f"/tasks/{stopped.pk}/logs/"))
    running = make_task(status=Status.RUNNING)
    assert "Nothing was logged yet." in text(viewer.get(f"/tasks/{running.pk}/logs/"))


def test_it_costs_the_same_queries_however_long_it_is(viewer: Client) -> None:
    task = logged(2, level="ERROR")
    counts = []
    for numbers in ([3], range(4, 900)):
        add(task, numbers, level="ERROR", text="does not answer")
        with CaptureQueriesContext(connection) as queries:
            viewer.get(f"/tasks/{task.pk}/logs/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("query", ["before=0", "line=99999999999999", "line=x", "before=-3", "from=x", "q=%00"])
def test_odd_addresses_do_no_harm(viewer: Client, query: str) -> None:
    assert viewer.get(f"/tasks/{logged().pk}/logs/?{query}").status_code == 200


@pytest.mark.parametrize("address", ["logs/", "log.txt"])
def test_it_needs_the_right_to_see_tasks(client: Client, address: str) -> None:
    task = logged()
    assert client.get(f"/tasks/{task.pk}/{address}").status_code == 302
    client.force_login(make_user("stranger"))
    assert client.get(f"/tasks/{task.pk}/{address}").status_code == 403
