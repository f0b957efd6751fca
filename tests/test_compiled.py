"""Queries that are compiled once answer as Django's own do, for whatever keys, on either database."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from django.db.models import Q

from tasks.compiled import Compiled
from tasks.models import Preference, Task
from tests.factories import make_task, make_user

pytestmark = pytest.mark.django_db


def test_it_answers_as_the_query_does_each_time_for_other_keys(django_assert_num_queries: Any) -> None:
    columns = ("pk", "name", "status_since", "exactly_once", "lag_seconds", "phase", "uid", "owner__username")
    by_id = Compiled("id", lambda among: Task.objects.filter(among).order_by("name").values_list(*columns))
    tasks = [make_task(f"task-{n}", owner=make_user(f"o{n}") if n else None, phase={"done": n}) for n in range(3)]
    for keys in ([tasks[0].pk], [task.pk for task in tasks], [tasks[2].pk, -1, 10**17], []):
        with django_assert_num_queries(1):
            rows = by_id.rows(keys)
        assert rows == list(Task.objects.filter(pk__in=keys).order_by("name").values_list(*columns))
        assert all(row[2].tzinfo is UTC for row in rows)


@pytest.mark.parametrize("name", ["it's", '"', "{a,b}", "\\", "ä", "NULL", "100%", "the keys asked for"])
def test_keys_mean_themselves_whatever_they_hold(name: str) -> None:
    make_task(name)
    make_task("another")
    by_name = Compiled("name", lambda among: Task.objects.filter(among, submitted_at__isnull=False).values_list("name"))
    assert by_name.rows([name, "gone"]) == [(name,)]


def test_the_condition_may_be_one_of_others() -> None:
    me, other = make_user("me"), make_user("other")
    Preference.objects.create(user=me, hidden=["lag"])
    Preference.objects.create(user=other, density="compact")
    either = Compiled(
        "user_id",
        lambda among: Preference.objects.filter(among | Q(density="compact")).order_by("pk").values_list("hidden"),
    )
    assert either.rows([me.pk]) == [(["lag"],), ([],)]
    assert either.rows([]) == [([],)]
