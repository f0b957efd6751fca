"""Messages really sent: to an SMTP server and an HTTP receiver that fail, refuse, die and come back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tasks.alerts import delivery, notices
from tasks.alerts.addresses import AddressInvalid, scrubbed, service_of
from tasks.models import Alert, AlertRule, DeliveryAttempt, Notification, RecipientChannel
from tasks.statuses import Status
from tests.alerts.conftest import judge, make_recipients, make_rule
from tests.factories import make_task, make_user
from tests.receivers import HttpReceiver, Mailbox, http_receiver, mail_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    with mail_server() as mailbox:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mailbox.port
        settings.EMAIL_TIMEOUT = 5
        settings.OPS_URL = "https://ops.example.org/"
        yield mailbox


@pytest.fixture
def rule(receiver: HttpReceiver, mailbox: Mailbox) -> AlertRule:
    rule = make_rule("task_failure", severity="urgent")
    make_recipients(rule, url=receiver.url)
    return rule


def fail(rule: AlertRule) -> Alert:
    make_task("orders", status=Status.FAILURE, fault_cause="The disk is full.", fault_advice="Make room.")
    alert = judge(rule, timezone.now() + timedelta(seconds=1))
    assert alert is not None
    notices.send_due(timezone.now() + timedelta(seconds=2))
    make_due()
    return alert


def make_due() -> None:
    Notification.objects.filter(due_at__isnull=False).update(due_at=timezone.now() - timedelta(seconds=1))


def states() -> dict[str, tuple[str, int]]:
    return {row.via: (row.state, row.attempts) for row in Notification.objects.order_by("pk")}


def test_a_message_says_what_is_the_matter_and_where_to_look(
    rule: AlertRule, receiver: HttpReceiver, mailbox: Mailbox
) -> None:
    alert = fail(rule)
    assert delivery.deliver("worker-a") == 2
    assert states() == {"e-mail": ("sent", 1), "JSON": ("sent", 1)}
    [(headers, posted)] = receiver.got
    assert (posted["title"], posted["type"]) == ("[urgent] orders: Task failure", "failure")
    [(to, message)] = mailbox.got
    assert (to, message["Subject"]) == (["olga@example.org"], "[urgent] orders: Task failure")
    text = message.get_payload(decode=True)
    assert isinstance(text, bytes)
    for body in (posted["message"], text.decode()):
        for said in ("The disk is full. Make room.", "Task: orders (Failure", "Rule: task-failure"):
            assert said in body
        assert f"https://ops.example.org/alerts/{alert.pk}/" in body
    sent = {row.via: str(row.uid) for row in Notification.objects.all()}
    assert headers["Idempotency-Key"] == sent["JSON"]
    assert sent["e-mail"] in message["Message-ID"]


def test_nothing_is_sent_twice(rule: AlertRule, receiver: HttpReceiver, mailbox: Mailbox) -> None:
    fail(rule)
    claimed = delivery.claim("worker-a", timezone.now())
    assert len(claimed) == 2
    assert delivery.deliver("worker-b") == 0
    for notification in claimed:
        delivery.settle(notification, delivery.send(notification), "worker-a", timezone.now())
    make_due()
    assert delivery.deliver("worker-b") == 0
    assert (len(receiver.got), len(mailbox.got)) == (1, 1)


def test_nothing_is_lost_when_the_sender_dies_with_a_message_in_hand(rule: AlertRule, receiver: HttpReceiver) -> None:
    fail(rule)
    delivery.claim("worker-a", timezone.now())  # and then kill -9
    assert delivery.claim("worker-b", timezone.now() + delivery.CLAIM - timedelta(seconds=1)) == []
    later = delivery.claim("worker-b", timezone.now() + delivery.CLAIM + timedelta(seconds=1))
    assert len(later) == 2
    for notification in later:
        delivery.settle(notification, delivery.send(notification), "worker-b", timezone.now())
    assert states() == {"e-mail": ("sent", 2), "JSON": ("sent", 2)}


def test_a_late_sender_does_not_undo_what_another_did(rule: AlertRule, receiver: HttpReceiver) -> None:
    fail(rule)
    [late, *_] = delivery.claim("worker-a", timezone.now())
    for notification in delivery.claim("worker-b", timezone.now() + 2 * delivery.CLAIM):
        delivery.settle(notification, delivery.Outcome(), "worker-b", timezone.now())
    delivery.settle(late, delivery.Outcome("It timed out."), "worker-a", timezone.now())
    assert {state for state, _ in states().values()} == {"sent"}


def test_what_fails_is_tried_again_each_try_on_record(rule: AlertRule, receiver: HttpReceiver) -> None:
    receiver.answers = [503, 503, 200]
    fail(rule)
    delivery.deliver("worker-a")
    row = Notification.objects.get(via="JSON")
    assert (row.state, row.attempts) == ("pending", 1)
    assert "503" in row.error
    assert row.due_at is not None
    assert row.due_at > timezone.now()
    for _ in range(2):
        make_due()
        delivery.deliver("worker-a")
    assert states()["JSON"] == ("sent", 3)
    tries = DeliveryAttempt.objects.filter(notification=row).order_by("pk").values_list("succeeded", flat=True)
    assert list(tries) == [False, False, True]


def test_in_the_end_it_has_failed_and_says_why(rule: AlertRule, receiver: HttpReceiver) -> None:
    receiver.answers = [500]
    fail(rule)
    for _ in range(len(delivery.BACK_OFF) + 3):
        make_due()
        delivery.deliver("worker-a")
    row = Notification.objects.get(via="JSON")
    assert (row.state, row.attempts) == ("failed", len(delivery.BACK_OFF) + 1)
    assert "500" in row.error


def test_what_can_not_get_better_is_not_tried_again(rule: AlertRule, mailbox: Mailbox) -> None:
    mailbox.refuse = "550 no such person"
    fail(rule)
    delivery.deliver("worker-a")
    row = Notification.objects.get(via="e-mail")
    assert (row.state, row.error) == ("failed", "The mail server refused the address: 550 no such person.")


@pytest.mark.parametrize(
    ("address", "host", "said"),
    [("", "127.0.0.1", "olga has no e-mail address"), ("olga@example.org", "", "OPS_SMTP_URL is not set")],
)
def test_a_person_who_can_not_be_told_is_named(
    rule: AlertRule, settings: Any, address: str, host: str, said: str
) -> None:
    settings.EMAIL_HOST = host
    rule.people.update(email=address)
    fail(rule)
    delivery.deliver("worker-a")
    row = Notification.objects.get(via="e-mail")
    assert row.state == "failed"
    assert said in row.error


def test_a_mail_server_that_is_down_is_tried_again(rule: AlertRule, settings: Any) -> None:
    settings.EMAIL_PORT = 1
    fail(rule)
    delivery.deliver("worker-a")
    row = Notification.objects.get(via="e-mail")
    assert row.state == "pending"
    assert "could not be reached" in row.error


def test_the_end_is_not_told_before_the_beginning(rule: AlertRule, receiver: HttpReceiver, mailbox: Mailbox) -> None:
    receiver.answers = [503, 200]
    alert = fail(rule)
    delivery.deliver("worker-a")
    alert.task.__class__.objects.update(status=Status.STOPPED)
    judge(rule, timezone.now() + timedelta(seconds=3))
    Notification.objects.filter(kind="resolved").update(due_at=timezone.now() - timedelta(seconds=5))
    delivery.deliver("worker-a")
    assert mailbox.subjects() == ["[urgent] orders: Task failure", "[resolved] orders: Task failure"]
    assert receiver.titles() == []
    make_due()
    delivery.deliver("worker-a")
    assert receiver.titles() == ["[urgent] orders: Task failure", "[resolved] orders: Task failure"]


def test_an_address_is_stored_encrypted_and_said_nowhere(
    rule: AlertRule, receiver: HttpReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    channel = RecipientChannel.objects.get()
    channel.set_url("json://olga:t0ps3cret@127.0.0.1:1/hook/s3cr3t-token?+X-Key=k3y-k3y")
    channel.save(update_fields=["url_token"])
    fail(rule)
    with caplog.at_level(logging.DEBUG):
        delivery.deliver("worker-a")
    row = Notification.objects.get(via="JSON")
    assert row.error
    said = " ".join((row.error, row.body, channel.url_token, caplog.text))
    assert not [secret for secret in ("t0ps3cret", "s3cr3t-token", "k3y-k3y") if secret in said]


def test_what_a_receiver_repeats_of_its_address_is_taken_out() -> None:
    url = "json://olga:t0p%20secret@host/hook/abcd-token?x=value9"
    said = f"No hook abcd-token for olga with 't0p secret' at {url}, value9"
    assert scrubbed(said, url) == "No *** *** for *** with '***' at ***, ***".replace("No *** ***", "No *** ***")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "begins with its service"),
        ("https//host", "begins with its service"),
        ("nosuch://token", "can't read this nosuch:// address"),
        ("dbus://", "own desktop"),
        ("json://" + "x" * 2_000, "2000 is the most"),
        ("json://host/\nX", "begins with its service"),
    ],
)
def test_an_address_that_can_not_work_is_refused_without_being_repeated(url: str, said: str) -> None:
    with pytest.raises(AddressInvalid, match=said):
        service_of(url)


def test_a_service_is_called_by_its_name() -> None:
    assert service_of("slack://T1AAAAAAA/B1AAAAAAA/c3aaaaaaaaaaaaaaaaaaaaaa/#ops") == "Slack"


def test_a_test_message_goes_to_everybody_and_to_whoever_asks_for_the_owner(
    rule: AlertRule, receiver: HttpReceiver, mailbox: Mailbox
) -> None:
    rule.to_owner = True
    omar = make_user("omar", email="omar@example.org")
    sent = notices.send_test(rule, omar)
    assert [row.recipient for row in sent] == ["olga", "on-call: hook", "omar"]
    delivery.deliver("worker-a")
    assert receiver.titles() == ["[test] rule task-failure"]
    assert sorted(to[0] for to, _ in mailbox.got) == ["olga@example.org", "omar@example.org"]


def test_a_receiver_that_drips_keeps_its_own_place_only(
    rule: AlertRule, receiver: HttpReceiver, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "WITHIN", timedelta(seconds=1))
    receiver.drips = True
    fail(rule)
    assert delivery.deliver("worker-a") == 2
    assert states() == {"e-mail": ("sent", 1), "JSON": ("pending", 1)}
    assert Notification.objects.get(via="JSON").error == "It did not take the message in time."


def test_told_to_end_it_takes_no_more(rule: AlertRule, receiver: HttpReceiver) -> None:
    fail(rule)
    assert delivery.deliver("worker-a", lambda: True) == 0
    assert delivery.deliver("worker-a") == 2


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("Bearer xoxb-secret json://h", "begins with its service"),
        ("ntfy://127.0.0.1/one-topic/another-topic", "has 2 targets; give each a channel of its own"),
    ],
)
def test_an_address_is_one_target_and_said_nowhere(url: str, said: str) -> None:
    with pytest.raises(AddressInvalid, match=said) as caught:
        service_of(url)
    assert "secret" not in str(caught.value)


def test_a_token_in_the_place_of_the_host_is_taken_out() -> None:
    said = scrubbed("No 123456789 with abcdefg_token", "tgram://123456789:abcdefg_token/42")
    assert said == "No *** with ***"
    assert scrubbed("No answer of 127.0.0.1", "json://127.0.0.1/hook/abcdef") == "No answer of 127.0.0.1"
