"""From a submission's sections to plans: the one validation that file, admin and API share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tasks.models import ConnectionKind, EngineKind, StartPosition, WriteMode
from tasks.models.fields import NAME, name_validator
from tasks.models.tag import MOST_TAGS
from tasks.statuses import Operation
from tasks.submission.plans import ConnectionPlan, GroupPlan, TaskPlan
from tasks.submission.sections import Section, near

SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
FILE_FORMATS: Final = {"jsonl": "jsonl", "ndjson": "jsonl", "json": "jsonl", "csv": "csv"}


def read_name(section: Section) -> str:
    name = section.text("name", longest=100)
    if name and not NAME.match(name):
        section.add("name", str(name_validator.message))
    return name


def read_group(section: Section) -> GroupPlan:
    plan = GroupPlan(
        name=read_name(section),
        kind=section.choice("kind", EngineKind.values, "local"),
        capacity=section.integer("capacity", 100, 1, 100_000),
        enabled=section.boolean("enabled", True),
        description=section.text("description", "", longest=2_000),
    )
    section.close()
    return plan


def read_connection(section: Section, base: Path) -> ConnectionPlan:
    """`base` is the directory that relative paths are meant from."""
    name = read_name(section)
    kind = section.choice("kind", ConnectionKind.values)
    settings: dict[str, Any] = {}
    password_env = ""
    if kind == ConnectionKind.POSTGRESQL:
        settings, password_env = _postgresql_address(section)
        section.close()
    elif kind:
        path = section.text("path", longest=2_000)
        settings["path"] = os.path.normpath(base / Path(path).expanduser()) if path else ""
        section.close()
    return ConnectionPlan(name, kind, settings, password_env)


def _postgresql_address(section: Section) -> tuple[dict[str, Any], str]:
    settings = {
        "host": section.text("host"),
        "port": section.integer("port", 5432, 1, 65_535),
        "database": section.text("database", longest=63),
        "user": section.text("user", longest=63),
        "sslmode": section.choice("sslmode", SSL_MODES, "prefer"),
    }
    variable = section.text("password_env", "")
    if variable and not os.environ.get(variable):
        section.add("password_env", f"The environment variable {variable} is not set, or empty.")
    return settings, variable


def read_task(section: Section, kinds: Mapping[str, str], groups: Mapping[str, object]) -> TaskPlan:
    """`kinds` maps each known connection to its kind; `groups` holds the known groups' names."""
    name = read_name(section)
    group = section.text("group")
    if group and group not in groups:
        section.add("group", f"There is no resource group {group}.{near(group, list(groups))}")
    source, target = section.section("source"), section.section("target")
    source_name, source_kind = _connection(source, kinds)
    target_name, target_kind = _connection(target, kinds)
    source_object, target_object = source.text("object"), target.text("object")
    options = _source_options(source, source_kind, source_object)
    mode = target.choice("mode", WriteMode.values, "append")
    key = target.texts("key")
    _check_target(target, target_kind, target_object, mode, key)
    if (source_name, source_object) == (target_name, target_object) and source_name:
        target.add("object", f"Source and target are the same object: {source_object} of {source_name}.")
    plan = TaskPlan(
        name=name,
        group_id=group,
        source_connection_id=source_name,
        source_object=source_object,
        source_options=options,
        target_connection_id=target_name,
        target_object=target_object,
        write_mode=mode,
        target_key=key,
        start_position=section.choice("start", StartPosition.values, "earliest"),
        snapshot_interval=section.integer("snapshot_interval", 5, 1, 86_400),
        exactly_once=section.boolean("exactly_once", False),
        dirty_limit=section.integer("dirty_limit", 100, 0, 1_000_000),
        restart_limit=section.integer("restart_limit", 5, 0, 1_000),
        time_limits=_time_limits(section),
        description=section.text("description", "", longest=2_000),
        owner=section.text("owner", "", longest=150),
        tags=_tags(section),
    )
    if plan.exactly_once and target_kind == "file":
        section.add("exactly_once", "A file can't be written exactly once; use a table as the target.")
    for part in (source, target, section):
        part.close()
    return plan


def _tags(section: Section) -> list[str]:
    tags = sorted(section.texts("tags"))
    for tag in tags:
        if not NAME.match(tag):
            section.add("tags", f"{tag}: {name_validator.message}")
    if len(tags) > MOST_TAGS:
        section.add("tags", f"{len(tags)} are given; {MOST_TAGS} is the most.")
    return tags


def _time_limits(section: Section) -> dict[str, int]:
    if "time_limits" not in section.values:
        return {}
    limits = section.section("time_limits")
    found = {o.value: limits.integer(o.value, 0, 1, 86_400) for o in Operation if o.value in limits.values}
    limits.close()
    return found


def _connection(section: Section, kinds: Mapping[str, str]) -> tuple[str, str]:
    name = section.text("connection")
    if name and name not in kinds:
        section.add("connection", f"There is no connection {name}.{near(name, list(kinds))}")
    return name, kinds.get(name, "")


def _source_options(section: Section, kind: str, object_name: str) -> dict[str, Any]:
    """Return the options of a source of `kind`, defaults that its name suggests filled in."""
    options: dict[str, Any] = {}
    if kind in ("sqlite", "postgresql", ""):
        options["read"] = section.choice("read", ["poll"], "poll")
        if cursor := section.text("cursor", ""):
            options["cursor"] = cursor
    if kind in ("postgresql", ""):
        if tie := section.text("tie", ""):
            options["tie"] = tie
        for key in ("settle", "settle_limit"):
            if key in section.values:
                options[key] = section.number(key, 0.0, 0.0, 86_400.0)
        _check_table_name(section, kind, object_name)
    if kind in ("file", ""):
        suggested = FILE_FORMATS.get(object_name.rpartition(".")[2].lower(), "")
        format_ = section.choice("format", ["jsonl", "csv"], suggested or None)
        if kind == "file":
            if not format_:
                section.add("format", f"The name {object_name} does not tell the format; give jsonl or csv.")
            _check_file_name(section, object_name)
            options = {"format": format_}
        if columns := section.texts("columns"):
            options["columns"] = columns
    if event_time := section.text("event_time", ""):
        options["event_time"] = event_time
    return options


def _check_table_name(section: Section, kind: str, name: str) -> None:
    if kind == "postgresql" and (name.count(".") > 1 or name.startswith(".") or name.endswith(".")):
        section.add("object", f"{name} must be the name of a table, or schema.table.")


def _check_target(section: Section, kind: str, object_name: str, mode: str, key: list[str]) -> None:
    if mode == "upsert" and not key:
        section.add("key", "Upsert writes by key: name the columns that identify a row.")
    if mode == "append" and key:
        section.add(
            "key", "Append writes every change as a new row and needs no key; use mode upsert, or leave it out."
        )
    _check_table_name(section, kind, object_name)
    if kind == "file":
        _check_file_name(section, object_name)
        if mode == "upsert":
            section.add("mode", "A file can only be appended to; use a table as the target.")


def _check_file_name(section: Section, name: str) -> None:
    if name and (name in (".", "..") or "/" in name or "\0" in name):
        section.add("object", f"{name} must be the name of a file in the connection's directory, without a path.")
