"""Connection kind -> source and target, and the checks that need both."""

from __future__ import annotations

from pathlib import Path

from tasks.engines.base import ConnectionSpec, ErrorClass, Fault, SourceSpec, TargetSpec, TaskSpec
from tasks.engines.local import postgresql
from tasks.engines.local.faults import ConnectorError, permanent
from tasks.engines.local.sources.base import Source
from tasks.engines.local.sources.file import FileSource, check_directory
from tasks.engines.local.sources.postgresql import PostgresSource
from tasks.engines.local.sources.sqlite import SqliteSource
from tasks.engines.local.sqlite import check_path
from tasks.engines.local.targets.base import Target
from tasks.engines.local.targets.file import FileTarget
from tasks.engines.local.targets.postgresql import PostgresTarget
from tasks.engines.local.targets.sqlite import SqliteTarget


def source_of(spec: TaskSpec) -> Source:
    """Raises ConnectorError for a kind that the local engine can't read."""
    match spec.source.connection.kind:
        case "sqlite":
            return SqliteSource(spec.source)
        case "postgresql":
            return PostgresSource(spec.source)
        case "file":
            return FileSource(spec.source)
    raise ConnectorError(_unknown(spec.source.connection, "read"))


def target_of(spec: TaskSpec) -> Target:
    """Raises ConnectorError for a kind that the local engine can't write."""
    match spec.target.connection.kind:
        case "sqlite":
            return SqliteTarget(spec.target, spec.task)
        case "postgresql":
            return PostgresTarget(spec.target, spec.task)
        case "file":
            return FileTarget(spec.target, spec.task)
    raise ConnectorError(_unknown(spec.target.connection, "write"))


def _unknown(connection: ConnectionSpec, act: str) -> Fault:
    subject = f"connection {connection.name}"
    return permanent("kind_unknown", f"The local engine can't {act} {connection.kind} ({subject}).", "", subject)


def check(spec: TaskSpec) -> tuple[Fault, ...]:
    """Return all that is wrong with the objects of `spec`, missing ones first."""
    faults: list[Fault] = []
    try:
        source, target = source_of(spec), target_of(spec)
        faults += _same_object(spec)
        faults += source.check()
        columns = source.columns() if not faults else None
        source.close()
        faults += _event_time(spec, [column.name for column in columns] if columns else None)
        faults += target.check(columns)
        target.close()
    except ConnectorError as error:
        faults.append(error.fault)
    if spec.exactly_once and spec.target.connection.kind == "file":
        cause = "A file target can't be written exactly once: its rows and its ledger are not one transaction."
        faults.append(permanent("exactly_once_refused", cause, "Switch exactly_once off.", spec.target.object))
    return tuple(sorted(faults, key=lambda fault: fault.error_class is not ErrorClass.MISSING))


def _event_time(spec: TaskSpec, names: list[str] | None) -> list[Fault]:
    name = spec.source.options.get("event_time")
    if not name or names is None or name in names:
        return []
    cause = f"{spec.source.object} has no column {name} for event_time; it has {', '.join(names)}."
    return [permanent("column_missing", cause, "Correct event_time.", spec.source.object)]


def _same_object(spec: TaskSpec) -> list[Fault]:
    source, target = spec.source, spec.target
    same_place = source.connection.kind == target.connection.kind and _real(source.connection) == _real(
        target.connection
    )
    if same_place and _object(source) == _object(target):
        return [permanent("same_object", f"Source and target are the same object: {source.object}.", "", source.object)]
    return []


def _real(connection: ConnectionSpec) -> object:
    if connection.kind == "postgresql":
        return postgresql.place_of(connection), connection.settings.get("database")
    return Path(str(connection.settings.get("path", ""))).resolve()


def _object(end: SourceSpec | TargetSpec) -> object:
    return postgresql.split_name(end.object) if end.connection.kind == "postgresql" else end.object


def check_connection(connection: ConnectionSpec) -> tuple[Fault, ...]:
    """Return what is wrong with a connection alone."""
    path = Path(str(connection.settings.get("path", "")))
    match connection.kind:
        case "sqlite":
            return check_path(connection, write=True)
        case "postgresql":
            return postgresql.check_connection(connection)
        case "file":
            return check_directory(connection.name, path)
    return (_unknown(connection, "use"),)
