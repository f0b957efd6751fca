"""A JSONL file: append only. A sidecar beside it holds the ledger and fences older attempts."""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from tasks.engines.base import JSON, Fault, TargetSpec
from tasks.engines.local.faults import ConnectorError, fenced, from_os_error, permanent
from tasks.engines.local.sources.base import Column, Row
from tasks.engines.local.sources.file import check_directory, check_name
from tasks.engines.local.targets.base import Ledger, Written

PAGE: Final = 4096  # the ledger's size: one page, written at once
TAIL: Final = 1_048_576


class FileTarget:
    def __init__(self, spec: TargetSpec, task: str) -> None:
        self.spec = spec
        self.directory = Path(str(spec.connection.settings.get("path", "")))
        self.path = self.directory / spec.object
        self.ledger_path = self.directory / f".{spec.object}.{task}.ledger"
        self.subject = f"file {spec.object} of connection {spec.connection.name}"
        self._file = self._ledger = -1
        self._names: tuple[str, ...] = ()
        self._run = self._epoch = 0

    def check(self, columns: Sequence[Column] | None) -> tuple[Fault, ...]:
        faults = check_directory(self.spec.connection.name, self.directory) or check_name(self.spec.object)
        if faults:
            return faults
        if self.spec.mode != "append":
            cause = f"{self.subject} can only be appended to: a file has no key to write by."
            return (permanent("mode_refused", cause, "Use mode append, or a table as the target.", self.subject),)
        writable = self.path if self.path.exists() else self.directory
        if not os.access(writable, os.W_OK) or self.path.is_dir():
            cause = f"{writable} can't be written ({self.subject})."
            return (permanent("permission_denied", cause, "Give the engine's user the right.", self.subject),)
        return ()

    def open(self, columns: Sequence[Column], run: int, epoch: int) -> Ledger | None:
        self._names = tuple(column.name for column in columns)
        self._run, self._epoch = run, epoch
        try:
            self._ledger = os.open(self.ledger_path, os.O_RDWR | os.O_CREAT, 0o600)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            with _Locked(self._ledger):
                found = self._read_ledger()
                if (found["run"], found["epoch"]) > (run, epoch):
                    raise ConnectorError(fenced(self.subject))
                same_run = found["run"] == run
                self._write_ledger({**(found if same_run else _EMPTY), "run": run, "epoch": epoch})
            with _Locked(self._file):
                self._repair()
        except OSError as error:
            raise ConnectorError(from_os_error(error, f"{self.subject} ({self.path})")) from None
        return Ledger(found["offset"], found["position"]) if same_run and found["offset"] else None

    def _repair(self) -> None:
        """Cut off a last line without its end: the rest of it died with the process that wrote it."""
        size = end = os.fstat(self._file).st_size
        while end > 0:
            begin = max(0, end - TAIL)
            at = os.pread(self._file, end - begin, begin).rfind(b"\n")
            if at >= 0:
                end = begin + at + 1
                break
            end = begin
        if end < size:
            os.ftruncate(self._file, end)

    def write(self, rows: Sequence[Row], offset: JSON, position: int) -> Written:
        data, bad = self._lines(rows)
        try:
            with _Locked(self._ledger):
                found = self._read_ledger()
                if (found["run"], found["epoch"]) != (self._run, self._epoch):
                    raise ConnectorError(fenced(self.subject))
                with _Locked(self._file):
                    self._append(data)
                self._write_ledger({**found, "offset": offset, "position": position})
        except OSError as error:
            raise ConnectorError(from_os_error(error, f"{self.subject} ({self.path})")) from None
        return Written(len(rows) - len(bad), bad, len(data))

    def _lines(self, rows: Sequence[Row]) -> tuple[bytes, list[tuple[int, str]]]:
        names, options = self._names, orjson.OPT_APPEND_NEWLINE
        parts: list[bytes] = []
        bad: list[tuple[int, str]] = []
        for index, row in enumerate(rows):
            try:
                parts.append(orjson.dumps(dict(zip(names, row, strict=True)), _encode, options))
            except (TypeError, ValueError) as error:
                bad.append((index, str(error)))
        return b"".join(parts), bad

    def _append(self, data: bytes) -> None:
        """Append all of `data` or nothing: a full disk must not leave half a batch that will be written again."""
        size = os.fstat(self._file).st_size
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def _read_ledger(self) -> dict[str, Any]:
        try:
            found = orjson.loads(os.pread(self._ledger, PAGE, 0).rstrip(b"\0 ") or b"{}")
        except orjson.JSONDecodeError:
            found = {}  # torn by a crash of the machine: the snapshots still say where to continue
        return {**_EMPTY, **found}

    def _write_ledger(self, ledger: dict[str, Any]) -> None:
        os.pwrite(self._ledger, orjson.dumps(ledger).ljust(PAGE), 0)

    def flush(self) -> None:
        if self._file < 0:
            return  # the first snapshot is taken before anything is written
        try:
            os.fsync(self._file)
        except OSError as error:
            raise ConnectorError(from_os_error(error, f"{self.subject} ({self.path})")) from None

    def close(self) -> None:
        for fd in (self._file, self._ledger):
            if fd >= 0:
                os.close(fd)
        self._file = self._ledger = -1


_EMPTY: Final[dict[str, Any]] = {"run": 0, "epoch": 0, "offset": None, "position": 0}


class _Locked:
    """Hold an exclusive lock on an open file."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_UN)


def _encode(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")
