"""The time line of a task's history: what it did is seen, however young it is."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import make_task


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("age", "range_"),
    [
        (timedelta(seconds=4), "15 min"),
        (timedelta(minutes=20), "1 h"),
        (timedelta(hours=5), "6 h"),
        (timedelta(hours=20), "24 h"),
        (timedelta(days=90), "24 h"),
    ],
)
def test_it_begins_where_a_young_task_does(operator: Client, age: timedelta, range_: str) -> None:
    task = make_task(submitted_at=timezone.now() - age)
    page = operator.get(f"/tasks/{task.pk}/history/").content.decode()
    assert re.findall(r'class="chip" href="[^"]*" aria-current="true"[^>]*>([^<]+)<', page) == [range_]


@pytest.mark.django_db
def test_what_was_done_just_now_stands_on_it_with_all_its_width(operator: Client) -> None:
    task = make_task()
    operator.post(f"/tasks/{task.pk}/operations/run/")
    page = operator.get(f"/tasks/{task.pk}/history/?range=30d").content.decode()
    places = re.findall(r'at-operation" x="([\d.]+)" y="0" width="([\d.]+)"', page)
    assert [float(x) + float(width) <= 1000 for x, width in places] == [True]
