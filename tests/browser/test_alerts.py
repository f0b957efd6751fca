"""What an on-call person lives through: lag, an alert, the message, acknowledgement, and that it is over."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.plugin import DjangoDbBlocker

from tests.browser.conftest import scan, sign_in
from tests.factories import make_user
from tests.receivers import HttpReceiver, Mailbox, http_receiver, mail_server
from tests.stack import Stack
from tests.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.timeout(300)]

RULES = """
recipient_groups:
  - {name: on-call, people: [olga], channels: [{name: hook, url_env: HOOK}]}
alert_rules:
  - name: behind
    metric: task_delay
    threshold: 1
    window: 0
    resolve_after: 0
    scope: {tasks: [orders-copy]}
    to: {groups: [on-call]}
  - name: nothing-comes
    metric: write_speed
    threshold: 1
    window: 30
    resolve_after: 0
    severity: urgent
    scope: {tasks: [orders-copy]}
    to: {groups: [on-call]}
"""
#: Each row that is written makes the target count to some thousands first.
SLOW = """
CREATE TRIGGER slow AFTER INSERT ON orders BEGIN
  SELECT COUNT(*) FROM (WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000) SELECT x FROM n);
END
"""


@pytest.fixture(scope="module")
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as mailbox:
        yield mailbox


@pytest.fixture(scope="module")
def demo(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
    receiver: HttpReceiver,
    mailbox: Mailbox,
) -> Iterator[Stack]:
    """The console with its demo, and a rule that tells the receiver and the mailbox."""
    stack = Stack(tmp_path_factory.mktemp("demo"), demo=True)
    stack.environment |= {
        "OPS_METRICS_KEEP": "2s:1h,1m:1d",
        "OPS_ALERT_SECONDS": "1",
        "OPS_SMTP_URL": f"smtp://127.0.0.1:{mailbox.port}",
        "OPS_URL": "https://ops.example.org",
        "HOOK": receiver.url,
    }
    with django_db_blocker.unblock(), stack.use():
        try:
            stack.prepare()
            stack.manage("collectstatic", "--no-input", "-v0")
            make_user("olga", email="olga@example.org")
            stack.submit(RULES)
            stack.start("engine", "worker", "web", "demo")
            stack.await_written("orders-copy", 50)
            yield stack
        finally:
            stack.close()


@pytest.fixture
def page(chromium: Browser, demo: Stack) -> Iterator[Page]:
    context = chromium.new_context(base_url=demo.url, viewport={"width": 1400, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    sign_in(page)
    yield page
    context.close()


def base(demo: Stack) -> Path:
    return demo.data_dir / "demo"


def add_orders(demo: Stack, count: int) -> None:
    shop = sqlite3.connect(base(demo) / "shop.db", timeout=20)
    with shop:
        shop.executemany(
            "INSERT INTO orders (customer, item, amount, at) VALUES (?, ?, ?, ?)", [(1, "sail", 9.5, "now")] * count
        )
    shop.close()


def told(receiver: HttpReceiver, mailbox: Mailbox, title: str) -> None:
    wait_for(lambda: title in receiver.titles() and title in mailbox.subjects(), f"both were told: {title}", seconds=40)


def test_a_task_that_falls_behind_is_seen_told_of_and_over(
    demo: Stack, page: Page, receiver: HttpReceiver, mailbox: Mailbox
) -> None:
    warehouse = sqlite3.connect(base(demo) / "warehouse.db", timeout=60, isolation_level=None)
    warehouse.execute(SLOW)
    try:
        add_orders(demo, 30_000)
        row = page.locator("tr[data-task='orders-copy']")
        lag = row.locator("[data-field='lag_seconds']")
        expect(lag).to_have_attribute("data-value", re.compile(r"^([2-9]|\d\d)"), timeout=40_000)
        expect(page.locator("[data-open-alerts=important]")).to_have_text("1 important", timeout=40_000)
        told(receiver, mailbox, "[important] orders-copy: Task delay")
        page.goto(f"/tasks/{demo.task('orders-copy').pk}/alerts/")
        expect(page.locator("tr[data-alert=task_delay]")).to_have_attribute("data-state", "open")
        assert page.locator("tr[data-alert=task_delay]").get_by_text("told").is_visible()
    finally:
        warehouse.execute("DROP TRIGGER slow")
        warehouse.close()
    told(receiver, mailbox, "[resolved] orders-copy: Task delay")
    expect(page.locator("[data-open-alerts=important]")).to_have_count(0, timeout=20_000)


def test_a_source_whose_writer_stopped_is_told_of_acknowledged_and_over(
    demo: Stack, page: Page, receiver: HttpReceiver, mailbox: Mailbox
) -> None:
    demo.kill("demo", 15)
    badge = page.locator("[data-open-alerts=urgent]")
    before = badge.get_attribute("data-value") if badge.count() else "0"
    expect(badge).to_have_attribute("data-value", str(int(before or 0) + 1), timeout=90_000)
    told(receiver, mailbox, "[urgent] orders-copy: Write speed")
    assert [to for to, message in mailbox.got if message["Subject"] == "[urgent] orders-copy: Write speed"] == [
        ["olga@example.org"]
    ]
    page.get_by_role("link", name="Alerts").click()
    page.locator("tr[data-alert=write_speed]").get_by_role("link", name="Write speed: ").click()
    expect(page.locator("[data-message=opened][data-via=JSON]")).to_have_attribute("data-state", "sent")
    expect(page.locator("[data-message=opened][data-via=e-mail]")).to_have_attribute("data-state", "sent")
    page.get_by_label("Note").fill("the shop is closed")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("[data-event=acknowledged]")).to_contain_text("by admin: the shop is closed")
    demo.start("demo")
    expect(page.locator("[data-alert=write_speed]")).to_have_attribute("data-state", "resolved", timeout=60_000)
    told(receiver, mailbox, "[resolved] orders-copy: Write speed")


def test_a_rule_is_made_and_previewed_in_the_browser(demo: Stack, page: Page) -> None:
    page.goto("/alerts/rules/")
    page.get_by_role("link", name="New rule").click()
    page.get_by_role("link", name="Task failure").click()
    page.get_by_label("Name", exact=True).fill("payments-fail")
    page.get_by_role("button", name="Preview the last day").click()
    expect(page.locator("[data-preview-count]")).to_have_attribute("data-preview-count", "1")
    expect(page.get_by_label("Name", exact=True)).to_have_value("payments-fail")  # nothing of the form was lost
    page.get_by_role("button", name="Save").click()
    expect(page.locator("tr[data-rule=payments-fail]")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_shuts_anybody_out(chromium: Browser, demo: Stack, scheme: str) -> None:
    addresses = [
        "/alerts/",
        "/alerts/?state=all",
        "/alerts/1/",
        "/alerts/rules/",
        "/alerts/rules/1/",
        "/alerts/rules/1/delete/",
        "/alerts/rules/new/",
    ]
    addresses += ["/alerts/recipients/", f"/tasks/{demo.task('payments-copy').pk}/alerts/"]
    scan(chromium, demo, scheme, addresses)
