"""A bad setting stops the start with one sentence that names it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def manage(tmp_path: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("OPS_", "DATABASE_URL", "DJANGO"))
    }
    return subprocess.run(
        [sys.executable, *(words or ("manage.py", "check"))],
        cwd=ROOT,
        env={**clean, "OPS_DATA_DIR": str(tmp_path / "data"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"PORT": "eighty"}, "PORT must be a whole number, not 'eighty'."),
        ({"PORT": "99999"}, "PORT must be between 1 and 65535, not 99999."),
        ({"OPS_DEMO": "yes"}, "OPS_DEMO must be 0 or 1, not 'yes'."),
        ({"OPS_DATA_DIR": "/proc/nowhere"}, "OPS_DATA_DIR: can't write to /proc/nowhere"),
        ({"DATABASE_URL": "mysql://u:hunter2@h/x"}, "DATABASE_URL must be an sqlite or a postgresql address."),
        ({"DATABASE_URL": "nonsense://u:hunter2@h/x"}, "DATABASE_URL can't be read"),
        ({"OPS_PRODUCTION": "1"}, "OPS_SECRET_KEY must be set when OPS_PRODUCTION=1."),
        ({"OPS_PRODUCTION": "1", "OPS_SECRET_KEY": "short"}, "OPS_SECRET_KEY must have at least 40 characters"),
        ({"OPS_PRODUCTION": "1", "OPS_SECRET_KEY": "k" * 50}, "OPS_ALLOWED_HOSTS must name the hosts"),
        ({"OPS_DEADLINE_PAUSE": "0"}, "OPS_DEADLINE_PAUSE must be between 1 and 86400, not 0."),
        ({"WEB_CONCURRENCY": "many"}, "WEB_CONCURRENCY must be a whole number, not 'many'."),
        ({"OPS_LOG_LEVEL": "loud"}, "OPS_LOG_LEVEL must be one of"),
    ],
)
def test_it_is_one_sentence(tmp_path: Path, environment: dict[str, str], sentence: str) -> None:
    done = manage(tmp_path, **environment)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_secret_key_is_made_once(tmp_path: Path) -> None:
    assert manage(tmp_path).returncode == 0
    first = (tmp_path / "data" / "secret_key").read_text()
    assert manage(tmp_path).returncode == 0
    assert (tmp_path / "data" / "secret_key").read_text() == first
    assert (tmp_path / "data" / "secret_key").stat().st_mode & 0o777 == 0o600


def test_a_port_in_use_is_said_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = manage(tmp_path, "-m", "opsconsole.run", PORT=str(port))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"Port {port} can't be used (Address already in use). End what uses it, or set PORT to another one."
    )
    assert not (tmp_path / "data" / "console.db").exists()


@pytest.mark.process
def test_a_second_engine_on_a_data_directory_says_who_holds_it(tmp_path: Path) -> None:
    clean = {**os.environ, "OPS_DATA_DIR": str(tmp_path / "data"), "DJANGO_SETTINGS_MODULE": "opsconsole.settings"}
    first = subprocess.Popen(
        [sys.executable, "manage.py", "run_local_engine"], cwd=ROOT, env=clean, stderr=subprocess.PIPE, text=True
    )
    try:
        assert first.stderr is not None
        assert "serves" in first.stderr.readline()
        second = manage(tmp_path, "manage.py", "run_local_engine")
        assert second.returncode == 3
        assert f"Another local engine (process {first.pid}) serves {tmp_path}/data." in second.stderr
    finally:
        first.terminate()
        first.communicate(timeout=20)
