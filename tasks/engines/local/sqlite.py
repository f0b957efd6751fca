"""What the SQLite source and target share: opening, quoting, and what its errors mean."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from tasks.engines.base import ConnectionSpec, Fault
from tasks.engines.local.faults import ConnectorError, missing, permanent, transient

BUSY_SECONDS: Final = 5.0


def quote(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def path_of(connection: ConnectionSpec) -> Path:
    return Path(str(connection.settings.get("path", "")))


def open_database(connection: ConnectionSpec, *, write: bool) -> sqlite3.Connection:
    """Open the database of `connection`. Raises ConnectorError."""
    path = path_of(connection)
    mode = "rwc" if write else "ro"
    try:
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
    except sqlite3.Error as error:
        raise ConnectorError(fault_of(error, connection)) from None
    return db


def check_path(connection: ConnectionSpec, *, write: bool) -> tuple[Fault, ...]:
    """Return what is wrong with the database file. One to be written may be missing where its directory exists."""
    path = path_of(connection)
    subject = f"connection {connection.name}"
    if not path.name:
        return (permanent("path_missing", f"{subject}: no path is given.", "Name the database file.", subject),)
    if path.is_dir():
        return (permanent("not_a_database", f"{path} is a directory.", "Name the database file in it.", subject),)
    if write and not path.exists() and path.parent.is_dir():
        return ()
    if not path.exists():
        what = path if path.parent.is_dir() else path.parent
        cause = f"{what} does not exist ({subject})."
        return (missing("connection_missing", cause, "Put it back or correct the path, then Re-detect.", subject),)
    return ()


def fault_of(error: sqlite3.Error, connection: ConnectionSpec, what: str = "") -> Fault:
    """Return what an SQLite error means for the task."""
    text = str(error)
    subject = what or f"connection {connection.name}"
    where = f"{subject} ({path_of(connection)})"
    if "locked" in text or "busy" in text:
        return transient("locked", f"The database of {where} is locked by another program.", "", subject)
    if "full" in text:
        return transient("disk_full", f"The disk of {where} is full.", "Make room on the disk.", subject)
    if "readonly" in text or "unable to open" in text:
        cause = f"The database of {where} can't be opened for this: {text}."
        return permanent("permission_denied", cause, "Give the engine's user the right, then Continue.", subject)
    if "not a database" in text or "malformed" in text:
        return permanent("not_a_database", f"{where} is not a sound SQLite database: {text}.", "", subject)
    if "no such table" in text:
        return missing("table_missing", f"{where}: {text}.", "Create it, then Re-detect.", subject)
    if "no such column" in text or "has no column" in text:
        return permanent("column_missing", f"{where}: {text}.", "Add the column, then Continue.", subject)
    if isinstance(error, sqlite3.OperationalError):
        return transient("io_error", f"{where}: {text}.", "", subject)
    return permanent("sql_error", f"{where}: {text}.", "", subject)


def table_columns(db: sqlite3.Connection, table: str) -> list[tuple[str, str, bool, int]]:
    """Return (name, declared type, not null, place in the primary key) of each column; empty: no such table."""
    rows = db.execute(f"PRAGMA table_info({quote(table)})").fetchall()
    return [(row[1], row[2], bool(row[3]), row[5]) for row in rows]
