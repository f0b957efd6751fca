"""The free text of the list, on the database that the tests run on: by its index, and by walking where many match."""

from __future__ import annotations

import importlib

import pytest
from django.db import connection

from tasks import search, shortlist
from tasks.models import Task
from tests.factories import make_connection, make_task

pytestmark = pytest.mark.django_db


def found(text: str) -> list[str]:
    """The same whether the first of them are wanted, in their order, or any; and as a part of another query."""
    first, any_ = (search.matching(Task.objects.all(), text, in_order=in_order) for in_order in (True, False))
    names = list(first.order_by("name").values_list("name", flat=True))
    assert names == sorted(any_.values_list("name", flat=True))
    inner = first.order_by("name").values("pk")[:10]
    assert names == list(Task.objects.filter(pk__in=inner).order_by("name").values_list("name", flat=True))
    return names


@pytest.fixture(params=["sorted", "walked", "looked at"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "sorted":
        monkeypatch.setattr(shortlist, "FEW", 0)
    if request.param == "looked at":
        monkeypatch.setattr(shortlist, "MOST", 0)


@pytest.fixture(autouse=True)
def tasks() -> None:
    make_connection("crm_live")
    make_task("orders-eu", source_object="public.orders")
    make_task("orders_us", target_object="DWH.Orders")
    make_task("it's 100%", source_connection_id="crm_live", source_object='a "quoted" name')


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("orders-", ["orders-eu"]),
        ("ORDERS_U", ["orders_us"]),
        ("public.", ["orders-eu"]),
        ("dwh.ord", ["orders_us"]),
        ("crm_", ["it's 100%"]),
        ("warehouse", ["it's 100%", "orders-eu", "orders_us"]),
        # A wild card of LIKE, a quote of SQL and the syntax of FTS5 mean themselves.
        ("orders%", []),
        ("orders?", []),
        ("s_u", ["orders_us"]),
        ("100%", ["it's 100%"]),
        ("t's", ["it's 100%"]),
        ('"quoted"', ["it's 100%"]),
        ("orders AND public", []),
        ("orders OR crm", []),
        ("name:orders", []),
        ("ord*", []),
        ("^ord", []),
        ("\\", []),
        ("\\ord", []),
        # Too short for a trigram.
        ("-e", ["orders-eu"]),
        ("%", ["it's 100%"]),
    ],
)
def test_a_text_is_found_as_it_is_written(text: str, names: list[str]) -> None:
    assert found(text) == names


def test_nobody_finds_what_begins_in_one_column_and_ends_in_another() -> None:
    make_task("abc", source_object="def")
    assert found("abcdef") == []


def test_what_is_written_later_by_whatever_way_is_found() -> None:
    Task.objects.filter(name="orders-eu").update(source_object="public.invoices")
    assert found("public.ord") == []
    assert found("invoices") == ["orders-eu"]
    Task.objects.filter(name="orders_us").update(name="refunds")
    assert found("refunds") == ["refunds"]
    Task.objects.filter(name="refunds").delete()
    assert found("refunds") == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tasks_text")
        assert cursor.fetchone() == (Task.objects.count(),)


def test_what_the_engine_is_seen_to_do_does_not_touch_the_words() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tasks_text")
    Task.objects.update(rows_read=7, lag_seconds=1.5)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tasks_text")
        assert cursor.fetchone() == (0,)


def test_a_server_without_trigrams_is_searched_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = importlib.import_module("tasks.migrations.0012_text_search")
    monkeypatch.setattr(step, "_TRIGRAMS", ("CREATE EXTENSION one_that_nobody_has",))
    editor = connection.schema_editor()  # not entered: SQLite's wants to be outside a transaction
    step.unmake(None, editor)
    step.make(None, editor)
    assert found("invoices") == []
    assert found("public.") == ["orders-eu"]
    if connection.vendor == "postgresql":
        assert "README, 'Deploy', says how to add it" in capsys.readouterr().out
