"""The list as people work with it: keys, selection, live rows, two browsers, views, bulk; and without script."""

from __future__ import annotations

import re
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Browser, Locator, Page, expect
from pytest_django.plugin import DjangoDbBlocker

from tasks.models import Batch, OperationRequest, Task
from tasks.statuses import Operation, Outcome, Status
from tests.browser.conftest import scan, sign_in
from tests.stack import Stack
from tests.waiting import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.timeout(240)]

MANY = 200
CANT = 5  # of those: they do not run


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Stack]:
    """Two hundred tasks on one source, each with a target file of its own; all but five run."""
    directory: Path = tmp_path_factory.mktemp("many")
    db = sqlite3.connect(directory / "shop.db")
    with db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
        db.executemany("INSERT INTO orders (what) VALUES (?)", [("x",)] * 20)
    db.close()
    (directory / "out").mkdir()
    stack = Stack(directory)
    tasks = "\n".join(
        f"  - {{name: t{n:03}, group: local, snapshot_interval: 60, tags: [{'even' if n % 2 == 0 else 'odd'}], "
        f"source: {{connection: shop, object: orders, cursor: id}}, "
        f"target: {{connection: out, object: t{n:03}.jsonl}}}}"
        for n in range(MANY)
    )
    with django_db_blocker.unblock(), stack.use():
        try:
            stack.prepare()
            stack.manage("collectstatic", "--no-input", "-v0")
            stack.submit(
                "resource_groups:\n  - {name: local, capacity: 300}\nconnections:\n"
                f"  - {{name: shop, kind: sqlite, path: {directory}/shop.db}}\n"
                f"  - {{name: out, kind: file, path: {directory}/out}}\ntasks:\n{tasks}\n"
            )
            stack.start("engine", "worker", "web")
            for n in range(MANY - CANT):
                stack.ask(f"t{n:03}", Operation.RUN)
            running = Task.objects.filter(status=Status.RUNNING)
            wait_for(lambda: running.count() == MANY - CANT, "all run", seconds=60)
            yield stack
        finally:
            stack.close()


def row(page: Page, name: str) -> Locator:
    return page.locator(f"tr[data-task='{name}']")


def test_the_keys_walk_select_search_and_help(page: Page) -> None:
    page.goto("/tasks/")
    for key in ("j", "j", "x", "j", "j", "X"):
        page.keyboard.press(key)
    expect(page.locator("#picked")).to_have_text("3 selected")
    expect(row(page, "t003").locator("th a")).to_be_focused()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/tasks/\d+/$"))
    expect(page.locator("h1").first).to_have_text("t002")
    page.go_back()
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("?")
    expect(page.locator("dialog#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog#keys")).to_have_count(0)


def test_the_palette_finds_a_task_and_opens_an_operations_dialog(page: Page) -> None:
    page.goto("/tasks/")
    page.keyboard.press("Control+k")
    page.keyboard.type("t017")
    expect(page.locator("#palette [role=option]")).to_have_text("t017 Running")
    page.locator("#palette input").fill("pause t01")
    expect(page.locator("#palette [role=option]").first).to_have_text("Pause t010")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("dialog[open] h1")).to_have_text("Pause: t011")
    page.keyboard.press("Escape")


def test_a_range_is_selected_by_shift_and_survives_live_rows(console: Stack, page: Page) -> None:
    page.goto("/tasks/?q=t02")
    row(page, "t021").locator(".pick input").click()
    row(page, "t025").locator(".pick input").click(modifiers=["Shift"])
    expect(page.locator("#picked")).to_have_text("5 selected")
    focused = row(page, "t023").locator("button[data-operation=stop]")
    focused.focus()
    version = row(page, "t023").get_attribute("data-version")
    Task.objects.filter(name="t023").update(owner=get_user_model().objects.get(username="admin"))
    expect(row(page, "t023")).not_to_have_attribute("data-version", str(version), timeout=10_000)
    expect(page.locator("#picked")).to_have_text("5 selected")
    expect(row(page, "t023").locator(".pick input")).to_be_checked()
    expect(focused).to_be_focused()


def test_an_operation_in_one_browser_shows_in_the_other_within_two_seconds(
    console: Stack, chromium: Browser, page: Page
) -> None:
    other = chromium.new_context(base_url=console.url)
    there = other.new_page()
    sign_in(there)
    there.goto("/tasks/?q=t03")
    row(there, "t031").locator(".pick input").click()
    row(there, "t032").locator("button[data-operation=stop]").focus()
    page.goto("/tasks/?q=t03")
    row(page, "t030").locator("button[data-operation=pause]").click()
    page.locator("dialog[open] [data-confirm]").click()
    expect(row(page, "t030")).to_have_attribute("data-status", "paused", timeout=10_000)
    # Its poll is due within two seconds; the rest is the answer's own time.
    expect(row(there, "t030")).to_have_attribute("data-status", "paused", timeout=2_500)
    expect(row(there, "t031").locator(".pick input")).to_be_checked()
    expect(row(there, "t032").locator("button[data-operation=stop]")).to_be_focused()
    other.close()


def test_new_tasks_are_announced_and_not_forced_in(console: Stack, page: Page) -> None:
    page.goto("/tasks/?q=t04")
    expect(page.locator("#task_list tbody tr")).to_have_count(10)
    like = console.task("t040")
    like.pk, like.uid, like.name = None, uuid.uuid4(), "t04-new"
    like.status, like.run, like.last_request = Status.STOPPED, None, None
    like.save(force_insert=True)
    try:
        expect(page.locator("#list_news a")).to_be_visible(timeout=15_000)
        expect(page.locator("#task_list tbody tr")).to_have_count(10)
        page.locator("#list_news a").click()
        expect(row(page, "t04-new")).to_be_visible()
    finally:
        Task.objects.filter(name="t04-new").delete()
    expect(row(page, "t04-new")).to_have_count(0, timeout=10_000)
    expect(page.locator("tr.gone")).to_have_text("This task was deleted.")


def test_filters_columns_and_views_are_kept(page: Page) -> None:
    page.goto("/tasks/")
    page.locator("select[name=tag]").select_option("odd")
    expect(page).to_have_url(re.compile(r"/tasks/\?tag=odd$"))
    page.locator(".menu summary").click()
    page.get_by_label("Lag", exact=True).uncheck()
    page.get_by_label("Compact").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("td.col-lag").first).to_be_hidden()
    page.locator(".menu summary").click()
    page.get_by_label("Save this view as").fill("Odd ones")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto("/tasks/")
    page.get_by_role("link", name="Odd ones").click()
    expect(page).to_have_url(re.compile(r"tag=odd"))
    page.locator(".menu summary").click()
    page.get_by_label("Lag", exact=True).check()
    page.get_by_label("Comfortable").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("td.col-lag").first).to_be_visible()


def test_a_snapshot_is_taken_and_pinned_while_the_task_goes_on(console: Stack, page: Page) -> None:
    task = console.task("t050")
    page.goto(f"/tasks/{task.pk}/snapshots/")
    page.get_by_role("button", name="Take a snapshot now").click()
    wait_for(lambda: task.snapshots.filter(kind="manual").exists(), "it is taken", seconds=20)
    page.reload()
    manual = page.locator("tr", has_text="Manual").first
    manual.get_by_role("button").click()
    expect(page.locator("tr[data-pinned='1']")).to_have_count(1)
    assert console.task("t050").status == Status.RUNNING


def test_a_task_goes_on_from_a_chosen_snapshot_and_its_time_line_shows_it(console: Stack, page: Page) -> None:
    task = console.task("t052")
    page.goto(f"/tasks/{task.pk}/snapshots/")
    page.get_by_role("button", name="Take a snapshot now").click()
    wait_for(lambda: task.snapshots.filter(kind="manual").exists(), "it is taken", seconds=20)
    chosen = task.snapshots.get(kind="manual")
    console.operate("t052", Operation.PAUSE)
    page.reload()
    page.locator(f"tr[data-snapshot='{chosen.engine_id}']").get_by_role("link", name="Continue from here").click()
    dialog = page.locator("#dialog[open]")
    expect(dialog).to_contain_text(chosen.offset_text)
    dialog.get_by_role("button", name="Continue").click()
    expect(page.locator("#task_header .badge")).to_have_text("Running", timeout=15_000)
    task.refresh_from_db()
    assert task.last_request is not None
    assert task.last_request.from_snapshot == chosen.engine_id
    page.get_by_role("link", name="History", exact=True).last.click()
    expect(page.locator(".timeline .at-operation")).to_have_count(3)  # run, pause, continue
    expect(page.locator(".timeline .at-attempt")).to_have_count(2)


def test_the_history_is_filtered_and_taken_away(page: Page) -> None:
    page.goto("/history/")
    page.get_by_placeholder("Task").fill("t010")
    page.locator("select[name=operation]").select_option("run")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile("task=t010.*operation=run"))
    expect(page.locator("tr[data-event]")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 2
    assert "t010" in lines[1]
    page.get_by_placeholder("Task").fill("no-such-task")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".empty")).to_contain_text("Clear all filters")


def test_a_task_is_made_with_a_look_at_its_connection(console: Stack, page: Page) -> None:
    page.goto("/tasks/new/")
    page.get_by_label("Source connection").select_option("shop")
    page.get_by_label("Source object").fill("orders")
    page.get_by_role("button", name="Look what is there").click()
    expect(page.locator("[data-lookup=columns]")).to_have_attribute("data-answered", "1", timeout=15_000)
    expect(page.locator("[data-lookup=columns]")).to_contain_text("Its key is id.")
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Target connection").select_option("out")
    page.get_by_label("Target object").fill("made.jsonl")
    page.get_by_role("button", name="Next").click()
    page.get_by_label("Name").fill("made-here")
    page.get_by_label("Resource group").select_option("local")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("[data-lookup=check]")).to_contain_text("can be used", timeout=15_000)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("h1").first).to_have_text("made-here")
    console.operate("made-here", Operation.RUN)
    console.operate("made-here", Operation.STOP)
    Task.objects.filter(name="made-here").delete()


def test_bulk_works_without_script(console: Stack, chromium: Browser) -> None:
    context = chromium.new_context(base_url=console.url, java_script_enabled=False)
    page = context.new_page()
    sign_in(page)
    page.goto("/tasks/?q=t06")
    for name in ("t060", "t061"):
        row(page, name).locator(".pick input").check()
    page.locator("[data-bulk=pause]").click()
    expect(page.locator("h1")).to_have_text("Pause: 2 of 2 tasks")
    page.locator("[data-confirm]").click()
    expect(page).to_have_url(re.compile(r"/tasks/batches/\d+/$"))
    expect(page.locator("h1")).to_have_text("Pause: 2 of 2 tasks")
    wait_for(lambda: Batch.objects.latest("pk").finished_at is not None, "the batch ends", seconds=30)
    page.reload()
    expect(page.locator("[data-count=succeeded]")).to_have_attribute("data-value", "2")
    for path in ("/history/", "/alerts/", "/alerts/rules/new/", "/tasks/new/", "/matrix/", "/groups/", "/"):
        page.goto(path)
        expect(page.locator("main")).to_be_visible()
    context.close()


def test_two_hundred_are_paused_and_the_progress_is_true_throughout(console: Stack, page: Page) -> None:
    able = Task.objects.filter(status=Status.RUNNING).count()
    page.goto("/tasks/?q=t")
    page.get_by_label(f"All {MANY} that match").check()
    expect(page.locator("#picked")).to_have_text("All of them are selected")
    page.locator("[data-bulk=pause]").click()
    dialog = page.locator("dialog[open]")
    expect(dialog.locator("h1")).to_have_text(f"Pause: {able} of {MANY} tasks")
    dialog.get_by_label("At once").fill("20")
    dialog.get_by_label("Reason").fill("maintenance")
    dialog.locator("[data-confirm]").click()
    expect(page).to_have_url(re.compile(r"/tasks/batches/\d+/$"))
    batch = Batch.objects.latest("pk")
    seen: list[int] = []

    def over() -> bool:
        shown = int(page.locator("[data-field=done]").get_attribute("data-value") or 0)
        behind = batch.items.exclude(state__in=("waiting", "asked")).count()
        assert shown <= behind  # it never tells of more than there is
        assert batch.items.filter(state="asked").count() <= 20
        seen.append(shown)
        return shown == MANY

    wait_for(over, "the page shows that all have an outcome", seconds=90)
    assert seen == sorted(seen)
    expect(page.locator("[data-count=succeeded]")).to_have_attribute("data-value", str(able))
    expect(page.locator("[data-count=refused]")).to_have_attribute("data-value", str(MANY - able))
    assert Task.objects.filter(status=Status.OPERATING).count() == 0
    assert Task.objects.filter(status=Status.PAUSED, paused_how="normal").count() == MANY - CANT
    requests = OperationRequest.objects.filter(operation=Operation.PAUSE, reason="maintenance")
    assert requests.filter(outcome=Outcome.SUCCEEDED).count() == able
    page.goto("/history/?operation=pause")
    expect(page.locator("tr[data-outcome=succeeded]").first).to_contain_text("Reason: maintenance")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_shuts_anybody_out(chromium: Browser, console: Stack, scheme: str) -> None:
    task = f"/tasks/{console.task('t000').pk}/"
    addresses = ["/tasks/?q=t00", "/tasks/operations/stop/?q=t00", "/tasks/batches/", "/tasks/batches/1/", "/history/"]
    addresses += [task, f"{task}snapshots/", f"{task}history/", f"{task}configuration/", f"{task}edit/", "/tasks/new/"]
    addresses += ["/matrix/", "/groups/", "/nosuch/"]
    scan(chromium, console, scheme, addresses)
