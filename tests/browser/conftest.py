"""A real headless Chromium on the real stack: gunicorn, worker, engine, and a writer that adds rows all the time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from pytest_django.plugin import DjangoDbBlocker

from tests import axe
from tests.chaos.conftest import SUBMISSION, Writer
from tests.stack import PASSWORD, Stack

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not on this machine, and could not be installed (root and apt-get are needed).")
    # Playwright runs an event loop in this thread; Django must not take the tests for asynchronous code.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            yield browser
            browser.close()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Stack]:
    """The whole console with tasks append and upsert, as in the chaos tests, and a live writer."""
    directory: Path = tmp_path_factory.mktemp("console")
    stack = Stack(directory)
    stack.environment["OPS_METRICS_KEEP"] = "2s:1h,1m:1d"  # charts have something to show after some seconds
    writer = Writer(directory / "shop.db")
    with django_db_blocker.unblock(), stack.use():
        try:
            stack.prepare()
            stack.manage("collectstatic", "--no-input", "-v0")
            stack.submit(SUBMISSION.format(directory=directory))
            stack.start("engine", "worker", "web")
            yield stack
        finally:
            writer.end()
            stack.close()


@pytest.fixture
def context(chromium: Browser, console: Stack) -> Iterator[BrowserContext]:
    """Somebody who is signed in as admin."""
    context = chromium.new_context(base_url=console.url, viewport={"width": 1400, "height": 900})
    context.set_default_timeout(20_000)
    let_in(context, console)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def let_in(context: BrowserContext, console: Stack) -> None:
    """Sign in by the session alone: the form and its slow hash of the password are looked at once, in test_walk."""
    client = Client()
    client.force_login(get_user_model().objects.get(username="admin"))
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": console.url}])


def sign_in(page: Page, name: str = "admin", password: str = PASSWORD) -> None:
    page.goto("/accounts/login/")
    page.fill("input[name=username]", name)
    page.fill("input[name=password]", password)
    page.click("form [type=submit]")
    page.wait_for_url("**/tasks/**")


def wide_and_narrow(chromium: Browser, console: Stack, scheme: str) -> Iterator[tuple[int, Page]]:
    """Yield a signed-in page of each width; dark ones are laid out as light ones are."""
    for width in (1400, 360) if scheme == "light" else (1400,):
        context = chromium.new_context(
            base_url=console.url,
            color_scheme=scheme,  # type: ignore[arg-type]
            viewport={"width": width, "height": 900},
        )
        let_in(context, console)
        yield width, context.new_page()
        context.close()


def violations(page: Page, where: str) -> list[str]:
    """Return what axe-core finds on the page as it is."""
    found = axe.runner().run(page).response["violations"]
    return [f"{where}: {it['id']}: {it['help']}: {node['html'][:200]}" for it in found for node in it["nodes"]]


def scan(chromium: Browser, console: Stack, scheme: str, addresses: list[str]) -> None:
    """See that axe-core finds nothing on the pages, and that none of them is wider than its window."""
    for width, page in wide_and_narrow(chromium, console, scheme):
        for address in addresses:
            page.goto(address)
            said = violations(page, f"{address} at {width}")
            assert not said, "\n".join(said)
            # And at widths between those where it is laid out anew.
            for other in (width, 800, 1024, 1100, 1200, 1280):
                page.set_viewport_size({"width": other, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= other, (address, other)
            page.set_viewport_size({"width": width, "height": 900})
