"""The real console in a directory of its own: engine, worker and web as processes that can be killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.utils import ConnectionHandler

from opsconsole.settings import database
from tasks.models import OperationRequest, Task
from tasks.operations import Actor, accept
from tasks.statuses import Channel, Operation, Outcome, Status
from tests.ports import free_port
from tests.postgres import PostgresServer
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "a quiet harbour"
OPERATOR = Actor(name="olga")


class Stack:
    """`use()` points this process's Django at the stack's database, so that a test can ask and look."""

    def __init__(self, directory: Path, *, demo: bool = False, server: PostgresServer | None = None) -> None:
        """The control database is a new one of `server`, else SQLite in `directory`."""
        self.directory = directory
        self.data_dir = directory / "data"
        self.data_dir.mkdir(parents=True)
        self.port = free_port()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OPS_", "DATABASE_URL"))},
            "OPS_DATA_DIR": str(self.data_dir),
            "OPS_DEMO": "1" if demo else "0",
            "OPS_ADMIN_PASSWORD": PASSWORD,
            # What this process signs, a session, is good in the stack's own.
            "OPS_SECRET_KEY": settings.SECRET_KEY,
            "PORT": str(self.port),
            "DJANGO_SETTINGS_MODULE": "opsconsole.settings",
            "PYTHONUNBUFFERED": "1",
        }
        self.database_url = f"sqlite:///{self.data_dir / 'console.db'}"
        if server is not None:
            self.database_url = server.url(server.new_database())
            self.environment["DATABASE_URL"] = self.database_url

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- processes --------------------------------------------------------------------------------------

    def prepare(self) -> None:
        self.manage("migrate", "-v0")
        self.manage("bootstrap")

    def manage(self, *words: str, code: int = 0) -> str:
        """Run a management command to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *names: str, wait: bool = True) -> None:
        """Start processes by name; `worker-2` is one more worker."""
        commands = {
            "engine": [sys.executable, "manage.py", "run_local_engine"],
            "worker": [sys.executable, "manage.py", "run_worker"],
            "demo": [sys.executable, "manage.py", "demo"],
            "web": [sys.executable, "-m", "gunicorn", "opsconsole.wsgi", "--config", "opsconsole/gunicorn.py"],
        }
        for name in names:
            with open(self.directory / f"{name}.log", "ab") as log:
                self.processes[name] = subprocess.Popen(
                    commands[name.partition("-")[0]],
                    cwd=ROOT,
                    env=self.environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        if "web" in names and wait:
            wait_for(self.answers, "the web server answers", seconds=40)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        process.wait(30)

    def close(self) -> None:
        for name in list(self.processes):
            process = self.processes.pop(name)
            # The whole group: gunicorn's workers and the engine's tasks must not outlive a failed test.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def log(self, name: str) -> str:
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- asking and looking -----------------------------------------------------------------------------

    @contextmanager
    def use(self) -> Iterator[None]:
        """Point Django's default connection of this thread at the stack's database."""
        former = connections["default"]
        own = ConnectionHandler({"default": database(self.database_url)})["default"]
        connections["default"] = own
        try:
            yield
        finally:
            own.close()
            connections["default"] = former

    def submit(self, text: str) -> None:
        path = self.directory / "submission.yaml"
        path.write_text(text)
        self.manage("submit", str(path))

    def task(self, name: str) -> Task:
        return Task.objects.select_related("run").get(name=name)

    def ask(self, name: str, operation: Operation) -> OperationRequest:
        return accept(task_id=self.task(name).pk, operation=operation, actor=OPERATOR, channel=Channel.API)

    def operate(self, name: str, operation: Operation, *, seconds: float = 30) -> Task:
        """Ask, wait until it is settled, and return the task; it must have succeeded."""
        request = self.ask(name, operation)

        def settled() -> bool:
            request.refresh_from_db()
            return request.outcome != Outcome.OPEN

        wait_for(settled, f"{operation} of {name} settles; worker: {self.log('worker')[-2000:]}", seconds=seconds)
        assert request.outcome == Outcome.SUCCEEDED, request.message
        return self.task(name)

    def await_status(self, name: str, status: Status, *, seconds: float = 20) -> Task:
        def reached() -> Task | None:
            task = self.task(name)
            return task if task.status == status and task.restart_at is None else None

        return wait_for(reached, f"{name} is {status.label}: {self.task(name).status_reason}", seconds=seconds)

    def await_written(self, name: str, more: int, *, seconds: float = 30) -> Task:
        """Wait until the engine shows `more` rows written than the console shows now."""
        before = self.task(name).rows_written

        def written() -> Task | None:
            task = self.task(name)
            return task if task.rows_written >= before + more and task.engine_state == "running" else None

        return wait_for(written, f"{name} writes {more} rows more than {before}", seconds=seconds)


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """Read from a SQLite database; a table that is not there yet has no rows."""
    db = sqlite3.connect(path, timeout=20)
    try:
        return db.execute(sql).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        db.close()


def counted(path: Path, sql: str) -> Counter[tuple[Any, ...]]:
    return Counter(rows(path, sql))
