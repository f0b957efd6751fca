"""The page under people's hands: palette, ticks, sentences where they can be read, and that all of it fits a window."""

from __future__ import annotations

import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Locator, Page, expect
from pytest_django.plugin import DjangoDbBlocker

from tasks.models import Batch, OperationRequest, SavedView, Task
from tasks.statuses import Operation, Status
from tests import axe
from tests.stack import Stack
from tests.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.timeout(240)]

MANY = 60  # more than a page of the list holds
RUNNING = [f"t{n:03}" for n in range(10, 20)]
LONG = "a_name_that_nobody_would_type_twice_but_a_generator_writes_every_day"
WIDTHS = (320, 360, 600, 800, 896, 897, 1024, 1100, 1200, 1216, 1217, 1280, 1290, 1400, 1920)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Stack]:
    """Sixty tasks, ten of which run, and one whose names are as long as names get."""
    directory: Path = tmp_path_factory.mktemp("hands")
    db = sqlite3.connect(directory / "shop.db")
    with db:
        for table in ("orders", LONG):
            db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, what TEXT)")
    db.close()
    (directory / "out").mkdir()
    names = [(f"t{n:03}", "orders") for n in range(MANY - 1)] + [(f"t999-{LONG}", LONG)]
    tasks = "\n".join(
        f"  - {{name: {name}, group: local, source: {{connection: shop, object: {table}, cursor: id}}, "
        f"target: {{connection: out, object: {name}.jsonl}}}}"
        for name, table in names
    )
    stack = Stack(directory)
    with django_db_blocker.unblock(), stack.use():
        try:
            stack.prepare()
            stack.manage("collectstatic", "--no-input", "-v0")
            stack.submit(
                "resource_groups:\n  - {name: local, capacity: 100}\nconnections:\n"
                f"  - {{name: shop, kind: sqlite, path: {directory}/shop.db}}\n"
                f"  - {{name: out, kind: file, path: {directory}/out}}\ntasks:\n{tasks}\n"
            )
            stack.start("engine", "worker", "web")
            for name in RUNNING:
                stack.ask(name, Operation.RUN)
            running = Task.objects.filter(status=Status.RUNNING)
            wait_for(lambda: running.count() == len(RUNNING), "ten run", seconds=60)
            yield stack
        finally:
            stack.close()


@contextmanager
def without_web(console: Stack) -> Iterator[None]:
    console.kill("web", signal.SIGTERM)
    try:
        yield
    finally:
        console.start("web")


def row(page: Page, name: str) -> Locator:
    return page.locator(f"tr[data-task='{name}']")


def tick(page: Page, *names: str) -> None:
    for name in names:
        row(page, name).locator(".pick input").check()


def open_palette(page: Page, typed: str = "") -> Locator:
    page.keyboard.press("Control+k")
    palette = page.locator("#palette")
    expect(palette.locator("input")).to_be_focused()
    if typed:
        page.keyboard.type(typed)
    return palette


def ask(page: Page, name: str, operation: str) -> Locator:
    """Open the dialog of an operation from the row, and return it."""
    row(page, name).locator(f"button[data-operation='{operation}']").click()
    dialog = page.locator("#dialog[open]")
    expect(dialog.locator("[data-confirm]")).to_be_visible()
    return dialog


def sign_out(page: Page) -> None:
    """End the session behind the page's back."""
    page.context.clear_cookies(name="sessionid")


# --- Palette ------------------------------------------------------------------------------------------------


def test_enter_waits_for_the_answer_to_what_is_typed(page: Page) -> None:
    page.goto("/tasks/")
    palette = open_palette(page, "stop t01")
    expect(palette.get_by_role("option")).to_have_count(10)
    page.keyboard.type("9")
    page.keyboard.press("Enter")
    expect(page.locator("#dialog[open] h1")).to_have_text("Stop: t019")


def test_enter_takes_nothing_where_nothing_is_found(page: Page) -> None:
    page.goto("/tasks/")
    palette = open_palette(page, "stop t01")
    expect(palette.get_by_role("option")).to_have_count(10)
    page.keyboard.type("-no-such")
    page.keyboard.press("Enter")
    expect(palette.get_by_text("Nothing found.")).to_be_visible()
    expect(palette.get_by_role("option")).to_have_count(0)
    expect(page.locator("#dialog[open]")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(palette).to_be_visible()


def test_the_palette_says_what_to_type_and_one_escape_closes_it(page: Page) -> None:
    page.goto("/tasks/")
    palette = open_palette(page)
    expect(palette.get_by_role("status")).to_contain_text("Type a part of a task’s name")
    page.keyboard.type("t001")
    expect(palette.get_by_role("option")).to_have_count(1)
    expect(palette.get_by_role("option")).to_have_text("t001 Initialize")
    page.keyboard.press("Escape")
    expect(palette).to_have_count(0)


def test_the_palette_says_that_the_session_has_ended(page: Page) -> None:
    page.goto("/tasks/")
    sign_out(page)
    palette = open_palette(page, "t001")
    expect(palette.get_by_role("status")).to_have_text("You are signed out; load the page again to sign in.")


def test_the_palette_shuts_nobody_out(page: Page) -> None:
    page.goto("/tasks/")
    for typed, count in (("stop t01", 10), ("", 0)):
        palette = open_palette(page, typed)
        expect(palette.get_by_role("option")).to_have_count(count)
        found = axe.runner().run(page).response["violations"]
        assert not found, [(it["id"], node["html"]) for it in found for node in it["nodes"]]
        page.keyboard.press("Escape")


@pytest.mark.parametrize("by", ["key", "pointer"])
def test_what_is_found_opens_in_a_tab_of_its_own(page: Page, by: str) -> None:
    page.goto("/tasks/")
    palette = open_palette(page, "t017")
    expect(palette.get_by_role("option")).to_have_count(1)
    expect(palette.get_by_role("option")).to_have_text("t017 Running")
    with page.context.expect_page() as opened:
        if by == "key":
            page.keyboard.press("Control+Enter")
        else:
            palette.get_by_role("option").click(modifiers=["Control"])
    expect(opened.value.locator("h1").first).to_have_text("t017")
    expect(page).to_have_url(re.compile("/tasks/$"))


# --- Ticks --------------------------------------------------------------------------------------------------


def test_a_row_taken_out_ends_all_that_match(page: Page) -> None:
    page.goto("/tasks/")
    every = page.locator("#pick-all")
    every.check()
    expect(page.locator(".pick input:checked")).to_have_count(50)
    expect(page.locator("#picked")).to_have_text("All of them are selected")
    row(page, "t003").locator(".pick input").uncheck()
    expect(every).not_to_be_checked()
    expect(page.locator("#picked")).to_have_text("49 selected")
    every.check()
    expect(row(page, "t003").locator(".pick input")).to_be_checked()
    page.locator("[data-pick-page] input").uncheck()
    expect(every).not_to_be_checked()
    expect(page.locator("#picked")).to_have_text("Select tasks to operate several at once")


def test_the_key_x_ends_all_that_match_and_the_preview_takes_what_is_ticked(page: Page) -> None:
    page.goto("/tasks/")
    page.locator("#pick-all").check()
    page.locator("#pick-all").blur()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#pick-all")).not_to_be_checked()
    page.locator("[data-bulk=pause]").click()
    expect(page.locator("#dialog[open] h1")).to_have_text(f"Pause: {len(RUNNING)} of 49 tasks")


def test_ticks_and_focus_survive_another_order(page: Page) -> None:
    page.goto("/tasks/?q=t01")
    tick(page, "t013", "t015")
    page.locator("#sort-name").focus()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("sort="))
    expect(page.locator("#task_list tbody tr").first).to_have_attribute("data-task", "t019")
    expect(page.locator("#picked")).to_have_text("2 selected")
    for name in ("t013", "t015"):
        expect(row(page, name).locator(".pick input")).to_be_checked()
    expect(page.locator("#sort-name")).to_be_focused()


def test_all_that_match_survive_another_order(page: Page) -> None:
    page.goto("/tasks/")
    page.locator("#pick-all").check()
    page.locator("#sort-name").click()
    expect(row(page, f"t999-{LONG}")).to_be_visible()
    expect(page.locator("#pick-all")).to_be_checked()
    expect(page.locator(".pick input:checked")).to_have_count(50)
    expect(page.locator("#picked")).to_have_text("All of them are selected")


@pytest.mark.parametrize("width", [1400, 1024, 360])
def test_the_bar_hides_no_row_that_the_keys_stand_on(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/tasks/")
    tick(page, "t000", "t001")
    page.locator("h1").first.click(force=True)
    for key in "j" * 30 + "k" * 25:
        page.keyboard.press(key)
        hidden = page.evaluate(
            """() => document.querySelector("#bulk").getBoundingClientRect().bottom
                     - document.activeElement.getBoundingClientRect().top"""
        )
        assert hidden <= 0, key
    page.keyboard.press("Shift+Tab")
    hidden = page.evaluate(
        "bulk.getBoundingClientRect().bottom - document.activeElement.getBoundingClientRect().bottom"
    )
    assert hidden <= 0


# --- Sentences ----------------------------------------------------------------------------------------------


def test_a_console_that_is_down_is_told_of_in_the_dialog_and_asked_again(page: Page, console: Stack) -> None:
    page.goto("/tasks/?q=t01")
    dialog = ask(page, "t010", "pause")
    with without_web(console):
        for _ in range(2):
            dialog.locator("[data-confirm]").click()
            expect(dialog.get_by_role("alert")).to_contain_text("can’t be reached")
        expect(dialog.get_by_role("alert")).to_have_count(1)
        expect(dialog.get_by_role("alert")).to_contain_text("sent again, it is never done twice")
        expect(dialog.locator("[data-confirm]")).to_be_focused()
        assert dialog.evaluate("it => it.firstElementChild.getAttribute('role')") == "alert"
        expect(page.locator(".toast")).to_have_count(0)
    dialog.locator("[data-confirm]").click()
    expect(row(page, "t010")).to_have_attribute("data-status", "paused", timeout=20_000)
    assert OperationRequest.objects.filter(task__name="t010", operation="pause").count() == 1


def test_a_console_that_is_down_is_told_of_by_toast_and_palette(page: Page, console: Stack) -> None:
    page.goto("/tasks/?q=t01")
    with without_web(console):
        row(page, "t011").locator("button[data-operation=pause]").click()
        toast = page.locator(".toast.bad")
        expect(toast).to_have_text("The console can’t be reached. Nothing was done; try again in a moment.")
        palette = open_palette(page)
        expect(palette.get_by_role("status")).to_have_text("The console does not answer.")
        page.keyboard.press("Escape")
        expect(page.locator("#silence")).to_be_visible(timeout=20_000)  # by then several polls were lost
        assert toast.count() <= 1


def test_a_session_that_ended_is_told_of_in_the_open_dialog(page: Page) -> None:
    page.goto("/tasks/?q=t01")
    dialog = ask(page, "t012", "pause")
    sign_out(page)
    expect(dialog.get_by_role("alert")).to_contain_text("You are signed out")  # a poll found out
    dialog.locator("[data-confirm]").click()
    expect(dialog.get_by_role("alert")).to_contain_text("You are signed out, so nothing was done.")
    expect(dialog.get_by_role("alert")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#silence")).to_contain_text("You are signed out")


def test_a_failure_of_the_console_is_told_of_where_it_is_seen(page: Page) -> None:
    page.goto("/tasks/?q=t01")
    dialog = ask(page, "t013", "pause")
    page.route("**/operations/**", lambda route: route.fulfill(status=500))
    dialog.locator("[data-confirm]").click()
    expect(dialog.get_by_role("alert")).to_contain_text("The console failed (500).")
    expect(page.locator(".toast")).to_have_count(0)
    page.keyboard.press("Escape")
    row(page, "t013").locator("button[data-operation=pause]").click()
    expect(page.locator(".toast.bad")).to_contain_text("The console failed (500).")


def test_each_tone_of_a_toast_has_its_colour(page: Page) -> None:
    page.goto("/tasks/")
    colours = page.evaluate(
        """() => ["good", "held", "bad"].map((tone) => {
             document.dispatchEvent(new CustomEvent("toast", { detail: { text: tone, tone } }));
             return getComputedStyle(document.querySelector(`.toast.${tone}`)).borderLeftColor;
           })"""
    )
    assert len(set(colours)) == 3


# --- Windows of any width -----------------------------------------------------------------------------------


def outside(page: Page, selector: str) -> list[str]:
    """Return what of `selector` reaches out of the window."""
    found: list[str] = page.evaluate(
        """(selector) => [...document.querySelectorAll(selector)].map((it) => [it, it.getBoundingClientRect()])
             .filter(([, box]) => box.width && (box.left < 0 || box.right > innerWidth))
             .map(([it, box]) => `${it.tagName} ${it.className} ${it.id}: ${box.left} to ${box.right}`)""",
        selector,
    )
    return found


def test_the_list_fits_every_window(page: Page) -> None:
    page.goto("/tasks/?sort=-name")
    expect(row(page, f"t999-{LONG}")).to_be_visible()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        assert not outside(page, "#bulk button, .list tbody :is(tr, td, th, button, .badge)"), width


def test_the_columns_of_a_narrow_list_stand_below_their_headings(page: Page) -> None:
    page.set_viewport_size({"width": 1024, "height": 800})
    page.goto("/tasks/?q=t01")
    lefts = """(name) => ["thead", "tbody"].map((part) =>
                 document.querySelector(`.list ${part} .col-${name}`).getBoundingClientRect().left)"""
    for name in ("status", "source", "target", "rows_read", "lag", "last_operation"):
        above, below = page.evaluate(lefts, name)
        assert abs(above - below) < 1, name
    whole = page.evaluate(
        "[...document.querySelectorAll('tbody tr')].filter((it) => "
        "it.getBoundingClientRect().bottom <= innerHeight).length"
    )
    assert whole >= 5


def test_a_phone_shows_a_task_on_its_first_screen(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto("/tasks/")
    first = row(page, "t000")
    assert first.evaluate("it => it.getBoundingClientRect().top") < 420
    expect(first.locator("button[data-operation=run]")).to_be_in_viewport()
    expect(page.locator("#bulk-stop")).to_be_hidden()
    tick(page, "t000")
    expect(page.locator("#bulk-stop")).to_be_visible()


@pytest.fixture
def thirty_views(console: Stack) -> Iterator[None]:
    admin = get_user_model().objects.get(username="admin")
    SavedView.objects.bulk_create(
        SavedView(user=admin, name=f"My own view number {n}", query=f"q=t0{n}") for n in range(30)
    )
    yield
    SavedView.objects.all().delete()


def see_the_menu_inside(page: Page) -> None:
    for width in (360, 600, 800, 1024, 1100, 1200, 1400, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/tasks/")
        page.locator(".menu summary").click()
        box = page.locator(".menu-body").bounding_box()
        assert box is not None
        assert box["x"] >= 0, width
        assert box["x"] + box["width"] <= width, width
        assert box["y"] >= 0, width
        assert box["y"] + box["height"] <= 800, width
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width


def test_the_view_menu_stays_in_the_window(page: Page) -> None:
    see_the_menu_inside(page)


def test_the_menu_of_thirty_views_scrolls_by_itself(page: Page, thirty_views: None) -> None:
    see_the_menu_inside(page)
    last = page.locator(".menu-body button").last
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport()
    assert page.evaluate("scrollY") == 0


def test_the_items_of_a_batch_fit_a_phone(page: Page) -> None:
    page.goto("/tasks/?q=t01")
    tick(page, "t018", "t019")
    page.locator("[data-bulk=pause]").click()
    page.locator("#dialog[open] [data-confirm]").click()
    expect(page).to_have_url(re.compile(r"/tasks/batches/\d+/$"))
    batch = Batch.objects.latest("pk")
    wait_for(lambda: batch.items.exclude(state__in=("waiting", "asked")).count() == 2, "the batch ends", seconds=30)
    batch.items.filter(task_name="t019").update(
        task_name=LONG, state="refused", request=None, message=f"{LONG} is not the end of {LONG}/{LONG}."
    )
    page.set_viewport_size({"width": 360, "height": 800})
    for address in (page.url, "/tasks/batches/"):
        page.goto(address)
        expect(page.locator(".as-cards")).to_be_visible()
        wide = page.evaluate(
            "(() => { const it = document.querySelector('.scroll'); return it.scrollWidth - it.clientWidth; })()"
        )
        assert wide <= 0, address
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
