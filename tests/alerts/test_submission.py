"""Rules and recipients of a submission file: written whole or not at all, addresses encrypted and said nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.alerts import life
from tasks.models import Alert, AlertRule, RecipientChannel, RecipientGroup
from tasks.statuses import Status
from tasks.submission import SubmissionInvalid, submit
from tests.factories import make_group, make_task, make_user

pytestmark = pytest.mark.django_db

GOOD = """
recipient_groups:
  - {name: on-call, description: Who is awake., people: [olga], channels: [{name: chat, url_env: CHAT}]}
alert_rules:
  - name: late
    metric: task_delay
    threshold: 90
    window: 120
    severity: urgent
    scope: {tasks: [orders]}
    quiet: [mon-fri 22:00-06:00, "sat,sun all day"]
    zone: Europe/Berlin
    interval: 600
    cap: 5
    cap_period: 86400
    to: {owner: true, people: [olga], groups: [on-call]}
  - {name: failed, metric: task_failure}
"""


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT", "json://127.0.0.1/hook/s3cr3t-token")
    make_user("olga")
    make_task("orders", status=Status.RUNNING)


def submitted(text: str, **values: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    _, changes = submit(text, actor_name="test", base=Path("/data"), **values)
    return [(change.name, change.what, change.fields) for change in changes]


def problems(text: str) -> list[str]:
    with pytest.raises(SubmissionInvalid) as caught:
        submit(text, actor_name="test", base=Path("/data"))
    assert not AlertRule.objects.exists()
    assert not RecipientGroup.objects.exists()
    return [str(problem) for problem in caught.value.problems]


def test_it_makes_what_it_names_with_defaults_of_the_metric() -> None:
    names = [("on-call", "created", ()), ("late", "created", ()), ("failed", "created", ())]
    assert submitted(GOOD, dry_run=True) == names
    assert not AlertRule.objects.exists()
    assert submitted(GOOD) == names
    rule = AlertRule.objects.get(name="late")
    assert (rule.threshold, rule.window, rule.scope, rule.names) == (90.0, 120, "tasks", ["orders"])
    assert (rule.to_owner, rule.zone, rule.cap, rule.interval) == (True, "Europe/Berlin", 5, 600)
    assert rule.quiet[0] == {"days": [0, 1, 2, 3, 4], "from": "22:00", "to": "06:00"}
    assert [person.get_username() for person in rule.people.all()] == ["olga"]
    assert [group.name for group in rule.groups.all()] == ["on-call"]
    failed = AlertRule.objects.get(name="failed")
    assert (failed.threshold, failed.window, failed.scope, failed.severity) == (0.0, 0, "all", "important")


def test_an_address_is_stored_encrypted_and_not_in_the_plan() -> None:
    plan, _ = submit(GOOD, actor_name="test", base=Path("/data"))
    channel = RecipientChannel.objects.get()
    assert (channel.service, channel.url()) == ("JSON", "json://127.0.0.1/hook/s3cr3t-token")
    assert "s3cr3t" not in channel.url_token
    assert "s3cr3t" not in str(plan.as_dict())


def test_the_same_file_again_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted(GOOD)
    assert {what for _, what, _ in submitted(GOOD)} == {"unchanged"}
    monkeypatch.setenv("CHAT", "json://127.0.0.1/hook/another-token")
    assert submitted(GOOD)[0] == ("on-call", "changed", ("channels",))
    assert RecipientChannel.objects.get().url().endswith("another-token")
    assert submitted(GOOD.replace("threshold: 90", "threshold: 60"))[1] == ("late", "changed", ("threshold",))
    assert submitted(GOOD.replace("people: [olga], ch", "people: [], ch"))[0][1:] == ("changed", ("people",))
    fewer = GOOD.replace(", channels: [{name: chat, url_env: CHAT}]", "")
    assert submitted(fewer)[0][1:] == ("changed", ("people", "channels"))
    assert not RecipientChannel.objects.exists()


def test_turned_off_by_file_it_ends_what_is_open() -> None:
    submitted(GOOD)
    make_task("broken", status=Status.FAILURE)
    life.judge_all()
    assert Alert.objects.filter(resolved_at__isnull=True).count() == 1
    submitted(GOOD.replace("metric: task_failure", "metric: task_failure, enabled: false"))
    assert Alert.objects.get().resolve_reason == "The rule was turned off."


def test_a_rule_may_name_what_the_same_file_makes() -> None:
    make_group("local")
    text = """
connections:
  - {name: shop2, kind: sqlite, path: shop.db}
tasks:
  - name: new-task
    group: local
    source: {connection: shop2, object: a, cursor: id}
    target: {connection: shop2, object: b}
recipient_groups:
  - {name: dba}
alert_rules:
  - {name: late, metric: task_delay, scope: {tasks: [new-task]}, to: {groups: [dba]}}
  - {name: full, metric: task_stopped, scope: {groups: [local]}}
  - {name: mine, metric: task_paused, scope: {owners: [olga]}}
"""
    submitted(text)
    assert list(AlertRule.objects.order_by("name").values_list("name", "scope")) == [
        ("full", "groups"),
        ("late", "tasks"),
        ("mine", "owners"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("metric: task_delay", "metric: task_delays", "alert_rules[0].metric: This must be"),
        ("scope: {tasks: [orders]}", "scope: {tasks: [order]}", "scope.tasks: There is no task order."),
        ("scope: {tasks: [orders]}", "scope: {tasks: []}", "scope.tasks: Name at least one."),
        ("scope: {tasks: [orders]}", "scope: {tasks: [orders], groups: [local]}", "scope: Give one of tasks"),
        (
            "scope: {tasks: [orders]}",
            "scope: {taks: [orders]}",
            "scope.taks: This key is not known.",
        ),
        ("scope: {tasks: [orders]}", "scope: orders", "scope: A mapping is expected here"),
        ("people: [olga], groups", "people: [olag], groups", "to.people: There is no user olag."),
        (
            "groups: [on-call]}",
            "groups: [oncall]}",
            "to.groups: There is no recipient group oncall.",
        ),
        ("window: 120", "window: 90000", "window: This must be between 0 and 86400"),
        ("zone: Europe/Berlin", "zone: Berlin", "zone: There is no time zone 'Berlin'"),
        ("mon-fri 22:00-06:00", "22:00-06:00", "quiet: '22:00-06:00' is no quiet time"),
        ("mon-fri 22:00-06:00", "mon-fri 6-8", "is no time of day"),
        ("metric: task_failure", "metric: task_failure, threshold: 5", "threshold: Task failure has no threshold"),
        ("metric: task_failure", "metric: paused_long, window: 5", "window: Paused for long has no window"),
        ("metric: task_failure", "metric: no_progress, comparison: below", "can only be watched for being above"),
        ("metric: task_failure", "metric: write_speed, window: 5", "a window of at least 30 s, not 5 s"),
        ("url_env: CHAT", "url_env: NOSUCH", "channels[0].url_env: The environment variable NOSUCH is not set"),
        ("people: [olga], channels", "people: [olag], channels", "recipient_groups[0].people: There is no user olag."),
        ("name: failed", "name: late", "The name late is given twice"),
        ("cap: 5", "capp: 5", "capp: This key is not known. Did you mean cap?"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(before: str, after: str, said: str) -> None:
    assert before in GOOD
    assert any(said in problem for problem in problems(GOOD.replace(before, after, 1)))


def test_a_wrong_address_is_refused_without_being_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT", "nosuch://s3cr3t-token")
    [problem] = problems(GOOD)
    assert "apprise can't read this nosuch:// address" in problem
    assert "s3cr3t" not in problem
