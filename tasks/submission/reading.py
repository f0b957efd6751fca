"""From a submission's sections to plans: the one validation that file, admin and API share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tasks.models import ConnectionKind, EngineKind, StartPosition, WriteMode
from tasks.models.fields import NAME, name_validator
from tasks.submission.plans import ConnectionPlan, GroupPlan, TaskPlan
from tasks.submission.sections import Section, near

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
    if kind:
        path = section.text("path", longest=2_000)
        settings["path"] = os.path.normpath(base / Path(path).expanduser()) if path else ""
        section.close()
    return ConnectionPlan(name, kind, settings)


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
        description=section.text("description", "", longest=2_000),
        owner=section.text("owner", "", longest=150),
    )
    if plan.exactly_once and target_kind == "file":
        section.add("exactly_once", "A file can't be written exactly once; use a table as the target.")
    for part in (source, target, section):
        part.close()
    return plan


def _connection(section: Section, kinds: Mapping[str, str]) -> tuple[str, str]:
    name = section.text("connection")
    if name and name not in kinds:
        section.add("connection", f"There is no connection {name}.{near(name, list(kinds))}")
    return name, kinds.get(name, "")


def _source_options(section: Section, kind: str, object_name: str) -> dict[str, Any]:
    """Return the options of a source of `kind`, defaults that its name suggests filled in."""
    options: dict[str, Any] = {}
    if kind in ("sqlite", ""):
        options["read"] = section.choice("read", ["poll"], "poll")
        if cursor := section.text("cursor", ""):
            options["cursor"] = cursor
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
    return options


def _check_target(section: Section, kind: str, object_name: str, mode: str, key: list[str]) -> None:
    if mode == "upsert" and not key:
        section.add("key", "Upsert writes by key: name the columns that identify a row.")
    if mode == "append" and key:
        section.add(
            "key", "Append writes every change as a new row and needs no key; use mode upsert, or leave it out."
        )
    if kind == "file":
        _check_file_name(section, object_name)
        if mode == "upsert":
            section.add("mode", "A file can only be appended to; use a table as the target.")


def _check_file_name(section: Section, name: str) -> None:
    if name and (name in (".", "..") or "/" in name or "\0" in name):
        section.add("object", f"{name} must be the name of a file in the connection's directory, without a path.")
