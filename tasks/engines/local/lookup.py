"""What is in a connection: its tables or files, and the columns of one. Read only, and bounded."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

import psycopg

from tasks.engines.base import ConnectionSpec, Found, FoundColumn
from tasks.engines.local import postgresql as pg
from tasks.engines.local import sqlite
from tasks.engines.local.faults import ConnectorError, from_os_error, missing, permanent
from tasks.engines.local.sources import lines

#: Objects, and columns of one, that are told.
MOST: Final = 500
_BEGINNING: Final = 262_144  # bytes of a file that its columns are learnt from
_FORMATS: Final = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv"}


def look_up(connection: ConnectionSpec, object_name: str) -> Found:
    """Return the objects of `connection`, or with a name the columns of that object. Raises ConnectorError."""
    match connection.kind:
        case "sqlite":
            return _sqlite(connection, object_name)
        case "postgresql":
            return _postgresql(connection, object_name)
        case "file":
            return _file(connection, object_name)
    raise ConnectorError(permanent("kind_unknown", f"The local engine knows no {connection.kind}.", ""))


def _sqlite(connection: ConnectionSpec, name: str) -> Found:
    faults = sqlite.check_path(connection, write=False)
    if faults:
        raise ConnectorError(faults[0])
    db = sqlite.open_database(connection, write=False)
    try:
        if name:
            columns = sqlite.table_columns(db, name)
            if not columns:
                raise ConnectorError(missing("table_missing", f"There is no table {name}.", "", name))
            return Found(columns=tuple(FoundColumn(n, kind, key > 0) for n, kind, _, key in columns[:MOST]))
        rows = db.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite!_%' ESCAPE '!' "
            "AND name NOT LIKE '!_ops!_%' ESCAPE '!' ORDER BY name LIMIT ?",
            [MOST],
        )
        return Found(objects=tuple(row[0] for row in rows))
    except sqlite3.Error as error:
        raise ConnectorError(sqlite.fault_of(error, connection)) from None
    finally:
        db.close()


def _postgresql(connection: ConnectionSpec, name: str) -> Found:
    db = pg.open_database(connection)
    try:
        if not name:
            rows = db.execute(
                "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> 'information_schema' "
                "AND n.nspname NOT LIKE 'pg!_%%' ESCAPE '!' AND c.relname <> '_ops_ledger' ORDER BY 1 LIMIT %s",
                [MOST],
            )
            return Found(objects=tuple(row[0] for row in rows))
        columns = pg.describe_table(db, name)
        if columns is None:
            raise ConnectorError(missing("table_missing", f"There is no table {name}.", "", name))
        keys = pg.unique_keys(db, name)
        primary = keys[0] if keys else ()
        return Found(columns=tuple(FoundColumn(n, kind, n in primary) for n, kind in columns[:MOST]))
    except psycopg.Error as error:
        raise ConnectorError(pg.fault_of(error, connection, name or f"connection {connection.name}")) from None
    finally:
        db.close()


def _file(connection: ConnectionSpec, name: str) -> Found:
    directory = Path(str(connection.settings.get("path", "")))
    try:
        if not name:
            files = sorted(path.name for path in directory.iterdir() if path.is_file() and path.name[:1] != ".")
            return Found(objects=tuple(files[:MOST]))
        if "/" in name or name in (".", ".."):
            raise ConnectorError(permanent("name_refused", f"{name} is no file's name.", ""))
        form = _FORMATS.get(Path(name).suffix.lower(), "jsonl")
        with open(directory / name, "rb") as file:
            columns = lines.columns_of(file.read(_BEGINNING), form) or ()
    except OSError as error:
        raise ConnectorError(from_os_error(error, f"{directory / name}")) from None
    return Found(columns=tuple(FoundColumn(column.name, column.type, False) for column in columns[:MOST]))
