"""Submission: one validation for the file, the admin and the API; everything wrong is said at once, with its place."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tasks.models import Connection, ResourceGroup
from tasks.submission.alerts import Known, read_recipient_group, read_rule
from tasks.submission.changes import Change
from tasks.submission.plans import Plan, RulePlan, TaskPlan
from tasks.submission.reading import read_connection, read_group, read_task
from tasks.submission.sections import Notes, Problem, Section, SubmissionInvalid, load
from tasks.submission.writing import compare, write, write_task

__all__ = [
    "Change",
    "Plan",
    "Problem",
    "RulePlan",
    "SubmissionInvalid",
    "TaskPlan",
    "check_rule",
    "check_task",
    "submit",
    "write_task",
]


def submit(text: str, *, actor_name: str, base: Path, dry_run: bool = False) -> tuple[Plan, list[Change]]:
    """Validate a submission file's text and write it: all or nothing. Raises SubmissionInvalid.

    `base` is the directory that relative paths in it are meant from.
    """
    value, notes = load(text)
    plan = _plan(value, notes, base)
    if notes.problems:
        compare(plan, notes)  # what is stored may forbid more: all of it is said at once
        raise SubmissionInvalid(_in_order(notes.problems))
    if dry_run:
        changes = compare(plan, notes)
        if notes.problems:
            raise SubmissionInvalid(_in_order(notes.problems))
        return plan, changes
    return plan, write(plan, notes, actor_name)


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line)


def _plan(value: Any, notes: Notes, base: Path) -> Plan:
    top = Section({} if value is None else value, "", notes)
    groups = [read_group(section) for section in top.sections("resource_groups")]
    connections = [read_connection(section, base) for section in top.sections("connections")]
    known_groups, kinds = _known(groups, connections)
    tasks = [read_task(section, kinds, known_groups) for section in top.sections("tasks")]
    recipients = [read_recipient_group(section) for section in top.sections("recipient_groups")]
    known = Known(*([plan.name for plan in plans] for plans in (tasks, groups, recipients)))
    rules = [read_rule(section, known) for section in top.sections("alert_rules")]
    top.close()
    plan = Plan(groups, connections, tasks, recipients, rules, notes.warnings)
    if not any(plan.by_key().values()) and not notes.problems:
        notes.add("", f"The file is empty: it has none of {', '.join(plan.by_key())}.")
    for key, plans in plan.by_key().items():
        _refuse_twice(key, [plan.name for plan in plans], notes)
    _warn_of_shared_targets(tasks, notes)
    return plan


def _known(groups: list[Any], connections: list[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the groups and the connections (name -> kind) of the file and of the console together."""
    stored_groups = dict(ResourceGroup.objects.values_list("name", "kind"))
    stored = dict(Connection.objects.values_list("name", "kind"))
    return (
        {**stored_groups, **{group.name: group.kind for group in groups}},
        {**stored, **{connection.name: connection.kind for connection in connections}},
    )


def _refuse_twice(key: str, names: list[str], notes: Notes) -> None:
    for n, name in enumerate(names):
        if name and name in names[:n]:
            notes.add(f"{key}[{n}].name", f"The name {name} is given twice; the first is {key}[{names.index(name)}].")


def _warn_of_shared_targets(tasks: list[TaskPlan], notes: Notes) -> None:
    seen: dict[tuple[str, str], str] = {}
    for n, task in enumerate(tasks):
        other = seen.setdefault((task.target_connection_id, task.target_object), task.name)
        if other != task.name:
            notes.warn(f"tasks[{n}].target.object", f"Task {other} writes {task.target_object} too.")


def check_rule(values: dict[str, Any], listed: Collection[str] = ()) -> tuple[RulePlan, list[Problem]]:
    """Validate one alert rule given in the file's form: the console's and the admin's way in.

    `listed` are names that the rule has already: what was deleted since may stay, and is covered when it is back.
    """
    notes = Notes()
    return read_rule(Section(values, "", notes), Known(tasks=listed, resource_groups=listed)), notes.problems


def check_task(values: dict[str, Any]) -> tuple[TaskPlan, list[Problem]]:
    """Validate one task given in the file's form: the admin's and the API's way in."""
    notes = Notes()
    known_groups, kinds = _known([], [])
    plan = read_task(Section(values, "", notes), kinds, known_groups)
    return plan, notes.problems
