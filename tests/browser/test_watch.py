"""Overview, metrics and logs in a real browser: live, by keyboard, and without anything that shuts people out."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tasks.models import Sample
from tasks.statuses import Operation
from tests.browser.conftest import scan
from tests.stack import Stack
from tests.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.timeout(180)]


@pytest.fixture
def watched(console: Stack, page: Page) -> int:
    """A task that has run for some samples, with a forced pause among them."""
    task = console.task("append")
    if task.run is None:
        task = console.operate("append", Operation.RUN)
        console.await_written("append", 10)
        console.operate("append", Operation.FORCED_PAUSE)
        console.operate("append", Operation.CONTINUE)
        wait_for(lambda: Sample.objects.filter(run=task.run).count() > 2, "three samples", seconds=60)
    return task.pk


def test_a_chart_is_read_by_keyboard_and_grows_by_itself(page: Page, watched: int) -> None:
    page.goto(f"/tasks/{watched}/metrics/?range=15m")
    plot = page.locator("#plot-rows")
    expect(plot).to_have_attribute("aria-valuetext", re.compile(r"^the latest: Read .* rows/s, Written .* rows/s$"))
    before = page.locator("#task_charts").get_attribute("data-version")
    plot.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    expect(plot).to_have_attribute("aria-valuetext", re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: Read"))
    line = plot.locator("path.crosshair").get_attribute("d")
    assert line is not None
    assert not line.startswith("M-9")
    expect(page.locator("#task_charts")).not_to_have_attribute("data-version", str(before), timeout=30_000)
    expect(plot).to_be_focused()  # new samples came, and the reader stays where she was
    expect(plot).to_have_attribute("aria-valuetext", re.compile(r"^\d{4}-"))
    page.keyboard.press("Escape")
    expect(plot).to_have_attribute("aria-valuetext", re.compile("^the latest: "))


def test_the_log_follows_a_task_without_loading_anew(console: Stack, page: Page, watched: int) -> None:
    page.goto(f"/tasks/{watched}/logs/")
    attempts = page.locator("#log li.attempt")
    count = attempts.count()
    assert count >= 2
    console.operate("append", Operation.PAUSE)
    console.operate("append", Operation.CONTINUE)
    expect(attempts).to_have_count(count + 1, timeout=15_000)
    expect(page.locator("#log li:last-child span")).to_be_in_viewport()
    number = page.locator("#log li:not(.attempt) a.n").first
    href = number.get_attribute("href")
    assert href is not None
    page.goto(f"/tasks/{watched}/logs/{href}")
    expect(page.locator("#log li:target")).to_be_in_viewport()


def test_the_overview_tells_of_a_need_as_it_comes_and_goes(console: Stack, page: Page, watched: int) -> None:
    page.goto("/")
    expect(page.locator("[data-need=unheard]")).to_have_count(0)
    console.kill("engine")
    try:
        expect(page.locator("[data-need=unheard], [data-need=restarting]").first).to_be_visible(timeout=30_000)
    finally:
        console.start("engine")
    expect(page.locator("[data-need]")).to_have_count(0, timeout=40_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_shuts_anybody_out(chromium: Browser, console: Stack, watched: int, scheme: str) -> None:
    task = f"/tasks/{watched}/"
    addresses = ["/", f"{task}metrics/?range=15m&table=1", f"{task}logs/", task, "/tasks/"]
    scan(chromium, console, scheme, addresses)
