"""What the list finds and counts, with few that match and with more than are counted or sorted."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tasks import filters, shortlist, tables
from tasks.models import OperationRequest, Task
from tasks.statuses import Channel, Operation, Outcome, Status
from tasks.views import listing
from tests.factories import make_task, make_user
from tests.views.test_list import names, text

pytestmark = pytest.mark.django_db


def counts(page: str) -> dict[str, str]:
    return dict(re.findall(r'data-count="(\w+)"[^>]*>([^<]*)', page))


@pytest.mark.parametrize("query", ["", "q=orders", "q=or", "attention=1"])
def test_counts_end_at_a_limit_of_each_status(operator: Client, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (filters, listing, tables):
        monkeypatch.setattr(module, "COUNT_LIMIT", 60)
    monkeypatch.setattr(shortlist, "MOST", 60)
    monkeypatch.setattr(shortlist, "FEW", 30)
    for n in range(70):
        make_task(f"a-orders-{n:02}", status=Status.FAILURE, with_run=False)
    for n in range(55):
        make_task(f"b-orders-{n:02}", status=Status.DETECTION_EXCEPTION, status_before="running", with_run=False)
    page = text(operator.get(f"/tasks/?{query}"))
    found = counts(page)
    assert (found["failure"], found["detection_exception"], found["stopped"]) == ("60+", "55", "0")
    page = text(operator.get(f"/tasks/?{query}&status=detection_exception&page=2"))
    assert names(page) == [f"b-orders-{n}" for n in range(50, 55)]


@pytest.mark.parametrize(("few", "most"), [(2_000, 10_000), (0, 10_000), (0, 2), (0, 0)])
def test_what_needs_attention_is_found_one_way_as_the_other(
    operator: Client, few: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortlist, "FEW", few)
    monkeypatch.setattr(shortlist, "MOST", most)
    now = timezone.now()
    make_task("a-well", status=Status.RUNNING, observed_at=now)
    make_task("b-failed", status=Status.FAILURE)
    make_task("c-missing", status=Status.DETECTION_EXCEPTION, status_before="paused")
    make_task("d-unheard", status=Status.RUNNING, observed_at=now - timedelta(minutes=1))
    make_task("e-behind", status=Status.RUNNING, observed_at=now, lag_seconds=90)
    held = make_task("f-held", status=Status.PAUSED)
    Task.objects.filter(pk=held.pk).update(status_since=now - timedelta(days=1))
    for name, outcome in (("g-unknown", Outcome.UNKNOWN), ("h-known-since", Outcome.SUCCEEDED)):
        task = make_task(name, status=Status.STOPPED)
        for of_it in (Outcome.UNKNOWN, outcome):
            task.last_request = OperationRequest.objects.create(
                task=task,
                operation=Operation.STOP,
                actor_name="olga",
                channel=Channel.CLI,
                outcome=of_it,
                requested_at=now,
                from_status=Status.RUNNING,
                deadline_at=now,
                settled_at=now,
            )
        task.save(update_fields=["last_request"])

    def listed(query: str) -> list[str]:
        return [name[0] for name in names(text(operator.get(f"/tasks/?attention=1&{query}")))]

    assert listed("") == list("bcdefg")
    assert listed("sort=-name") == list("gfedcb")
    assert listed("status=failure") == ["b"]
    assert listed("status=stopped&status=running") == list("deg")
    assert listed("q=missing") == ["c"]


@pytest.mark.parametrize("sort", ["owner", "-owner"])
@pytest.mark.parametrize("without", [0, 3])
def test_owners_are_in_order_whether_or_not_each_task_has_one(
    operator: Client, sort: str, without: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PER_PAGE", 4)
    owners = [make_user(name) for name in ("zoe", "adam", "mia", "nobody-s")]
    for n in range(9):
        make_task(f"task-{n}", owner=owners[n * 5 // 2 % 3], write_mode=("append", "upsert")[n % 2])
    for n in range(without):
        make_task(f"a-{n}", owner=None)
    make_task("draft", owner=owners[1], submitted_at=None)
    order = ("-owner__username" if sort.startswith("-") else "owner__username", "name")
    for query, asked in (("", {}), ("mode=append", {"write_mode": "append"})):
        expected = list(Task.objects.submitted().filter(**asked).order_by(*order).values_list("name", flat=True))
        pages = [text(operator.get(f"/tasks/?{query}&sort={sort}&page={page}")) for page in (1, 2, 3)]
        assert [name for page in pages for name in names(page)][: len(expected)] == expected
    assert names(text(operator.get(f"/tasks/?owner=gone&sort={sort}"))) == []
    assert names(text(operator.get(f"/tasks/?owner=mia&sort={sort}"))) != []
