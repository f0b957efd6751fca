"""The form of a task, in the console and in the admin: the same questions as a submission file, the same validation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from django import forms
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from tasks.models import Connection, ResourceGroup, Task
from tasks.statuses import Status
from tasks.submission import TaskPlan, check_task
from tasks.submission.writing import tags_of, why_unchangeable, write_tags
from tasks.transitions import write_history

#: place in a submission -> field of the form, where they differ
_FIELDS: Final = {
    "source.connection": "source",
    "source.object": "source_object",
    "source.cursor": "cursor",
    "source.tie": "tie",
    "source.settle": "settle",
    "source.format": "format",
    "source.columns": "columns",
    "target.connection": "target",
    "target.object": "target_object",
    "target.mode": "write_mode",
    "target.key": "key",
    "start": "start_position",
}


class TaskForm(forms.ModelForm):
    """The same questions as a submission file, and the same validation."""

    group_name = forms.ChoiceField(label="Resource group")
    source = forms.ChoiceField(label="Source connection")
    cursor = forms.CharField(
        required=False, help_text="Tables: the increasing column to read by. Empty: the primary key."
    )
    tie = forms.CharField(
        required=False,
        help_text="PostgreSQL: the column that tells equal values of the cursor apart. Empty: the primary key.",
    )
    settle = forms.FloatField(
        required=False,
        min_value=0,
        max_value=86_400,
        help_text="PostgreSQL: seconds to wait for transactions that commit late. Empty: 0.5.",
    )
    format = forms.ChoiceField(
        required=False,
        choices=[("", "by the file's name"), ("jsonl", "JSONL"), ("csv", "CSV")],
        help_text="Files only.",
    )
    columns = forms.CharField(
        required=False, help_text="Files only: names, separated by commas. Empty: as the file says."
    )
    target = forms.ChoiceField(label="Target connection")
    key = forms.CharField(required=False, help_text="Upsert: the columns that identify a row, separated by commas.")
    tags = forms.CharField(required=False, max_length=2_000, help_text="Words to find it by, separated by commas.")

    class Meta:
        model = Task
        fields = (
            "name",
            "description",
            "owner",
            "source_object",
            "target_object",
            "write_mode",
            "start_position",
            "snapshot_interval",
            "exactly_once",
            "dirty_limit",
            "restart_limit",
            "time_limits",
        )

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        task = self.instance
        groups = ResourceGroup.objects.order_by("name").values_list("name", flat=True)
        connections = list(Connection.objects.order_by("name").values_list("name", "kind"))
        kinds = [(name, f"{name} ({kind})") for name, kind in connections]
        for field, choices, now in (
            ("group_name", [(name, name) for name in groups], task.group_id),
            ("source", kinds, task.source_connection_id),
            ("target", kinds, task.target_connection_id),
        ):
            if field not in self.fields:
                continue
            gone = [(now, f"{now} (does not exist)")] if now and now not in dict(choices) else []
            gone += [] if now else [("", "Choose …")]
            self.fields[field].choices = [*gone, *choices]  # type: ignore[attr-defined]
            self.fields[field].initial = now
        self._set_initial("cursor", task.source_options.get("cursor", ""))
        self._set_initial("tie", task.source_options.get("tie", ""))
        self._set_initial("settle", task.source_options.get("settle"))
        self._set_initial("format", task.source_options.get("format", ""))
        self._set_initial("columns", ", ".join(task.source_options.get("columns", [])))
        self._set_initial("key", ", ".join(task.target_key))
        self._set_initial("tags", ", ".join(tags_of(task)) if task.pk else "")

    def _set_initial(self, field: str, value: Any) -> None:
        if field in self.fields:
            self.fields[field].initial = value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        plan, problems = check_task(self._as_submitted(cleaned))
        for problem in problems:
            field = _FIELDS.get(problem.place, problem.place)
            self.add_error(field if field in self.fields else None, problem.sentence)
        task = self.instance
        if task.pk:
            stored = Task.objects.get(pk=task.pk)
            refusal = why_unchangeable(stored, changed_fields(stored, plan)) if stored.submitted_at else None
            if refusal:
                self.add_error(None, refusal)
        cleaned["plan"] = plan
        return cleaned

    def as_submission(self) -> dict[str, Any]:
        """Return the answers of a valid form as a submission file would give them, without what is empty."""
        return {name: value for name, value in self._as_submitted(self.cleaned_data).items() if value not in ("", [])}

    def _as_submitted(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """Return the form's content as a submission file would give it; what is empty is left out."""
        owner = cleaned.get("owner")
        source = {
            "connection": cleaned["source"],
            "object": cleaned["source_object"],
            "cursor": cleaned["cursor"],
            "tie": cleaned["tie"],
            "settle": cleaned["settle"],
            "format": cleaned["format"],
            "columns": _names(cleaned["columns"]),
        }
        target = {
            "connection": cleaned["target"],
            "object": cleaned["target_object"],
            "mode": cleaned["write_mode"],
            "key": _names(cleaned["key"]),
        }
        return {
            "name": cleaned.get("name") or self.instance.name,
            "group": cleaned["group_name"],
            "source": {key: value for key, value in source.items() if value not in (None, "", [])},
            **({"time_limits": cleaned["time_limits"]} if cleaned.get("time_limits") else {}),
            "target": target,
            "start": cleaned["start_position"],
            "owner": owner.get_username() if owner else "",
            "tags": _names(cleaned["tags"]),
            **{
                name: cleaned[name]
                for name in ("description", "snapshot_interval", "exactly_once", "dirty_limit", "restart_limit")
            },
        }


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _values(plan: TaskPlan) -> dict[str, Any]:
    values = asdict(plan)
    owner = values.pop("owner")
    del values["tags"]
    return {**values, "owner": get_user_model().objects.filter(username=owner).first() if owner else None}


def changed_fields(task: Task, plan: TaskPlan) -> list[str]:
    """Return which fields of `task`, as stored, differ from `plan`."""
    changed = [name for name, value in _values(plan).items() if getattr(task, name) != value]
    return [*changed, "tags"] if tags_of(task) != plan.tags else changed


class ChangedMeanwhile(Exception):
    """The task's status is another than the one that the form was checked against; nothing was written."""


@transaction.atomic
def save_task(task: Task, plan: TaskPlan, actor_name: str) -> list[str]:
    """Make the stored `task` what `plan` says; return which fields changed. Raises ChangedMeanwhile."""
    names = changed_fields(Task.objects.get(pk=task.pk), plan)
    for name, value in _values(plan).items():
        setattr(task, name, value)
    if not names:
        return []
    task.updated_at = timezone.now()
    columns = {name: getattr(task, name) for name in names if name != "tags"}
    # The status is compared again: an operator may have run the task while the form was open.
    unchanged = Task.objects.filter(pk=task.pk, status=task.status)
    if unchanged.update(**columns, updated_at=task.updated_at) != 1:
        raise ChangedMeanwhile(f"{task.name} changed its status meanwhile; nothing was saved.")
    write_tags(task, plan.tags)
    if task.submitted_at:
        status = Status(task.status)
        write_history(task, status, status, actor_name=actor_name, reason=f"Changed: {', '.join(names)}")
    return names


@transaction.atomic
def save_draft(task: Task, plan: TaskPlan) -> None:
    """Write a new `task` that nobody sees before it is submitted."""
    for name, value in _values(plan).items():
        setattr(task, name, value)
    task.save()
    write_tags(task, plan.tags)


def as_submitted(task: Task) -> dict[str, Any]:
    """Return a stored task in the form of a submission file."""
    source = {"connection": task.source_connection_id, "object": task.source_object, **task.source_options}
    target = {
        "connection": task.target_connection_id,
        "object": task.target_object,
        "mode": task.write_mode,
        "key": task.target_key,
    }
    return {
        "name": task.name,
        "group": task.group_id,
        "source": source,
        "target": target,
        "start": task.start_position,
        "owner": task.owner.get_username() if task.owner else "",
        **({"tags": tags} if (tags := tags_of(task)) else {}),
        **{
            name: getattr(task, name)
            for name in ("description", "snapshot_interval", "exactly_once", "dirty_limit", "restart_limit")
        },
        **({"time_limits": task.time_limits} if task.time_limits else {}),
    }
