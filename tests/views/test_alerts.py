"""Alerts on pages: list, one alert, rules, recipients, the badge; what people do, and who may."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tasks.alerts import life, notices
from tasks.models import Alert, AlertRule, NoticeState, Notification, Task
from tasks.statuses import Status
from tests.alerts.conftest import make_recipients, make_rule
from tests.factories import make_task, make_user

pytestmark = pytest.mark.django_db


def failed(name: str = "orders", rule: AlertRule | None = None, **values: Any) -> Alert:
    rule = rule or AlertRule.objects.filter(name="task-failure").first() or make_rule("task_failure", **values)
    task = make_task(name, status=Status.FAILURE, fault_cause="The disk is full.")
    life.judge(rule.pk, timezone.now() + timedelta(seconds=1))
    return Alert.objects.get(task=task, rule=rule)


def resolve(alert: Alert) -> None:
    Task.objects.filter(pk=alert.task_id).update(status=Status.STOPPED)
    life.judge(alert.rule_id or 0, timezone.now() + timedelta(seconds=2))


def text(client: Client, path: str, **values: Any) -> str:
    return client.get(path, **values).content.decode()


def listed(client: Client, query: str = "") -> list[str]:
    return re.findall(
        r'<th scope="row" data-label="Task"><a id="alert-\d+-task" href="[^"]*">([^<]*)</a>',
        text(client, f"/alerts/?{query}"),
    )


@pytest.fixture
def configurer(client: Client) -> Client:
    rights = ("view_task", "operate_task", "add_alertrule", "change_alertrule", "delete_alertrule")
    client.force_login(make_user("carla", *rights, email="carla@example.org"))
    return client


# --- the list ---------------------------------------------------------------------------------------------


def test_the_list_begins_with_what_is_open_and_says_what_is_the_matter(viewer: Client) -> None:
    over, alert = failed("over"), failed("orders")
    resolve(over)
    assert listed(viewer) == ["orders"]
    page = text(viewer, "/alerts/")
    assert 'data-state="open"' in page
    assert "Task failure." in page
    assert f"/alerts/{alert.pk}/" in page
    assert "Acknowledge</button>" not in page  # she may only look


def test_an_empty_list_says_whether_nothing_is_open_or_nothing_matches(viewer: Client) -> None:
    assert "No alert is open" in text(viewer, "/alerts/")
    assert "No alert matches" in text(viewer, "/alerts/?severity=urgent")


def test_the_list_is_narrowed_by_each_question(viewer: Client) -> None:
    grave, light = make_rule("task_failure", severity="urgent"), make_rule("task_paused", severity="normal")
    one = failed("one", grave)
    make_task("two", status=Status.PAUSED)
    life.judge(light.pk, timezone.now() + timedelta(seconds=1))
    three = failed("three", grave)
    resolve(three)
    life.acknowledge(one.pk, "olga", "on it")
    for query, names in (
        ("", ["two", "one"]),
        ("severity=urgent", ["one"]),
        ("severity=urgent&severity=normal", ["two", "one"]),
        ("rule=task-paused", ["two"]),
        ("task=ON", ["one"]),
        ("state=new", ["two"]),
        ("state=acknowledged", ["one"]),
        ("state=resolved", ["three"]),
        ("state=all&range=1h", ["three", "two", "one"]),
        ("state=all&from=2020-01-01T00:00&to=2020-01-02T00:00", []),
        ("state=nonsense&severity=nonsense&page=-1", ["two", "one"]),
        ("state=silenced", []),
    ):
        assert listed(viewer, query) == names, query
    Alert.objects.filter(task__name="two").update(silenced_until=timezone.now() + timedelta(hours=1))
    assert listed(viewer, "state=silenced") == ["two"]
    assert listed(viewer, "state=new") == []


def test_the_pages_cost_the_same_for_many_alerts(operator: Client) -> None:
    def cost(path: str) -> int:
        text(operator, path)
        with CaptureQueriesContext(connection) as queries:
            text(operator, path)
        return len(queries)

    alert = failed("first")
    paths = ("/alerts/", "/alerts/?state=all&task=t", f"/tasks/{alert.task_id}/alerts/", "/alerts/rules/")
    before = [cost(path) for path in paths]
    for n in range(30):
        failed(f"t{n}")
        make_rule("task_paused", name=f"rule-{n}")
    assert [cost(path) for path in paths] == before
    assert max(before) <= 15


def test_a_poll_of_an_unchanged_list_answers_nothing(operator: Client) -> None:
    failed()
    page = text(operator, "/alerts/")
    version = re.search(r'id="alert_list" data-version="(\w+)"', page)
    assert version is not None
    query = f"/alerts/?v=alert_list.{version[1]}"
    assert operator.get(query, headers={"HX-Request": "true"}).status_code == 204
    failed("another")
    answer = operator.get(query, headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert "another" in answer.content.decode()


def test_every_page_carries_the_number_of_open_alerts(viewer: Client) -> None:
    assert "data-open-alerts" not in text(viewer, "/matrix/")
    failed("a")
    failed("b")
    page = text(viewer, "/matrix/")
    assert 'data-open-alerts="important" data-value="2"' in page
    version = re.search(r'id="alert_badge" data-version="(\w+)"', page)
    assert version is not None
    poll = f"/pulse/?v=alert_badge.{version[1]}"
    assert viewer.get(poll).status_code == 204
    resolve(Alert.objects.get(task__name="a"))
    assert 'data-value="1"' in text(viewer, poll)
    with CaptureQueriesContext(connection) as queries:
        viewer.get(poll)
    assert len(queries) <= 5  # two more than where nothing is told: may they see it?


def test_the_list_is_for_those_who_may_see_tasks(client: Client) -> None:
    alert = failed()
    assert client.get("/alerts/").status_code == 302
    client.force_login(make_user("nobody"))
    for path in ("/alerts/", f"/alerts/{alert.pk}/", "/alerts/rules/", "/alerts/recipients/"):
        assert client.get(path).status_code == 403


# --- one alert --------------------------------------------------------------------------------------------


def test_an_alert_page_tells_its_life_and_each_message(operator: Client) -> None:
    rule = make_rule("task_failure", severity="urgent")
    make_recipients(rule)
    alert = failed(rule=rule)
    notices.send_due(timezone.now() + timedelta(seconds=2))
    Notification.objects.filter(via="JSON").update(
        state=NoticeState.FAILED, due_at=None, settled_at=timezone.now(), error="503"
    )
    page = text(operator, f"/alerts/{alert.pk}/")
    for said in (
        "The disk is full.",
        "on-call: hook",
        "olga",
        "503",
        'data-event="opened"',
        'data-event="told"',
        "Urgent",
    ):
        assert said in page
    assert "1 could not be delivered" in text(operator, "/alerts/")


def test_acknowledging_says_who_and_why_and_leads_back(operator: Client) -> None:
    alert = failed()
    path = f"/alerts/{alert.pk}/acknowledge/"
    answer = operator.post(path, {"note": "disk ordered", "next": "/alerts/?severity=important"})
    assert answer["Location"] == "/alerts/?severity=important"
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.note) == ("olga", "disk ordered")
    assert "by olga: disk ordered" in text(operator, "/alerts/")
    operator.post(f"/alerts/{alert.pk}/unacknowledge/")
    alert.refresh_from_db()
    assert alert.acknowledged_at is None


def test_an_answer_leads_nowhere_else(operator: Client) -> None:
    alert = failed()
    for target in ("https://evil.example/", "//evil.example/", "javascript:alert(1)", "foo"):
        answer = operator.post(f"/alerts/{alert.pk}/acknowledge/", {"next": target})
        assert answer["Location"] == f"/alerts/{alert.pk}/"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"for": "3w"}, "for: a silence lasts"),
        ({"until": "soon"}, "until: &#x27;soon&#x27; is no time"),
        ({"until": "2020-01-01T00:00"}, "until: the end must be in the future"),
        ({"until": "2999-01-01T00:00"}, "at most 90 days"),
    ],
)
def test_a_silence_that_can_not_be_read_is_refused(operator: Client, sent: dict[str, str], said: str) -> None:
    alert = failed()
    answer = operator.post(f"/alerts/{alert.pk}/silence/", sent, follow=True)
    assert said in answer.content.decode()
    alert.refresh_from_db()
    assert alert.silenced_until is None


def test_a_silence_begins_and_is_ended(operator: Client) -> None:
    alert = failed()
    operator.post(f"/alerts/{alert.pk}/silence/", {"for": "2h"})
    alert.refresh_from_db()
    assert alert.silenced_until is not None
    assert "End the silence" in text(operator, f"/alerts/{alert.pk}/")
    operator.post(f"/alerts/{alert.pk}/unsilence/")
    alert.refresh_from_db()
    assert alert.silenced_until is None


def test_what_is_over_can_not_be_acknowledged_and_says_so(operator: Client) -> None:
    alert = failed()
    resolve(alert)
    answer = operator.post(f"/alerts/{alert.pk}/acknowledge/", follow=True)
    assert "This alert is resolved." in answer.content.decode()


def test_acting_needs_the_right_and_a_post(client: Client) -> None:
    alert = failed()
    client.force_login(make_user("vera", "view_task"))
    assert client.post(f"/alerts/{alert.pk}/acknowledge/").status_code == 403
    assert client.get(f"/alerts/{alert.pk}/acknowledge/").status_code == 405
    assert client.post("/alerts/999/acknowledge/").status_code == 404


def test_the_tab_of_a_task_shows_its_alerts_and_the_rules_for_it(viewer: Client) -> None:
    alert = failed("orders")
    failed("another")
    make_rule("task_paused", name="for-others", scope="tasks", names=["another"])
    page = text(viewer, f"/tasks/{alert.task_id}/alerts/")
    assert page.count("data-alert=") == 1
    assert "task-failure" in page
    assert "for-others" not in page


# --- rules ------------------------------------------------------------------------------------------------


def rule_data(**values: Any) -> dict[str, Any]:
    return {
        "metric": "task_delay",
        "name": "late",
        "enabled": "on",
        "severity": "urgent",
        "threshold": "2 min",
        "window": "90 s",
        "resolve_after": "1 min",
        "scope": "all",
        "interval": "1 h",
        "cap": "10",
        "cap_period": "1 d",
        "quiet": "mon-fri 22:00-06:00\r\nsat,sun all day",
        "zone": "Europe/Berlin",
        **values,
    }


def test_a_rule_is_made_changed_turned_off_and_deleted(configurer: Client) -> None:
    make_user("olga")
    assert 'data-metric="task_delay"' in text(configurer, "/alerts/rules/new/")
    assert 'value="1 min"' in text(configurer, "/alerts/rules/new/?metric=task_delay")
    answer = configurer.post("/alerts/rules/new/", rule_data(people="olga, carla", to_owner="on"))
    assert answer.status_code == 302, answer.content.decode()
    rule = AlertRule.objects.get()
    assert (rule.threshold, rule.window, rule.cap_period, rule.severity) == (120.0, 90, 86_400, "urgent")
    assert rule.quiet[1] == {"days": [5, 6], "from": "00:00", "to": "00:00"}
    assert sorted(person.get_username() for person in rule.people.all()) == ["carla", "olga"]
    page = text(configurer, rule.get_absolute_url())
    for shown in ('value="2 min"', "mon-fri 22:00-06:00\nsat,sun all day", "olga, carla"):
        assert shown in page or shown == "olga, carla"
    configurer.post(rule.get_absolute_url(), rule_data(name="later", threshold="5 min"))
    rule.refresh_from_db()
    assert (rule.name, rule.threshold, rule.to_owner, rule.people.count()) == ("later", 300.0, False, 0)
    configurer.post(f"/alerts/rules/{rule.pk}/turn/", {"enabled": "0"})
    rule.refresh_from_db()
    assert not rule.enabled
    assert "Delete rule later?" in text(configurer, f"/alerts/rules/{rule.pk}/delete/")
    configurer.post(f"/alerts/rules/{rule.pk}/delete/")
    assert not AlertRule.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "two words"}, "A name has 1 to 100 letters"),
        ({"threshold": "soon"}, "soon is no length of time"),
        ({"threshold": "500 ms"}, "500 ms is no length of time"),
        ({"threshold": "999999999 d"}, "This must be between 0 and 31622400"),
        ({"window": "2 d"}, "This must be between 0 and 86400"),
        ({"scope": "tasks", "names": "nosuch"}, "There is no task nosuch."),
        ({"scope": "groups"}, "Name at least one."),
        ({"quiet": "sometimes"}, "is no quiet time"),
        ({"quiet": "mon 08:00-25:00"}, "is no time of day"),
        ({"quiet": "someday 08:00-09:00"}, "names no weekdays"),
        ({"zone": "Mars/Olympus"}, "There is no time zone"),
        ({"people": "nobody"}, "There is no user nobody."),
        ({"severity": "dreadful"}, "dreadful is not one of the available choices"),
        ({"cap": "-1"}, "greater than or equal to 0"),
    ],
)
def test_a_wrong_answer_is_named_where_it_stands(configurer: Client, wrong: dict[str, str], said: str) -> None:
    answer = configurer.post("/alerts/rules/new/", rule_data(**wrong))
    assert answer.status_code == 422
    page = answer.content.decode().replace("&#x27;", "'")
    field = next(iter(wrong)) if "scope" not in wrong else "names"
    place = page.index(f'data-field-name="{field}"')
    assert said in page[place : page.index("</p>", page.index('class="problem"', place))]
    assert not AlertRule.objects.exists()


def test_a_name_that_is_taken_is_refused(configurer: Client) -> None:
    make_rule("task_delay", name="late")
    answer = configurer.post("/alerts/rules/new/", rule_data())
    assert answer.status_code == 422
    assert "already exists" in answer.content.decode()


def test_turning_a_rule_off_ends_its_alerts_and_on_again_begins_anew(configurer: Client) -> None:
    alert = failed()
    assert alert.rule is not None
    path = f"/alerts/rules/{alert.rule.pk}/turn/"
    configurer.post(path, {"enabled": "0"})
    alert.refresh_from_db()
    assert alert.resolve_reason == "The rule was turned off."
    before = AlertRule.objects.get().enabled_at
    configurer.post(path, {"enabled": "1"})
    configurer.post(path, {"enabled": "1"})  # a double click
    assert AlertRule.objects.get().enabled
    assert AlertRule.objects.get().enabled_at > before


def test_a_rule_that_looks_elsewhere_ends_its_alerts_with_that_reason(configurer: Client) -> None:
    alert = failed()
    assert alert.rule is not None
    sent = rule_data(metric="task_failure", name="task-failure", scope="tasks", names="others", resolve_after="0 s")
    make_task("others")
    del sent["threshold"]
    assert configurer.post(alert.rule.get_absolute_url(), sent).status_code == 302
    life.judge(alert.rule.pk, timezone.now() + timedelta(seconds=5))
    alert.refresh_from_db()
    assert alert.resolve_reason == "The rule is not for this task any more."


def test_the_preview_is_shown_without_saving(configurer: Client) -> None:
    sent = rule_data(metric="task_failure", preview="1")
    del sent["threshold"]
    answer = configurer.post("/alerts/rules/new/", sent)
    assert 'data-preview-count="0"' in answer.content.decode()
    fragment = configurer.post("/alerts/rules/new/", sent, headers={"HX-Request": "true"}).content.decode()
    assert fragment.strip().startswith('<div id="rule_preview"')
    assert "It would have fired 0 times" in fragment
    wrong = configurer.post("/alerts/rules/new/", {**sent, "zone": "x"}, headers={"HX-Request": "true"})
    assert "There is no time zone" in wrong.content.decode()
    assert not AlertRule.objects.exists()


def test_a_rule_is_copied(configurer: Client) -> None:
    rule = make_rule("task_delay", threshold=77.0, quiet=[{"days": [0], "from": "01:00", "to": "02:00"}])
    page = text(configurer, f"/alerts/rules/new/?copy={rule.pk}")
    assert 'value="77 s"' in page
    assert "mon 01:00-02:00" in page
    assert configurer.get("/alerts/rules/new/?copy=x").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/alerts/rules/new/",
        "/alerts/rules/{}/turn/",
        "/alerts/rules/{}/test/",
        "/alerts/rules/{}/delete/",
        "/alerts/rules/{}/",
    ],
)
def test_rules_are_for_those_who_may_configure(operator: Client, path: str) -> None:
    rule = make_rule("task_failure")
    assert operator.post(path.format(rule.pk), rule_data()).status_code == 403
    assert "Save</button>" not in text(operator, rule.get_absolute_url())


def test_a_test_message_is_put_into_the_outbox_and_shown(configurer: Client) -> None:
    rule = make_rule("task_failure")
    empty = configurer.post(f"/alerts/rules/{rule.pk}/test/", follow=True)
    assert "Nobody is named there" in empty.content.decode()
    group = make_recipients(rule)
    answer = configurer.post(f"/alerts/rules/{rule.pk}/test/", follow=True)
    assert "2 test messages on the way" in answer.content.decode()
    configurer.post(f"/alerts/recipients/{group.pk}/test/")
    assert Notification.objects.filter(kind="test").count() == 3
    page = text(configurer, "/alerts/recipients/")
    assert page.count('data-message="test"') == 3
    assert "127.0.0.1" not in page  # an address mostly holds a token


def test_what_stands_in_a_rule_survives_the_editor(configurer: Client) -> None:
    """A fraction of a second, a user who left, a task that was deleted: saved untouched it is as before."""
    make_user("gone", is_active=False)
    rule = make_rule("business_latency", threshold=0.5, scope="tasks", names=["deleted"], window=90)
    make_user("here")
    page = text(configurer, rule.get_absolute_url())
    assert 'value="0.5 s"' in page
    sent = rule_data(metric="business_latency", name=rule.name, threshold="0.5 s", scope="tasks", names="deleted")
    answer = configurer.post(rule.get_absolute_url(), {**sent, "people": "here, gone"})
    assert answer.status_code == 302, answer.content.decode()
    rule.refresh_from_db()
    assert (rule.threshold, rule.names, rule.people.count()) == (0.5, ["deleted"], 2)
