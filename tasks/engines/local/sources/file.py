"""A JSONL or CSV file that others append to: only whole lines are read; rotation and truncation are noticed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from tasks.engines.base import JSON, Fault, SourceSpec
from tasks.engines.local.faults import ConnectorError, from_os_error, missing, permanent
from tasks.engines.local.sources import lines
from tasks.engines.local.sources.base import Batch, Column

CHUNK: Final = 1_048_576  # bytes read at once; a line longer than LONGEST is refused
LONGEST: Final = 16 * CHUNK
PRINT: Final = 256  # bytes at the beginning of a file by which it is known again
#: After the path was seen to name another file, its writer may still be writing to the old one.
ROTATION_GRACE: Final = 1.0


class FileSource:
    """The offset: {byte, inode, dev, print, print_bytes}; `byte` is the end of the last line that was read."""

    def __init__(self, spec: SourceSpec) -> None:
        self.spec = spec
        self.directory = Path(str(spec.connection.settings.get("path", "")))
        self.path = self.directory / spec.object
        self.subject = f"file {spec.object} of connection {spec.connection.name}"
        self.format = str(spec.options.get("format") or lines.format_of(spec.object))
        self._file: BinaryIO | None = None
        self._names: tuple[str, ...] = ()
        self._columns: tuple[Column, ...] | None = None
        self._offset: JSON = {}
        self._rest = b""  # read, but not yet handed out: begins at the offset's byte
        self._rotated_at: float | None = None

    # --- looking ----------------------------------------------------------------------------------------

    def check(self) -> tuple[Fault, ...]:
        faults = check_directory(self.spec.connection.name, self.directory) or check_name(self.spec.object)
        if faults:
            return faults
        if self.format not in lines.FORMATS:
            cause = f"The format of {self.subject} is not known."
            return (permanent("format_unknown", cause, "Name it: jsonl or csv.", self.subject),)
        if not self.path.exists():
            cause = f"{self.path} does not exist (connection {self.spec.connection.name})."
            return (missing("file_missing", cause, "Create it, then Re-detect.", self.subject),)
        try:
            with open(self.path, "rb") as file:
                file.read(1)
        except OSError as error:
            return (from_os_error(error, f"{self.subject} ({self.path})"),)
        return ()

    def columns(self) -> tuple[Column, ...] | None:
        if self._columns is None:
            self._learn_columns()
        return self._columns

    def _learn_columns(self) -> None:
        named = self.spec.options.get("columns")
        if named:
            self._columns = tuple(Column(str(name)) for name in named)
        else:
            try:
                with open(self.path, "rb") as file:
                    self._columns = lines.columns_of(file.read(CHUNK), self.format)
            except OSError as error:
                raise ConnectorError(from_os_error(error, f"{self.subject} ({self.path})")) from None
        self._names = tuple(column.name for column in self._columns or ())

    # --- where to read ----------------------------------------------------------------------------------

    def open(self, offset: JSON | None, start: str) -> JSON:
        try:
            if offset is not None and offset.get("inode") is not None:
                self._file = self._find_again(offset)
                self._offset = dict(offset)
            else:
                self._begin(self.path, at_end=offset is None and start == "latest")
        except OSError as error:
            raise ConnectorError(from_os_error(error, f"{self.subject} ({self.path})")) from None
        return self._offset

    def _begin(self, path: Path, *, at_end: bool = False) -> None:
        file = open(path, "rb")  # noqa: SIM115  (kept open: a rotated file has to be read to its end)
        stat = os.fstat(file.fileno())
        byte = _end_of_last_line(file, stat.st_size) if at_end else 0
        self._use(file, {"byte": byte, "inode": stat.st_ino, "dev": stat.st_dev, **_print_of(file)})

    def _use(self, file: BinaryIO, offset: JSON) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._offset, self._rest, self._rotated_at = file, offset, b"", None

    def _find_again(self, offset: JSON) -> BinaryIO:
        """Open the file that `offset` speaks of, under its name or, when it was rotated, another one beside it."""
        for path in [self.path, *self._siblings()]:
            try:
                file = open(path, "rb")  # noqa: SIM115
            except FileNotFoundError:
                continue
            stat = os.fstat(file.fileno())
            if (stat.st_ino, stat.st_dev) == (offset["inode"], offset["dev"]):
                self._refuse_truncated(file, offset, stat.st_size)
                return file
            file.close()
        raise ConnectorError(
            permanent(
                "offset_expired",
                f"{self.subject} was rotated away: the file that this task was reading is no longer in "
                f"{self.directory}, so the rows after byte {offset['byte']} are lost to it.",
                "Put it back and Continue, or Run from a new start position.",
                self.subject,
            )
        )

    def _siblings(self) -> list[Path]:
        """Files beside ours that a rotation may have made of it, oldest first."""
        found = [path for path in self.directory.glob(f"{self.spec.object}?*") if path.is_file()]
        return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))

    def _refuse_truncated(self, file: BinaryIO, offset: JSON, size: int) -> None:
        """Raise when the file is shorter than what was read of it, or begins otherwise."""
        known = int(offset.get("print_bytes", 0))
        same = size >= offset["byte"] and _print_of(file, known)["print"] == offset.get("print", "")
        if same:
            return
        file.close()
        raise ConnectorError(
            permanent(
                "source_truncated",
                f"{self.subject} was truncated or rewritten: {offset['byte']} bytes of it had been read, "
                f"now it has {size}. Rows may be lost.",
                "Run starts anew from a start position that you choose.",
                self.subject,
            )
        )

    # --- reading ----------------------------------------------------------------------------------------

    def read(self, limit: int) -> Batch:
        file = self._file
        assert file is not None
        try:
            return self._read(file, limit)
        except OSError as error:
            raise ConnectorError(from_os_error(error, f"{self.subject} ({self.path})")) from None

    def _read(self, file: BinaryIO, limit: int) -> Batch:
        self._fill(file)
        whole, header = self._whole_lines(limit)
        if not whole and not header:
            if self._next_file(file):
                return self.read(limit)
            return Batch((), self._offset, caught_up=self._rotated_at is None)
        if self._offset["print_bytes"] < PRINT:
            self._offset = {**self._offset, **_print_of(file)}
        size = sum(map(len, header)) + sum(map(len, whole))
        self._rest = self._rest[size:]
        self._offset = {**self._offset, "byte": self._offset["byte"] + size}
        rows, bad = lines.parse(whole, self._names, self.format)
        return Batch(rows, self._offset, caught_up=not self._rest and len(whole) < limit, bad=bad, bytes=size)

    def _fill(self, file: BinaryIO) -> None:
        size = os.fstat(file.fileno()).st_size
        begin = self._offset["byte"] + len(self._rest)
        if size < begin:
            self._refuse_truncated(file, {**self._offset, "byte": begin}, size)
        if b"\n" in self._rest[-CHUNK:] and len(self._rest) >= CHUNK // 2:
            return
        file.seek(begin)
        self._rest += file.read(CHUNK)
        if len(self._rest) > LONGEST:
            cause = f"{self.subject} has a line of more than {LONGEST} bytes at byte {self._offset['byte']}."
            raise ConnectorError(permanent("line_too_long", cause, "", self.subject))

    def _whole_lines(self, limit: int) -> tuple[list[bytes], list[bytes]]:
        """Return (rows, header): up to `limit` whole records, and the CSV header where the file begins with it."""
        whole = lines.split(self._rest, self.format)
        if self.format == "csv" and self._offset["byte"] == 0 and whole:
            header = whole[:1]
            if lines.header_of(header[0]) != self._names and not self.spec.options.get("columns"):
                cause = f"{self.subject} begins with other columns than before: {header[0].decode(errors='replace')!r}."
                raise ConnectorError(permanent("header_changed", cause, "Run reads it anew.", self.subject))
            return whole[1 : limit + 1], header
        return whole[:limit], []

    def _next_file(self, file: BinaryIO) -> bool:
        """At the end of a rotated file, go on with the next one; return whether there was one."""
        newer = self._newer_files(os.fstat(file.fileno()))
        if not newer:
            self._rotated_at = None
            return False
        now = time.monotonic()
        if self._rotated_at is None:
            self._rotated_at = now
        if now - self._rotated_at < ROTATION_GRACE:
            return False
        self._begin(newer[0])
        return True

    def _newer_files(self, own: os.stat_result) -> Sequence[Path]:
        try:
            if os.path.samestat(os.stat(self.path), own):
                return ()
        except FileNotFoundError:
            return ()  # between the two steps of a rotation
        siblings = [p for p in self._siblings() if not os.path.samestat(p.stat(), own)]
        return [*(p for p in siblings if p.stat().st_mtime_ns > own.st_mtime_ns), self.path]

    def lag_rows(self) -> int | None:
        """Lines are not counted: only whether there are none."""
        file = self._file
        if file is None:
            return None
        return 0 if os.fstat(file.fileno()).st_size <= self._offset["byte"] else None

    def waiting(self) -> tuple[int, str] | None:
        file = self._file
        if file is None:
            return None
        return max(0, os.fstat(file.fileno()).st_size - int(self._offset["byte"])), "bytes"

    def describe(self, offset: JSON) -> str:
        return f"byte {offset.get('byte', 0)} of {self.spec.object}"

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def check_directory(connection: str, directory: Path) -> tuple[Fault, ...]:
    """Return what is wrong with the directory of a file connection."""
    subject = f"connection {connection}"
    if not directory.exists():
        cause = f"Directory {directory} does not exist ({subject})."
        return (missing("connection_missing", cause, "Create it or correct the path, then Re-detect.", subject),)
    if not directory.is_dir():
        cause = f"{directory} is not a directory ({subject})."
        return (permanent("not_a_directory", cause, "Name the directory that holds the file.", subject),)
    if not os.access(directory, os.R_OK | os.X_OK):
        cause = f"Directory {directory} can't be read ({subject})."
        return (permanent("permission_denied", cause, "Give the engine's user the right.", subject),)
    return ()


def check_name(name: str) -> tuple[Fault, ...]:
    """Refuse a file name that leads out of its directory."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        cause = f"{name!r} is not the name of a file in the connection's directory."
        return (permanent("name_refused", cause, "Name a file without a path.", name),)
    return ()


def _print_of(file: BinaryIO, length: int = PRINT) -> dict[str, Any]:
    """Return a fingerprint of the file's first `length` bytes, or of what there is of them."""
    begin = os.pread(file.fileno(), length, 0)
    return {"print": hashlib.sha256(begin).hexdigest()[:16], "print_bytes": len(begin)}


def _end_of_last_line(file: BinaryIO, size: int) -> int:
    """Return the byte after the last newline; 0 where there is none."""
    end = size
    while end > 0:
        begin = max(0, end - CHUNK)
        at = os.pread(file.fileno(), end - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0
