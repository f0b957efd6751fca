"""Five hundred people with the list open for a minute: each page polls as its script does, on two gunicorn workers.

Once while nothing moves, and once while a hundred tasks write each second, so that each page has something new to show.
The clients run in this process, on the same machine as what they measure.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from django.core.management import call_command
from django.test import Client

from tasks.tables import PER_PAGE
from tests.bench.listing import fill
from tests.factories import make_user
from tests.stack import Stack

PAGES = 500
USERS = 25
TASKS = 100_000
SECONDS = 60
EVERY = 1.75
SLOW_EVERY = 3
LISTS = ("", *(f"group=group-{n}" for n in range(10)))  # people don't all look at the same
SLOW = ("status_counts", "list_news", "task_list", "alert_badge", "worker_banner")
#: What a worker writes down each second of tasks that run.
MOVING = """
import time, django
django.setup()
from django.db.models import F
from django.utils import timezone
from tasks.models import Task
while True:
    moved = {"rows_read": F("rows_read") + 17, "rows_written": F("rows_written") + 17}
    Task.objects.filter(status="running").update(observed_at=timezone.now(), engine_state="", **moved)
    time.sleep(1)
"""


def main() -> None:
    for is_moving in (False, True):
        with tempfile.TemporaryDirectory(prefix="opsconsole-bench-") as directory:
            _measure(Stack(Path(directory)), is_moving)


def _measure(stack: Stack, is_moving: bool) -> None:
    stack.environment["WEB_CONCURRENCY"] = "2"
    with stack.use():
        call_command("migrate", verbosity=0)
        fill(TASKS)
        cookies = [_cookie(n) for n in range(USERS)]
    try:
        stack.manage("collectstatic", "--no-input", "-v0")
        stack.start("worker", "web")
        if is_moving:
            stack.processes["moving"] = subprocess.Popen(
                [sys.executable, "-c", MOVING], env=stack.environment, start_new_session=True
            )
        took, changed, failed = asyncio.run(_crowd(stack.port, cookies))
    finally:
        stack.close()
    took.sort()
    each = len(took)
    print(
        f"polling  {'moving' if is_moving else 'quiet '}  {PAGES} open pages of {len(LISTS)} lists of {TASKS:,} tasks, "
        f"{SECONDS} s, 2 workers: {each:,} polls ({each / SECONDS:.0f} a second), p50 {took[each // 2] * 1000:.1f} ms, "
        f"p99 {took[int(each * 0.99)] * 1000:.1f} ms, slowest {took[-1] * 1000:.0f} ms; "
        f"{changed:.1%} brought something new, {failed} failed"
    )


def _cookie(n: int) -> str:
    client = Client()
    client.force_login(make_user(f"poller-{n}", "view_task", "operate_task", "stop_task"))
    return f"sessionid={client.cookies['sessionid'].value}"


async def _crowd(port: int, cookies: list[str]) -> tuple[list[float], float, int]:
    """Let all pages be opened first, and only then be polled. Return seconds each, part of news, failures."""
    took: list[float] = []
    changed: list[bool] = []
    failures: list[int] = []
    gate = asyncio.Event()
    opening = asyncio.Semaphore(4)
    opened = [0]

    async def page(n: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        cookie, query = cookies[n % len(cookies)], LISTS[n % len(LISTS)]
        async with opening:
            status, body = await _get(reader, writer, f"/tasks/?{query}", cookie)
        assert status == 200, status
        versions = _versions(body)
        rows = [name for name in versions if re.fullmatch(r"task-\d+", name)]
        assert len(rows) == PER_PAGE, len(rows)
        opened[0] += 1
        if opened[0] == PAGES:
            gate.set()
        await gate.wait()
        begin = time.monotonic()
        await asyncio.sleep(random.random() * EVERY)
        beat = random.randrange(SLOW_EVERY)
        due = time.monotonic()
        while time.monotonic() - begin < SECONDS:
            beat += 1
            asked = time.perf_counter()
            names = [*rows, *SLOW] if beat % SLOW_EVERY == 0 else rows
            address = f"/tasks/rows/?{query}&v=" + ",".join(f"{name}.{versions[name]}" for name in names)
            try:
                status, body = await _get(reader, writer, address, cookie)
            except (OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                status, body = await _get(reader, writer, address, cookie)
            took.append(time.perf_counter() - asked)
            versions |= _versions(body)
            changed.append(status == 200)
            failures.extend([status] if status not in (200, 204) else [])
            due += EVERY
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.close()

    await asyncio.gather(*(page(n) for n in range(PAGES)))
    return took, sum(changed) / len(changed), len(failures)


def _versions(html: str) -> dict[str, str]:
    return dict(re.findall(r'id="([\w-]+)"[^>]*? data-version="(\w+)"', html))


async def _get(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, cookie: str
) -> tuple[int, str]:
    head = f"GET {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nHX-Request: true\r\n\r\n"
    if not address.startswith("/tasks/rows/"):
        head = head.replace("HX-Request: true\r\n", "")
    writer.write(head.encode())
    await writer.drain()
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    status = int(lines[0].split()[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    if "content-length" in headers:
        return status, (await reader.readexactly(int(headers["content-length"]))).decode()
    body = b""
    while headers.get("transfer-encoding") == "chunked":
        size = int((await reader.readuntil(b"\r\n")).strip(), 16)
        body += (await reader.readexactly(size + 2))[:-2]
        if not size:
            break
    return status, body.decode()
