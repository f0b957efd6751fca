"""Send what stands in the outbox. Only the worker does: a web process opens no connection to what a user typed.

A row is claimed before it is sent and settled afterwards. Whoever dies between the two leaves a claim that runs out,
and the message is sent again under the same identity (Message-ID, Idempotency-Key): a receiver can tell.
"""

from __future__ import annotations

import logging
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.db import DatabaseError, connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from tasks.alerts.addresses import AddressInvalid, plugin_of, scrubbed
from tasks.models import DeliveryAttempt, NoticeKind, NoticeState, Notification, Severity
from tasks.models.fields import SecretUnreadable

log = logging.getLogger(__name__)

#: Waits between two tries; past the last the message has failed.
BACK_OFF: Final = tuple(timedelta(seconds=s) for s in (5, 15, 60, 300, 900, 3_600))
#: What a send may take in all, and what is left of that for those under way when the worker is to end.
WITHIN: Final = timedelta(seconds=30)
AT_THE_END: Final = timedelta(seconds=5)
#: Longer than that: until then nobody else sends a claimed message.
CLAIM: Final = timedelta(minutes=2)
AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one try. `is_final`: another would end alike."""

    error: str = ""
    is_final: bool = False
    took_ms: float = 0.0


def deliver(worker: str, ended: Callable[[], bool] = lambda: False) -> int:
    """Send all that is due, or what was begun when `ended` says so; return how many messages were tried.

    A receiver that lets a message drip in keeps its own place only: the others go on, and after WITHIN its message
    counts as failed. Its thread is left behind; it can't be ended, but holds up nothing, not even the worker's end.
    """
    results: SimpleQueue[tuple[int, Outcome]] = SimpleQueue()
    under_way: dict[int, tuple[Notification, float]] = {}
    count = 0
    while True:
        free = 0 if ended() else AT_ONCE - len(under_way)
        for notification in claim(worker, timezone.now(), free) if free else ():
            under_way[notification.pk] = (notification, time.monotonic())
            Thread(target=_send_into, args=(results, notification), name="send", daemon=True).start()
            count += 1
        if not under_way:
            return count
        with suppress(Empty):
            pk, outcome = results.get(timeout=0.2)
            if pk in under_way:
                _settle(under_way.pop(pk)[0], outcome, worker)
        for pk, (notification, begun) in list(under_way.items()):
            if time.monotonic() - begun > (AT_THE_END if ended() else WITHIN).total_seconds():
                del under_way[pk]
                took = (time.monotonic() - begun) * 1_000
                _settle(notification, Outcome("It did not take the message in time.", took_ms=took), worker)


def _settle(notification: Notification, outcome: Outcome, worker: str) -> None:
    try:
        settle(notification, outcome, worker, timezone.now())
    except DatabaseError as error:
        # It counts as under way until its claim runs out, and is then sent again under the same identity.
        log.error("What came of message %s could not be written down (%s).", notification.pk, type(error).__name__)
        connection.close()


def _send_into(results: SimpleQueue[tuple[int, Outcome]], notification: Notification) -> None:
    began = time.monotonic()
    outcome = send(notification)
    took = (time.monotonic() - began) * 1_000
    results.put((notification.pk, Outcome(outcome.error[:1_000], outcome.is_final, took)))


def claim(worker: str, now: datetime, most: int = 4) -> list[Notification]:
    """Take messages that are due. What was to be told to somebody earlier of the same alert goes first."""
    same = Q(user=OuterRef("user")) | Q(channel=OuterRef("channel"))
    earlier = Notification.objects.filter(same, alert=OuterRef("alert"), pk__lt=OuterRef("pk"), due_at__isnull=False)
    due = Notification.objects.filter(~Exists(earlier), due_at__lte=now).order_by("due_at", "pk")
    mine = []
    for pk, due_at in due.values_list("pk", "due_at")[:most]:
        taken = Notification.objects.filter(pk=pk, due_at=due_at).update(
            state=NoticeState.SENDING, due_at=now + CLAIM, claimed_by=worker, attempts=F("attempts") + 1
        )
        mine += [pk] if taken else []
    found = Notification.objects.select_related("alert", "user", "channel__group").filter(pk__in=mine)
    return list(found.order_by("pk"))


@transaction.atomic
def settle(notification: Notification, outcome: Outcome, worker: str, now: datetime) -> None:
    """Write down what came of a try, and when the next one is."""
    DeliveryAttempt.objects.create(
        notification=notification,
        at=now,
        succeeded=not outcome.error,
        error=outcome.error,
        took_ms=outcome.took_ms,
    )
    values: dict[str, object] = {"error": outcome.error, "claimed_by": ""}
    if not outcome.error:
        values |= {"state": NoticeState.SENT, "due_at": None, "settled_at": now}
    elif outcome.is_final or notification.attempts > len(BACK_OFF):
        values |= {"state": NoticeState.FAILED, "due_at": None, "settled_at": now}
    else:
        values |= {"state": NoticeState.PENDING, "due_at": now + BACK_OFF[notification.attempts - 1]}
    # A claim that ran out belongs to whoever took it since, unless this one did arrive.
    held = Q(claimed_by=worker, attempts=notification.attempts) | Q(pk=notification.pk if not outcome.error else None)
    Notification.objects.filter(held, pk=notification.pk, due_at__isnull=False).update(**values)


def send(notification: Notification) -> Outcome:
    """Try once. Never raises: whatever goes wrong is the outcome."""
    try:
        if notification.via == "e-mail":
            return _send_email(notification)
        return _send_by_apprise(notification)
    except Exception as error:  # a plugin's own mistake must not keep the other messages
        log.error("Notification %s: %s.", notification.pk, type(error).__name__)
        return Outcome(f"Something unforeseen went wrong ({type(error).__name__}).")


def _send_email(notification: Notification) -> Outcome:
    user = notification.user
    if user is None or not user.is_active:
        return Outcome("This person is gone, or may no longer sign in.", is_final=True)
    if not user.email:
        return Outcome(f"{user.get_username()} has no e-mail address; the admin's user page takes one.", is_final=True)
    if not settings.EMAIL_HOST:
        return Outcome("The console can't send e-mail: OPS_SMTP_URL is not set.", is_final=True)
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    message = EmailMessage(
        notification.subject,
        notification.body,
        to=[user.email],
        connection=get_connection(),
        headers={
            "Message-ID": f"<{notification.uid}@{domain}>",
            "Auto-Submitted": "auto-generated",
            **({"In-Reply-To": thread, "References": thread} if (thread := _thread(notification, domain)) else {}),
        },
    )
    try:
        message.send()
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        return Outcome(f"The mail server refused the address: {code} {_text(said)}.", is_final=code >= 500)
    except smtplib.SMTPResponseException as error:
        return Outcome(f"The mail server answered {error.smtp_code} {_text(error.smtp_error)}.")
    except (smtplib.SMTPException, OSError) as error:
        return Outcome(f"The mail server {settings.EMAIL_HOST} could not be reached ({type(error).__name__}: {error}).")
    return Outcome()


def _thread(notification: Notification, domain: str) -> str:
    """What mail programs gather the messages of one alert by."""
    return f"<alert-{notification.alert_id}@{domain}>" if notification.alert_id else ""


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _send_by_apprise(notification: Notification) -> Outcome:
    channel = notification.channel
    if channel is None:
        return Outcome("This channel is gone.", is_final=True)
    try:
        url = channel.url()
        plugin = plugin_of(url)
    except (SecretUnreadable, AddressInvalid) as error:
        return Outcome(str(error), is_final=True)
    if isinstance(getattr(plugin, "headers", None), dict):
        plugin.headers["Idempotency-Key"] = str(notification.uid)
    with _said() as said:
        is_sent = plugin.notify(
            body=notification.body, title=notification.subject, notify_type=_type_of(notification), body_format="text"
        )
    if is_sent:
        return Outcome()
    return Outcome(scrubbed(" ".join(said) or f"{channel.service} did not take it.", url))


def _type_of(notification: Notification) -> str:
    if notification.kind == NoticeKind.RESOLVED:
        return "success"
    if notification.alert is None:
        return "info"
    return {Severity.URGENT.value: "failure", Severity.IMPORTANT.value: "warning"}.get(
        notification.alert.severity, "info"
    )


class _Listener(logging.Handler):
    """Keeps what one thread's send complained of: four of them run at once."""

    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.said = said
        self.thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread and len(self.said) < 5:
            self.said.append(record.getMessage()[:300])


@contextmanager
def _said() -> Iterator[list[str]]:
    said: list[str] = []
    listener = _Listener(said)
    logger = logging.getLogger("apprise")
    logger.addHandler(listener)
    try:
        yield said
    finally:
        logger.removeHandler(listener)
