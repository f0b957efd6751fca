"""A PostgreSQL server that a test starts by itself, in a directory of its own: never one that happens to run.

`python -m tests.postgres COMMAND...` runs COMMAND with DATABASE_URL set to such a server, and ends it afterwards.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from tests.ports import free_port
from tests.waiting import wait_for

#: As root the server has to run as somebody else: it refuses to run as root.
USERS = ("postgres", "nobody")
#: Many workers, web processes, threads and tasks connect at once in the races.
CONNECTIONS = 200


def bin_dir() -> Path | None:
    """Return the directory of the newest PostgreSQL binaries on this machine."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.split("/")[4]))
    on_path = shutil.which("postgres")
    return Path(found[-1]).parent if found else Path(on_path).parent if on_path else None


class PostgresServer:
    """`start` and `end` may be repeated; the data stay until `close`."""

    def __init__(self) -> None:
        binaries = bin_dir()
        if binaries is None:
            raise FileNotFoundError("No PostgreSQL binaries are on this machine (Debian: apt-get install postgresql).")
        self.binaries = binaries
        self.as_user: dict[str, Any] = {}
        self.directory = Path(tempfile.mkdtemp(prefix="ops-pg-", dir="/tmp"))
        if os.geteuid() == 0:
            known = {user.pw_name: user for user in pwd.getpwall()}
            account = next(known[name] for name in USERS if name in known)
            self.as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        options = ["--username=ops", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [str(binaries / "initdb"), "-D", str(self.directory / "data"), *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **self.as_user,
        )

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": CONNECTIONS,
            "shared_buffers": "64MB",
            "wal_level": "logical",
            "log_min_messages": "fatal",
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(self.binaries / "postgres"), "-D", str(self.directory / "data"), *words],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
                **self.as_user,
            )
        try:
            wait_for(self.answers, "PostgreSQL answers", seconds=60)
        except AssertionError as error:
            raise AssertionError(f"{error} Its log ends: {self.log()}") from None

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str, user: str = "ops") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        self._databases += 1
        name = f"console_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Carry out statements and return the rows of the last one, if it has any."""
        with psycopg.connect(self.url(database), autocommit=True) as db:
            done = db.execute(sql)  # type: ignore[arg-type]
            return done.fetchall() if done.description else []

    def pids(self) -> list[int]:
        """Return the processes of the server, orphans of a killed one included: each works in the data directory."""
        data = str(self.directory / "data")
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{entry}/cwd") == data:
                        found.append(int(entry))
        return found

    def end(self, number: int = signal.SIGINT) -> None:
        """End the server: SIGINT is its quick and clean end, SIGKILL a crash of the machine's size."""
        if self.process is None:
            return
        self.process.send_signal(number)
        self.process.wait(30)
        if number == signal.SIGKILL:
            # One that was being forked just then is no longer anybody's child, and would hold the memory of the server.
            wait_for(self._all_killed, "no process of the server is left")
            (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)
        self.process = None

    def _all_killed(self) -> bool:
        alive = self.pids()
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not alive

    def close(self) -> None:
        self.end(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


def main(command: list[str]) -> int:
    server = PostgresServer()
    try:
        server.start()
        return subprocess.run(
            command, env={**os.environ, "DATABASE_URL": server.url("postgres")}, check=False
        ).returncode
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
