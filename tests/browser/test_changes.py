"""Tasks are changed, cloned and exported in the browser; what a batch left undone is asked for again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import BrowserContext, Page, expect

from tasks.models import Batch, Task
from tasks.statuses import Operation, Status
from tests.browser.conftest import sign_in
from tests.stack import Stack
from tests.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.timeout(180)]


def open_editor(page: Page, task: Task) -> None:
    page.goto(f"/tasks/{task.pk}/configuration/")
    page.get_by_role("link", name="Edit").click()


def to_the_third_step(page: Page) -> None:
    for _ in range(2):
        page.locator("[data-next]").click()
    expect(page.locator("[aria-current=step]")).to_have_text("Where and how")


def test_a_paused_task_is_changed_and_its_configuration_tells_what_it_ran_with(console: Stack, page: Page) -> None:
    console.operate("append", Operation.RUN)
    task = console.task("append")
    open_editor(page, task)
    expect(page.get_by_text("append is Running: only description, owner, tags can be changed now.")).to_be_visible()
    console.operate("append", Operation.PAUSE)
    open_editor(page, task)
    to_the_third_step(page)
    page.get_by_label("Snapshot interval").fill("7")
    page.locator("[data-next]").click()
    expect(page.locator("pre.yaml")).to_contain_text("snapshot_interval: 7")
    page.locator("[data-save]").click()
    expect(page.get_by_text("append is changed: snapshot interval.")).to_be_visible()
    page.get_by_role("link", name="Configuration").click()
    differs = page.locator("[data-differs]")
    expect(differs).to_contain_text("Attempt 1 ran with other settings")
    expect(differs).to_contain_text("1 then, 7 from its next start on")
    console.operate("append", Operation.CONTINUE)
    page.reload()
    expect(differs).to_have_count(0)
    console.operate("append", Operation.STOP)


def test_two_who_change_the_same_task_learn_of_each_other(console: Stack, page: Page, context: BrowserContext) -> None:
    task = console.task("upsert")
    other = context.new_page()
    for one in (page, other):
        open_editor(one, task)
        to_the_third_step(one)
    for one, limit in ((page, "5"), (other, "6")):
        one.get_by_label("Dirty limit").fill(limit)
        one.locator("[data-next]").click()
    expect(other.locator("[data-save]")).to_be_visible()
    page.locator("[data-save]").click()
    expect(page.get_by_text("upsert is changed: dirty limit.")).to_be_visible()
    other.locator("[data-save]").click()
    expect(other.get_by_role("alert")).to_contain_text("Somebody has changed upsert since you opened it.")
    other.locator("[data-next]").click()
    other.locator("[data-save]").click()
    expect(other.get_by_text("upsert is changed: dirty limit.")).to_be_visible()
    assert console.task("upsert").dirty_limit == 6


def test_a_mistake_is_shown_where_it_is_with_the_focus_on_it(page: Page, console: Stack) -> None:
    page.goto("/tasks/new/")
    page.get_by_label("Source connection").select_option("shop")
    page.get_by_label("Source object").fill("orders")
    page.keyboard.press("Enter")  # goes on; it looks nothing up
    expect(page.locator("[aria-current=step]")).to_have_text("Target")
    expect(page.locator(".problem")).to_have_count(0)
    page.get_by_label("Target connection").select_option("warehouse")
    page.get_by_label("Target object").fill("copy")
    page.get_by_label("Write mode").select_option("upsert")
    page.locator("[data-next]").click()
    expect(page.get_by_role("alert")).to_have_text("Upsert writes by key: name the columns that identify a row.")
    key = page.get_by_label("Key")
    expect(key).to_be_focused()
    described = (key.get_attribute("aria-describedby") or "").split()
    assert all(page.locator(f"#{name}").count() == 1 for name in described)
    assert described[-1] == "id_key_error"


def test_a_task_is_cloned_and_taken_away_as_a_file(console: Stack, page: Page) -> None:
    task = console.task("upsert")
    page.goto(f"/tasks/{task.pk}/configuration/")
    page.get_by_role("link", name="Clone").click()
    to_the_third_step(page)
    expect(page.get_by_label("Name")).to_have_value("upsert-copy")
    page.get_by_label("Tags").fill("nightly")
    page.locator("[data-next]").click()
    page.locator("[data-save]").click()
    expect(page.locator("h1").first).to_have_text("upsert-copy")
    page.get_by_role("link", name="Configuration").click()
    expect(page.locator("dd .chip")).to_have_text("nightly")
    with page.expect_download() as taken:
        page.get_by_role("link", name="Export as YAML").click()
    (written,) = yaml.safe_load(Path(taken.value.path()).read_text())["tasks"]
    assert (written["name"], written["tags"], written["target"]["key"]) == ("upsert-copy", ["nightly"], ["id"])
    Task.objects.filter(name="upsert-copy").delete()


def test_what_a_batch_left_undone_is_asked_for_again_through_the_same_preview(console: Stack, page: Page) -> None:
    console.operate("append", Operation.RUN)
    page.goto("/tasks/")
    for name in ("append", "upsert"):
        page.locator(f"tr[data-task={name}] .pick input").check()
    page.locator("[data-bulk=pause]").click()
    dialog = page.locator("dialog[open]")
    expect(dialog.locator("h1")).to_have_text("Pause: 1 of 2 tasks")
    dialog.locator("[data-confirm]").click()
    expect(page).to_have_url(re.compile(r"/tasks/batches/\d+/$"))
    expect(page.locator("#batch-retry")).to_be_visible()
    console.operate("upsert", Operation.RUN)
    page.locator("#batch-retry").click()
    expect(dialog.locator("h1")).to_have_text("Pause: 1 of 1 task")
    expect(dialog).to_contain_text("upsert")
    dialog.locator("[data-confirm]").click()
    expect(page.get_by_text("again for those of")).to_be_visible()
    wait_for(lambda: Batch.objects.latest("pk").finished_at is not None, "it is done", seconds=30)
    assert Task.objects.filter(status=Status.PAUSED).count() == 2
    page.goto("/tasks/batches/")
    expect(page.locator("tbody tr").first).to_contain_text("1 succeeded")


def test_a_session_that_ended_is_told_of(page: Page, context: BrowserContext, console: Stack) -> None:
    page.goto("/tasks/")
    context.clear_cookies()
    expect(page.locator("#silence")).to_contain_text("You are signed out", timeout=10_000)
    sign_in(page)
    expect(page.locator("#task_list")).to_be_visible()
