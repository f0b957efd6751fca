"""The metrics of a task as a page, a poll and a file."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks import metrics
from tasks.models import Sample, StatusChange, Task
from tasks.statuses import Status
from tasks.views import charts, ranges
from tests.factories import make_task, make_user

pytestmark = pytest.mark.django_db


def sampled(n: int = 30) -> Task:
    task = make_task("orders", status=Status.RUNNING)
    add(task, n)
    return task


def add(task: Task, n: int, first: int = 1) -> None:
    assert task.run is not None
    now = metrics.last_closed(time.time())
    zeros = dict.fromkeys(metrics.COUNTERS, 0)
    Sample.objects.bulk_create(
        Sample(run=task.run, resolution=10, at=now - 10 * k, **{**zeros, "rows_read": 1000 - k, "rows_written": 7})
        for k in range(first, first + n)
    )


def text(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


def test_the_charts_show_what_is_known_and_say_what_is_not(viewer: Client) -> None:
    task = sampled()
    page = text(viewer.get(f"/tasks/{task.pk}/metrics/?range=15m"))
    assert page.count('class="canvas"') == 4  # rows, bytes, dirty and restarts; nothing is known of the other measures
    assert page.count("Not known in this range.") == 5
    assert 'class="line line-1"' in page


def test_without_samples_it_says_why(viewer: Client) -> None:
    assert "It has never run." in text(viewer.get(f"/tasks/{make_task().pk}/metrics/"))
    stopped = make_task(status=Status.STOPPED)
    assert "Stop discarded the metrics" in text(viewer.get(f"/tasks/{stopped.pk}/metrics/"))


def test_a_poll_brings_the_charts_only_when_there_is_something_new(viewer: Client) -> None:
    task = sampled()
    address = f"/tasks/{task.pk}/metrics/?range=15m"
    page = text(viewer.get(address))
    version = page.partition('id="task_charts" data-version="')[2].partition('"')[0]
    poll = f"{address}&v=task_charts.{version}"
    htmx = {"HTTP_HX_REQUEST": "true"}
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert viewer.get(poll, **htmx).status_code == 204
    assert len(queries) <= 7
    add(task, 1, first=0)
    changed = text(viewer.get(poll, **htmx))
    assert changed.strip().startswith('<div id="task_charts"')


def test_the_page_costs_the_same_queries_however_much_there_is(viewer: Client) -> None:
    task = sampled(2)
    counts = []
    for n, address in enumerate(("?range=15m", "?range=15m&table=1", "?range=15m")):
        add(task, 20, first=10 + 20 * n)
        StatusChange.objects.bulk_create(
            StatusChange(task=task, to_status=Status.RUNNING, actor_name="x", at=timezone.now()) for _ in range(30)
        )
        with CaptureQueriesContext(connection) as queries:
            viewer.get(f"/tasks/{task.pk}/metrics/{address}")
        counts.append(len(queries))
    assert len(set(counts)) == 1


def test_marks_are_bounded_and_none_is_told_of_operating(viewer: Client) -> None:
    task = sampled()
    StatusChange.objects.bulk_create(
        StatusChange(task=task, to_status=status, actor_name="olga", at=timezone.now())
        for status in [Status.OPERATING, Status.PAUSED] * 120
    )
    page = text(viewer.get(f"/tasks/{task.pk}/metrics/?range=15m"))
    assert page.count("Paused (olga)") == 100
    assert "Operating (olga)" not in page
    assert "Only the latest 100" in page


def test_the_table_and_the_file_hold_the_same_numbers(viewer: Client) -> None:
    task = sampled(5)
    page = text(viewer.get(f"/tasks/{task.pk}/metrics/?range=15m&table=1"))
    response: Any = viewer.get(f"/tasks/{task.pk}/metrics.csv?range=15m")
    assert response["Content-Disposition"] == 'attachment; filename="orders-metrics.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode())))
    assert len(rows) == 4 == page.count('<th scope="row">')  # of the first there is no rate: nothing was before it
    assert (rows[0]["read_rate"], rows[0]["lag_seconds"]) == ("0.1", "")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("range=9y", "range: there is no"),
        ("from=yesterday", "from: "),
        ("from=2026-01-01&to=2025-01-01", "from, to: "),
        ("from=2020-01-01&to=2026-01-01", "too long"),
        ("to=2026-01-01", "from: "),
        ("from=9999-12-31T23:59&to=%00", "to: "),
    ],
)
def test_a_range_that_can_not_be_is_said_and_the_default_shown(viewer: Client, query: str, said: str) -> None:
    task = sampled()
    assert said in text(viewer.get(f"/tasks/{task.pk}/metrics/?{query}"))
    response = viewer.get(f"/tasks/{task.pk}/metrics.csv?{query}")
    assert response.status_code == 400
    assert said.encode() in response.content


def test_a_custom_range_is_shared_by_its_address() -> None:
    chosen = ranges.read_range({"from": "2026-11-24T10:00", "to": "2026-11-24T11:00+01:00"}, 0.0)
    assert (chosen.problem, chosen.end - chosen.begin) == (
        "from, to: the end must be at least 60 s after the beginning.",
        3600,
    )
    chosen = ranges.read_range({"from": "2026-11-24T10:00", "to": "2026-11-24T12:30+01:00"}, 0.0)
    assert (chosen.query, chosen.end - chosen.begin) == ("from=2026-11-24T10%3A00&to=2026-11-24T11%3A30", 5400)


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.3, 0.5), (1, 1), (1.01, 2), (37, 50), (2000, 2000), (5.1e9, 1e10)]
)
def test_an_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert charts.nice_top(value) == pytest.approx(top)


def test_a_line_breaks_at_a_gap_and_a_lone_value_is_a_dot() -> None:
    assert charts.path([1.0, 2.0, None, 1.0, None], 2.0) == "M200.0 50.0L400.0 0.0M800.0 50.0h0"
    assert charts.path([None, None], 1.0) == ""


@pytest.mark.parametrize("address", ["metrics/", "metrics.csv"])
def test_it_needs_the_right_to_see_tasks(client: Client, address: str) -> None:
    task = sampled()
    assert client.get(f"/tasks/{task.pk}/{address}").status_code == 302
    client.force_login(make_user("stranger"))
    assert client.get(f"/tasks/{task.pk}/{address}").status_code == 403
