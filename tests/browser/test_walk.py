"""The walk of an operator through the life of a task, as it is done at three in the morning."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tasks.matrix import FIVE, why_not
from tasks.statuses import Operation, Status
from tests.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.timeout(180)]


def row(page: Page, task: str) -> Locator:
    return page.locator(f"tr[data-task='{task}']")


def ask(page: Page, task: str, operation: Operation) -> Locator:
    """Open the dialog of an operation from the row, and return it."""
    row(page, task).locator(f"button[data-operation='{operation}']").click()
    dialog = page.locator("dialog[open]")
    expect(dialog).to_be_visible()
    return dialog


def operate(page: Page, task: str, operation: Operation, status: Status) -> None:
    dialog = ask(page, task, operation)
    if operation is Operation.STOP:
        dialog.locator("input[name=confirm]").fill(task)
    dialog.locator("[data-confirm]").click()
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(row(page, task)).to_have_attribute("data-status", status.value, timeout=30_000)


def figure(page: Page, task: str, field: str) -> int:
    value = row(page, task).locator(f"[data-field='{field}']").get_attribute("data-value")
    return int(value or 0)


def await_growth(page: Page, task: str) -> None:
    """The figures grow by themselves: the page is not loaded again."""
    before = figure(page, task, "rows_written")
    cell = row(page, task).locator("[data-field='rows_written']")
    expect(cell).not_to_have_attribute("data-value", str(before), timeout=15_000)
    assert figure(page, task, "rows_written") > before


def see_each_refusal(page: Page, task: str, status: Status) -> None:
    """Every refused button is there, can be focused, and says why."""
    for operation in FIVE:
        button = row(page, task).locator(f"button[data-operation='{operation}']")
        if why_not(operation, status) is None:
            expect(button).not_to_have_attribute("aria-disabled", "true")
            continue
        expect(button).to_have_attribute("aria-disabled", "true")
        expect(button).to_have_attribute("data-refused", re.compile(r"\w+"))
        assert button.get_attribute("disabled") is None
        button.focus()
        expect(button).to_be_focused()
        described = button.get_attribute("aria-describedby")
        assert described, operation
        sentence = page.locator(f"#{described}").text_content() or ""
        assert operation.label in sentence, (operation, sentence)


def test_an_operator_takes_a_task_through_its_life(page: Page, console: Stack) -> None:
    loads: list[str] = []
    page.goto("/tasks/")
    page.on("load", lambda loaded: loads.append(loaded.url))
    see_each_refusal(page, "append", Status.INITIALIZE)

    operate(page, "append", Operation.RUN, Status.RUNNING)
    await_growth(page, "append")
    await_growth(page, "append")
    see_each_refusal(page, "append", Status.RUNNING)

    operate(page, "append", Operation.PAUSE, Status.PAUSED)
    expect(row(page, "append")).to_have_attribute("data-paused", "normal")
    see_each_refusal(page, "append", Status.PAUSED)
    operate(page, "append", Operation.CONTINUE, Status.RUNNING)
    await_growth(page, "append")

    operate(page, "append", Operation.FORCED_PAUSE, Status.PAUSED)
    expect(row(page, "append")).to_have_attribute("data-paused", "forced")
    operate(page, "append", Operation.CONTINUE, Status.RUNNING)
    await_growth(page, "append")

    operate(page, "append", Operation.STOP, Status.STOPPED)
    see_each_refusal(page, "append", Status.STOPPED)
    operate(page, "append", Operation.RUN, Status.RUNNING)
    await_growth(page, "append")
    assert loads == []
    assert console.task("append").run.number == 2


def test_the_forced_pause_dialog_says_what_will_be_replayed(page: Page, console: Stack) -> None:
    page.goto("/tasks/")
    operate(page, "upsert", Operation.RUN, Status.RUNNING)
    console.await_written("upsert", 20)
    dialog = ask(page, "upsert", Operation.FORCED_PAUSE)
    forecast = dialog.locator("[data-field='replay_rows']")
    assert int(forecast.get_attribute("data-value") or -1) >= 0
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert console.task("upsert").status == Status.RUNNING


def test_stop_wants_the_name_typed(page: Page, console: Stack) -> None:
    page.goto("/tasks/")
    if console.task("upsert").status != Status.RUNNING:
        operate(page, "upsert", Operation.RUN, Status.RUNNING)
    dialog = ask(page, "upsert", Operation.STOP)
    dialog.locator("input[name=confirm]").fill("something else")
    dialog.locator("[data-confirm]").click()
    expect(page.locator("dialog[open]")).to_contain_text("upsert")
    expect(row(page, "upsert")).to_have_attribute("data-status", "running")
    assert console.task("upsert").status == Status.RUNNING


def test_an_update_leaves_focus_and_dialog_alone(page: Page, console: Stack) -> None:
    page.goto("/tasks/")
    if console.task("append").status != Status.RUNNING:
        operate(page, "append", Operation.RUN, Status.RUNNING)
    button = row(page, "append").locator("button[data-operation='pause']")
    button.focus()
    await_growth(page, "append")
    await_growth(page, "append")
    expect(row(page, "append").locator("button[data-operation='pause']")).to_be_focused()
    ask(page, "append", Operation.PAUSE)
    await_growth(page, "append")
    expect(page.locator("dialog[open]")).to_be_visible()


def test_without_javascript_plain_forms_do_it_all(chromium, console: Stack) -> None:  # type: ignore[no-untyped-def]
    from tests.browser.conftest import sign_in

    context = chromium.new_context(base_url=console.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page)
    task = console.task("append")
    if task.status != Status.RUNNING:
        console.operate("append", Operation.RUN)
    page.goto("/tasks/")
    row(page, "append").locator("button[data-operation='pause']").click()
    page.wait_for_url(re.compile("/operations/pause/"))
    page.locator("[data-confirm]").click()
    page.wait_for_url(f"**/tasks/{task.pk}/")
    console.await_status("append", Status.PAUSED)
    page.goto(f"/tasks/{task.pk}/")
    expect(page.locator("body")).to_contain_text("Paused")
    context.close()
