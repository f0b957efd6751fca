"""What a run leaves on disk: OPS_DATA_DIR/local-engine/<task>/<run>/ with epoch, state, snapshots, log, dirty rows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from tasks.engines.base import DirtyRow, LogLine, SnapshotInfo

LOG_BYTES = 2_000_000  # a log larger than this is turned over once


def write_durably(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that a crash leaves the old or the new, never half. Raises OSError."""
    temporary = path.with_name(f".{path.name}.tmp")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class RunDir:
    """Paths and small files of one run."""

    def __init__(self, root: Path, task: str, run: int) -> None:
        self.task_path = root / task
        self.path = self.task_path / str(run)
        self.run = run
        self.state_path = self.path / "state"
        self.snapshots_path = self.path / "snapshots"

    def make(self) -> None:
        self.snapshots_path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def exists(self) -> bool:
        return self.path.is_dir()

    # --- which attempt is the newest, and was it ended on request ----------------------------------------

    @property
    def epoch(self) -> int:
        return _number(self.path / "epoch")

    def set_epoch(self, epoch: int) -> None:
        write_durably(self.path / "epoch", str(epoch).encode())

    @property
    def killed_epoch(self) -> int:
        return _number(self.path / "killed")

    def set_killed(self, epoch: int) -> None:
        """Written before the signal is sent: an end without a word is then known to be the one asked for."""
        write_durably(self.path / "killed", str(epoch).encode())

    # --- snapshots ---------------------------------------------------------------------------------------

    def write_snapshot(self, snapshot: SnapshotInfo, keep: int) -> int:
        """Write `snapshot` durably, drop those beyond the newest `keep`, and return its size in bytes."""
        data = orjson.dumps(asdict(snapshot))
        write_durably(self.snapshots_path / f"{snapshot.id}.json", data)
        for path in sorted(self.snapshots_path.glob("e*.json"), key=_snapshot_order, reverse=True)[keep:]:
            path.unlink(missing_ok=True)
        return len(data)

    def snapshots(self) -> tuple[SnapshotInfo, ...]:
        """Return the snapshots, newest first; one that can't be read is left out."""
        found = []
        for path in sorted(self.snapshots_path.glob("e*.json"), key=_snapshot_order, reverse=True):
            try:
                data = path.read_bytes()
                found.append(SnapshotInfo(**(orjson.loads(data) | {"size_bytes": len(data)})))
            except (OSError, ValueError, TypeError):
                continue
        return tuple(found)

    # --- log and dirty rows ------------------------------------------------------------------------------

    def append_log(self, line: LogLine) -> None:
        path = self.path / "log.jsonl"
        if path.exists() and path.stat().st_size > LOG_BYTES:
            os.rename(path, self.path / "log.1.jsonl")
        _append(path, orjson.dumps(asdict(line)))

    def log_lines(self, after: int, most: int) -> tuple[LogLine, ...]:
        found: list[LogLine] = []
        for name in ("log.1.jsonl", "log.jsonl"):
            for record in _records(self.path / name):
                if len(found) < most and record["n"] > after:
                    found.append(LogLine(**record))
        return tuple(found)

    def append_dirty(self, row: DirtyRow) -> None:
        _append(self.path / "dirty.jsonl", orjson.dumps(asdict(row)))

    def dirty_rows(self, most: int) -> tuple[DirtyRow, ...]:
        """Return the latest dirty rows, newest first."""
        rows = list(_records(self.path / "dirty.jsonl"))[-most:]
        return tuple(DirtyRow(**row) for row in reversed(rows))

    # --- the end -----------------------------------------------------------------------------------------

    def discard(self) -> None:
        """Remove the run and leave its number behind, so that it can't be started again by a late request."""
        self.task_path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.run > discarded_run(self.task_path):
            write_durably(self.task_path / "discarded", str(self.run).encode())
        shutil.rmtree(self.path, ignore_errors=True)


def discarded_run(task_path: Path) -> int:
    """Return the highest run of the task that was discarded; 0: none."""
    return _number(task_path / "discarded")


def newest_run(task_path: Path) -> int:
    """Return the highest run of the task that is on disk; 0: none."""
    try:
        return max((int(entry.name) for entry in os.scandir(task_path) if entry.name.isdigit()), default=0)
    except FileNotFoundError:
        return 0


def _number(path: Path) -> int:
    try:
        return int(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return 0


def _snapshot_order(path: Path) -> tuple[int, int]:
    epoch, _, n = path.stem.removeprefix("e").partition("-")
    return int(epoch), int(n)


def _append(path: Path, record: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, record + b"\n")
    finally:
        os.close(fd)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError:
            continue  # a torn last line of a killed process
