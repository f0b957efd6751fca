"""The ledger of snapshots: pin, take one now, continue from a chosen one with its consequence; forecast and actual."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tasks.models import Attempt, OperationRequest, Snapshot, Task
from tasks.statuses import Status
from tests.alerts.conftest import make_rule
from tests.factories import make_snapshot, make_task

pytestmark = pytest.mark.django_db


def text(client: Client, path: str) -> str:
    return client.get(path).content.decode()


@pytest.fixture
def paused() -> Task:
    task = make_task("orders", status=Status.PAUSED, high_water=100, position=100)
    make_snapshot(task, engine_id="new", position=90)
    make_snapshot(task, engine_id="old", position=40, taken_at=timezone.now() - timedelta(hours=1))
    return task


def test_each_says_what_continuing_from_it_replays(operator: Client, paused: Task) -> None:
    page = text(operator, f"/tasks/{paused.pk}/snapshots/")
    assert re.findall(r'data-snapshot="(\w+)"', page) == ["new", "old"]
    assert "10 rows, 10 duplicates" in page
    assert "60 rows, 60 duplicates" in page
    assert f"/tasks/{paused.pk}/operations/continue/?snapshot=old" in page


def test_continue_from_a_chosen_one_is_confirmed_with_its_price(operator: Client, paused: Task) -> None:
    path = f"/tasks/{paused.pk}/operations/continue/"
    page = text(operator, f"{path}?snapshot=old")
    assert "The run goes on from the chosen snapshot below." in page
    assert 'data-field="replay_rows" data-value="60"' in page
    assert '<input type="hidden" name="snapshot" value="old"' in page
    assert "the offset does not expire" in page
    operator.post(path, {"snapshot": "old"})
    assert OperationRequest.objects.get().from_snapshot == "old"


def test_one_that_is_gone_is_refused_in_the_dialog(operator: Client, paused: Task) -> None:
    assert 'data-refused="snapshot_gone"' in text(operator, f"/tasks/{paused.pk}/operations/continue/?snapshot=x%00y")


def test_pinning_is_idempotent_and_for_operators(operator: Client, client: Client, paused: Task) -> None:
    snapshot = Snapshot.objects.get(engine_id="old")
    path = f"/tasks/{paused.pk}/snapshots/{snapshot.pk}/pin/"
    for _ in range(2):
        operator.post(path, {"pinned": "1"})
    assert "pinned by olga" in text(operator, f"/tasks/{paused.pk}/snapshots/")
    operator.post(path, {"pinned": "0"})
    assert "pinned by" not in text(operator, f"/tasks/{paused.pk}/snapshots/")
    assert (
        "This snapshot is gone"
        in operator.post(f"/tasks/{paused.pk}/snapshots/9999/pin/", {"pinned": "1"}, follow=True).content.decode()
    )


def test_a_viewer_neither_pins_nor_takes(viewer: Client, paused: Task) -> None:
    snapshot = Snapshot.objects.get(engine_id="old")
    assert viewer.post(f"/tasks/{paused.pk}/snapshots/{snapshot.pk}/pin/", {"pinned": "1"}).status_code == 403
    assert viewer.post(f"/tasks/{paused.pk}/snapshots/take/").status_code == 403
    assert "Pin" not in text(viewer, f"/tasks/{paused.pk}/snapshots/")


def test_one_is_taken_on_demand_while_the_task_runs(operator: Client, paused: Task) -> None:
    answer = operator.post(f"/tasks/{paused.pk}/snapshots/take/", follow=True).content.decode()
    assert "Only a Running task takes a snapshot; orders is Paused." in answer
    running = make_task("running", status=Status.RUNNING)
    answer = operator.post(f"/tasks/{running.pk}/snapshots/take/", follow=True).content.decode()
    assert "A snapshot is asked for" in answer
    assert "A snapshot was asked for" in answer


def test_what_came_since_the_page_was_made_is_told_not_forced_in(operator: Client, paused: Task) -> None:
    for _ in range(30):
        make_snapshot(paused)
    page = operator.get(f"/tasks/{paused.pk}/snapshots/?page=2").content.decode()
    live = re.search(r'hx-get="(/tasks/\d+/live/\?newest=\d+)"', page)
    version = re.search(r'id="snapshot_news" data-version="(\w+)"', page)
    assert live is not None
    assert version is not None
    poll = f"{live[1]}&v=snapshot_news.{version[1]}"
    htmx = {"HX-Request": "true"}
    assert operator.get(poll, headers=htmx).status_code == 204
    make_snapshot(paused)
    assert "Show 1 newer snapshot</a>" in operator.get(poll, headers=htmx).content.decode()
    assert "Show" not in operator.get(live[1].replace("newest=", "newest=x") + "&v=snapshot_news.0").content.decode()


def test_the_history_tells_how_many_rows_were_replayed_beside_the_forecast(operator: Client) -> None:
    task = make_task("orders", status=Status.RUNNING, rows_replayed=75)
    for epoch, forecast, before in ((1, None, 0), (2, 50, 0), (3, 20, 48)):
        began = timezone.now()
        Attempt.objects.create(
            run=task.run,
            epoch=epoch,
            cause="continue",
            replay_forecast=forecast,
            replayed_before=before,
            started_at=began,
            ended_at=None if epoch == 3 else began,
        )
    page = text(operator, f"/tasks/{task.pk}/history/")
    assert re.findall(r'data-field="replayed">([^<]*)<', page) == ["27", "48", "0"]


def test_a_dialog_tells_which_alerts_will_fire(operator: Client) -> None:
    make_rule("task_paused", name="paused")
    make_rule("paused_long", name="too-long", threshold=3_600)
    make_rule("task_paused", name="others", scope="tasks", names=["other"])
    task = make_task("orders", status=Status.RUNNING)
    make_snapshot(task)
    for operation in ("pause", "forced-pause"):
        page = text(operator, f"/tasks/{task.pk}/operations/{operation}/")
        assert "paused (at once), too-long (after 1 h)" in page
    assert "Alerts that will fire" not in text(operator, f"/tasks/{task.pk}/operations/stop/")
