"""axe-core finds nothing on what pages open either: dialogs, palette, menus, the steps of a form, refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import sign_in, violations, wide_and_narrow
from tests.stack import PASSWORD, Stack

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.timeout(180)]


def palette(page: Page) -> None:
    page.goto("/tasks/")
    page.keyboard.press("Control+k")
    page.locator("#palette [role=combobox]").fill("run a")
    expect(page.locator("#palette-list [role=option]").first).to_be_visible()


def keys(page: Page) -> None:
    page.goto("/tasks/")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()


def view_menu(page: Page) -> None:
    page.goto("/tasks/")
    page.get_by_text("View", exact=True).click()
    expect(page.get_by_label("Save this view as")).to_be_visible()


def time_menu(page: Page) -> None:
    page.goto("/history/?from=2026-01-01T00:00")
    expect(page.get_by_label("From (UTC)")).to_be_visible()


def run_dialog(page: Page) -> None:
    page.goto("/tasks/")
    page.locator("tr[data-task=append] [data-operation=run]").click()
    expect(page.locator("dialog[open] [data-confirm]")).to_be_visible()


def refused_dialog(page: Page) -> None:
    page.goto("/tasks/1/operations/pause/")
    expect(page.locator("[data-refused]").first).to_be_visible()


def bulk_dialog(page: Page) -> None:
    page.goto("/tasks/")
    page.locator("tr[data-task=append] .pick input").check()
    page.locator("[data-bulk=run]").click()
    expect(page.locator("dialog[open] h1")).to_have_text("Run: 1 of 1 task")


def second_step_with_a_mistake(page: Page) -> None:
    page.goto("/tasks/new/")
    page.get_by_label("Source connection").select_option("shop")
    page.get_by_label("Source object").fill("orders")
    page.locator("[data-next]").click()
    page.locator("[data-next]").click()
    expect(page.get_by_role("alert").first).to_be_visible()


def review(page: Page) -> None:
    second_step_with_a_mistake(page)
    page.get_by_label("Target connection").select_option("warehouse")
    page.get_by_label("Target object").fill("copy")
    page.locator("[data-next]").click()
    page.get_by_label("Name").fill("another")
    page.get_by_label("Resource group").select_option("local")
    page.locator("[data-next]").click()
    expect(page.locator("[data-lookup=check][data-answered='1']")).to_be_visible()


def sign_in_again(page: Page) -> None:
    page.context.clear_cookies()
    page.goto("/accounts/login/")
    page.fill("input[name=username]", "nobody")
    page.fill("input[name=password]", "wrong")
    page.click("form [type=submit]")
    expect(page.locator("form")).to_be_visible()


def not_allowed(page: Page) -> None:
    page.context.clear_cookies()
    user = get_user_model().objects.get_or_create(username="nobody")[0]
    user.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt")  # the console knows no hasher of the tests
    user.save(update_fields=["password"])
    sign_in(page, "nobody")
    expect(page.locator("h1")).to_have_text("You may not do this")


OPENED: tuple[Callable[[Page], None], ...] = (
    palette,
    keys,
    view_menu,
    time_menu,
    run_dialog,
    refused_dialog,
    bulk_dialog,
    second_step_with_a_mistake,
    review,
    sign_in_again,
    not_allowed,
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_that_opens_shuts_anybody_out(chromium: Browser, console: Stack, scheme: str) -> None:
    said: list[str] = []
    for width, page in wide_and_narrow(chromium, console, scheme):
        for act in OPENED:  # the last two sign out
            act(page)
            said += violations(page, f"{act.__name__} at {width}")
    assert not said, "\n".join(said)
