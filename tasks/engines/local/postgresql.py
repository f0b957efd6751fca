"""What the PostgreSQL source and target share: connecting, names, types, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg import sql

from tasks.engines.base import ConnectionSpec, Fault
from tasks.engines.local.faults import ConnectorError, missing, permanent, transient
from tasks.engines.local.sources.base import Column

Connection = psycopg.Connection[tuple[Any, ...]]

#: Texts of values have to read the same in every session: offsets and rows are carried as texts. An idle transaction
#: of ours belongs to a process that was stopped: its locks must not outlast it.
_SESSION: Final = (
    "-c datestyle=ISO -c timezone=UTC -c intervalstyle=postgres -c bytea_output=hex -c extra_float_digits=3 "
    "-c statement_timeout=60s -c lock_timeout=10s -c idle_in_transaction_session_timeout=15s "
    "-c synchronous_commit=on"
)

#: Types of PostgreSQL itself, as format_type() writes them: only these may become part of a CREATE TABLE.
_BUILT_IN: Final = re.compile(
    r"(smallint|integer|bigint|real|double precision|numeric(\(\d+(,-?\d+)?\))?|boolean|text|bytea|uuid|json|jsonb|"
    r"character varying(\(\d+\))?|character(\(\d+\))?|bpchar|name|oid|money|interval|inet|cidr|macaddr|xml|tsvector|"
    r"bit(\(\d+\))?|bit varying(\(\d+\))?|point|date|(timestamp|time)(\(\d\))? with(out)? time zone)(\[\])*"
)
_KINDS: Final = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "oid": "integer",
    "real": "real",
    "double precision": "real",
    "boolean": "boolean",
    "bytea": "blob",
    "json": "json",
    "jsonb": "json",
}
_MADE: Final = {
    "integer": "bigint",
    "real": "double precision",
    "text": "text",
    "blob": "bytea",
    "boolean": "boolean",
    "json": "jsonb",
}
#: Read as they are; whatever is of another type is read as its text, which is exact.
NATIVE: Final = frozenset({"integer", "real", "boolean", "blob"})


def column_type(declared: str) -> str:
    """Return the connectors' word for a type as format_type() writes it."""
    return _KINDS.get(declared, "text")


def made_type(column: Column) -> str:
    """Return the type of a column that is made here: the source's own where that is PostgreSQL, else the nearest."""
    if column.dialect == "postgresql" and _BUILT_IN.fullmatch(column.declared):
        return column.declared
    return _MADE.get(column.type, "text")


def split_name(name: str) -> tuple[str, str]:
    """Return schema and table of `[schema.]table`."""
    schema, dot, table = name.rpartition(".")
    return (schema, table) if dot else ("public", name)


def table_name(name: str) -> sql.Composed:
    """Return `[schema.]table` as quoted SQL."""
    return sql.Identifier(*split_name(name)) + sql.SQL("")


def place_of(connection: ConnectionSpec) -> str:
    settings = connection.settings
    return f"{settings.get('host')}:{settings.get('port', 5432)}"


def open_database(connection: ConnectionSpec) -> Connection:
    """Connect; each statement is its own transaction unless one is begun. Raises ConnectorError."""
    settings = connection.settings
    try:
        return psycopg.connect(
            host=str(settings.get("host", "")),
            port=int(settings.get("port", 5432)),
            dbname=str(settings.get("database", "")),
            user=str(settings.get("user", "")),
            password=connection.secret or None,
            sslmode=str(settings.get("sslmode", "prefer")),
            connect_timeout=5,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
            application_name=f"opsconsole {connection.name}"[:60],
            client_encoding="UTF8",
            options=_SESSION,
            autocommit=True,
            prepare_threshold=2,
        )
    except psycopg.Error as error:
        raise ConnectorError(_not_connected(error, connection)) from None


def _not_connected(error: psycopg.Error, connection: ConnectionSpec) -> Fault:
    """The server's refusal of a connection carries no SQLSTATE: its words have to do. The error's own text may hold
    what was typed as the address, so it is not shown."""
    text = str(error)
    settings, subject, place = connection.settings, f"connection {connection.name}", place_of(connection)
    if re.search(r'database ".*" does not exist', text):
        cause = f"Database {settings.get('database')} does not exist at {place} ({subject})."
        return missing("connection_missing", cause, "Create it or correct the name, then Re-detect.", subject)
    if re.search(r'role ".*" does not exist|authentication failed|no password supplied|pg_hba\.conf', text):
        cause = f"{place} does not let user {settings.get('user')} in ({subject})."
        return permanent("login_refused", cause, "Correct the user, the password, or pg_hba.conf.", subject)
    if re.search(r"permission denied for database|does not have CONNECT", text):
        cause = f"User {settings.get('user')} may not connect to database {settings.get('database')} ({subject})."
        return permanent("permission_denied", cause, "Grant CONNECT, then Continue.", subject)
    if re.search(r"too many (clients|connections)|connection slots", text):
        return transient("too_many_connections", f"{place} takes no more connections now ({subject}).", "", subject)
    return transient("unreachable", f"PostgreSQL at {place} does not answer ({subject}).", "", subject)


#: SQLSTATE, or its class, -> what it means: (factory, code, cause, advice). `{}` is the object spoken of.
_Factory = Callable[[str, str, str, str], Fault]
_STATES: Final[tuple[tuple[str, _Factory, str, str, str], ...]] = (
    ("3D000", missing, "connection_missing", "The database of {} does not exist.", "Create it, then Re-detect."),
    ("3F000", missing, "schema_missing", "The schema of {} does not exist.", "Create it, then Re-detect."),
    ("42P01", missing, "table_missing", "{} does not exist.", "Create it, then Re-detect."),
    ("42703", permanent, "column_missing", "{} lacks a column.", "Add it, then Continue."),
    ("42501", permanent, "permission_denied", "The right to use {} is lacking.", "Grant it, then Continue."),
    ("25006", transient, "read_only", "{} can only be read now: the server is a standby or read-only.", ""),
    ("28", permanent, "login_refused", "The server of {} does not let the user in.", "Correct user or password."),
    ("53100", transient, "disk_full", "The disk of {} is full.", "Make room on the server's disk."),
    ("53", transient, "too_busy", "The server of {} has no room or connection left.", ""),
    ("40", transient, "conflict", "{} was in conflict with another transaction.", ""),
    ("55P03", transient, "locked", "{} is locked by another program.", ""),
    ("57014", transient, "timeout", "A statement on {} took too long.", "An index on the columns read by helps."),
    ("57", transient, "unreachable", "The server of {} was shut down, or ended the connection.", ""),
    ("25P03", transient, "unreachable", "The server of {} ended the connection.", ""),
    ("58", transient, "io_error", "The server of {} had an error of its disk.", "Look at the server's log."),
    ("08", transient, "unreachable", "The connection to the server of {} broke.", ""),
)
#: Of these the server names the thing.
_IN_ITS_WORDS: Final = frozenset({"42501", "42703", "3F000", "42P01"})


def fault_of(error: psycopg.Error, connection: ConnectionSpec, subject: str) -> Fault:
    """Return what an error of a statement means for the task, by SQLSTATE. Never shows a password."""
    state = error.sqlstate or ""
    said = error.diag.message_primary or ""
    for prefix, factory, code, cause, advice in _STATES:
        if state.startswith(prefix):
            words = f" The server says: {said}." if said and prefix in _IN_ITS_WORDS else ""
            return factory(code, cause.format(subject) + words, advice, subject)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return transient("unreachable", f"The connection to {place_of(connection)} broke ({subject}).", "", subject)
    return permanent("sql_error", f"{subject}: {said or type(error).__name__}.", "", subject)


def is_broken(db: Connection) -> bool:
    """Whether the connection is of no more use."""
    return db.closed or db.broken


def describe_table(db: Connection, name: str) -> list[tuple[str, str]] | None:
    """Return (column, declared type) of a table or view in order; None where it does not exist.

    Raises psycopg.Error.
    """
    schema, table = split_name(name)
    found = db.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace "
        "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
        "WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY a.attnum",
        (schema, table),
    ).fetchall()
    return [(column, declared) for column, declared in found if column] if found else None


def unique_keys(db: Connection, name: str, *, nullable: bool = False) -> list[tuple[str, ...]]:
    """Return the columns of each unique index, the primary key first; those over columns that may be NULL if asked."""
    schema, table = split_name(name)
    found = db.execute(
        "SELECT array_agg(a.attname::text ORDER BY k.n) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
        "JOIN pg_namespace s ON s.oid = c.relnamespace "
        "CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY k(attnum, n) "
        "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum "
        "WHERE s.nspname = %s AND c.relname = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL "
        "AND i.indexprs IS NULL AND k.n <= i.indnkeyatts GROUP BY i.indexrelid, i.indisprimary "
        "HAVING bool_and(a.attnotnull) OR %s ORDER BY i.indisprimary DESC, i.indexrelid",
        (schema, table, nullable),
    ).fetchall()
    return [tuple(columns) for (columns,) in found]


def no_table(db: Connection, connection: ConnectionSpec, name: str, subject: str) -> Fault:
    """Return the fault that names what of `schema.table` is missing."""
    schema, table = split_name(name)
    where = f"database {connection.settings.get('database')} (connection {connection.name})"
    if not db.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone():
        cause = f"Schema {schema} does not exist in {where}."
        return missing("schema_missing", cause, "Create it, then Re-detect.", subject)
    cause = f"Table {table} does not exist in schema {schema} of {where}."
    return missing("table_missing", cause, "Create it, then Re-detect.", subject)


def check_connection(connection: ConnectionSpec) -> tuple[Fault, ...]:
    """Return what is wrong with the connection alone."""
    try:
        open_database(connection).close()
    except ConnectorError as error:
        return (error.fault,)
    return ()
