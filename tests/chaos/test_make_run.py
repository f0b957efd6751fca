"""`make run` as a person, or a script, uses it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.stack import ROOT
from tests.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(150)]

#: Seconds within which all has to have ended, tasks drained.
ENDED_WITHIN = 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_gets_ready_heals_itself_and_ends_whole(tmp_path: Path, number: signal.Signals) -> None:
    if shutil.which("make") is None or not (ROOT / ".venv").exists():
        pytest.skip("make, or the .venv that it makes, is not here.")
    log = tmp_path / "log"
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPS_", "DATABASE_URL", "DJANGO"))
    }
    environment = {**clean, "OPS_DATA_DIR": str(tmp_path / "data"), "PORT": str(free_port())}
    with open(log, "wb") as out:
        make = subprocess.Popen(
            ["make", "run"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            # A test run that was started in the background of a script has SIGINT ignored, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def said(words: str) -> bool:
        return words in log.read_text(errors="replace")

    try:
        wait_for(lambda: said("The console is ready"), "the console is ready", seconds=60)
        assert said("user: admin")
        assert said("(shown this once)")
        os.kill(_worker_of(log), signal.SIGKILL)
        wait_for(lambda: log.read_text(errors="replace").count("began.") == 2, "the worker is started again")
        make.send_signal(number)
        make.wait(ENDED_WITHIN)
    finally:
        if make.poll() is None:
            make.kill()
            make.wait()
    wait_for(lambda: said("all tasks are drained"), f"it says so: {log.read_text(errors='replace')[-1500:]}")
    assert not _alive(tmp_path / "data")


def _worker_of(log: Path) -> int:
    """Return the process of the worker, as it introduced itself: host:pid:nonce."""
    line = next(line for line in log.read_text(errors="replace").splitlines() if "Worker " in line and "began." in line)
    return int(line.partition("Worker ")[2].split(":")[1])


def _alive(data_dir: Path) -> list[int]:
    """Return the processes that still have this data directory in their environment."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                environment = (Path("/proc") / entry / "environ").read_bytes()
            except OSError:
                continue
            if f"OPS_DATA_DIR={data_dir}\0".encode() in environment:
                found.append(int(entry))
    return found
