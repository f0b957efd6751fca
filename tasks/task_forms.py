"""The form of a task, in the console and in the admin: the same questions as a submission file, the same validation."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any, ClassVar, Final

from django import forms
from django.db import transaction
from django.utils import timezone

from tasks.models import Connection, ResourceGroup, Task
from tasks.statuses import Status
from tasks.submission import TaskPlan, check_task
from tasks.submission.writing import columns_of, tags_of, why_unchangeable, write_tags
from tasks.transitions import write_history

#: place in a submission -> field of the form, where they differ
_FIELDS: Final = {
    "group": "group_name",
    "source.connection": "source",
    "source.object": "source_object",
    "source.cursor": "cursor",
    "source.tie": "tie",
    "source.settle": "settle",
    "source.settle_limit": "settle_limit",
    "source.event_time": "event_time",
    "source.format": "format",
    "source.columns": "columns",
    "target.connection": "target",
    "target.object": "target_object",
    "target.mode": "write_mode",
    "target.key": "key",
    "start": "start_position",
}


#: What may be said of a source besides its object, each a question of the form.
_SOURCE_OPTIONS: Final = ("cursor", "tie", "settle", "settle_limit", "format", "columns", "event_time")


class TaskForm(forms.ModelForm):
    """The same questions as a submission file, and the same validation."""

    seen = forms.CharField(required=False, max_length=100, widget=forms.HiddenInput)  # the task as it was then
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
    settle_limit = forms.FloatField(
        required=False,
        min_value=0,
        max_value=86_400,
        help_text="PostgreSQL: seconds after which it waits for a transaction no longer. Empty: 60.",
    )
    format = forms.ChoiceField(
        required=False,
        choices=[("", "by the file's name"), ("jsonl", "JSONL"), ("csv", "CSV")],
        help_text="Files only.",
    )
    columns = forms.CharField(
        required=False, help_text="Files only: names, separated by commas. Empty: as the file says."
    )
    event_time = forms.CharField(
        required=False,
        help_text="The column that says when a row's event happened; with it business latency is measured.",
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
        widgets: ClassVar = {"description": forms.Textarea({"rows": 3}), "time_limits": forms.Textarea({"rows": 2})}

    def __init__(self, *args: Any, is_whole: bool = True, **values: Any) -> None:
        """`is_whole`: can it be saved as it is? A step of several does not say yet what it would write over."""
        super().__init__(*args, **values)
        self.is_whole = is_whole
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
        for name in _SOURCE_OPTIONS:
            value = task.source_options.get(name, "")
            self._set_initial(name, ", ".join(value) if isinstance(value, list) else value)
        self._set_initial("key", ", ".join(task.target_key))
        self._set_initial("tags", ", ".join(tags_of(task)) if task.pk else "")
        for name in ("source_object", "target_object"):
            if name in self.fields:  # what a look-up found is offered there
                self.fields[name].widget.attrs |= {"list": "found-objects", "autocomplete": "off"}
        self._set_initial("seen", fingerprint(task) if task.pk else "")

    def _set_initial(self, field: str, value: Any) -> None:
        if field in self.fields:
            self.fields[field].initial = value

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        # With what is missing yet filled in: a step says what is wrong in it before the next one is asked.
        wrong = set(self.errors)
        plan, problems = check_task(self._as_submitted({**dict.fromkeys(wrong, ""), **cleaned}))
        for problem in problems:
            field = _FIELDS.get(problem.place.partition("[")[0], problem.place.partition("[")[0])
            if field not in wrong:
                self.add_error(field if field in self.fields else None, problem.sentence)
        if wrong:
            return cleaned
        if self.instance.pk:
            self._compare(Task.objects.get(pk=self.instance.pk), plan)
        cleaned["plan"] = plan
        return cleaned

    def _compare(self, stored: Task, plan: TaskPlan) -> None:
        """Say why the stored task can't become what the form says; once, that somebody else has changed it."""
        changed = changed_fields(stored, plan)
        refusal = why_unchangeable(stored, changed) if stored.submitted_at else None
        if refusal:
            self.add_error(None, refusal)
        now = fingerprint(stored)
        if changed and self.is_whole and self.data.get("seen", now) != now:
            # Whoever sends it a second time has read this.
            self.data = self.data.copy()  # type: ignore[union-attr]
            self.data["seen"] = now
            self.add_error(
                None,
                f"Somebody has changed {stored.name} since you opened it. Yours differs from it in "
                f"{', '.join(spoken(name) for name in changed)}. Look at it; or go on, and write yours over it.",
            )

    def as_submission(self) -> dict[str, Any]:
        """Return the answers of a valid form as a submission file would give them, without what is empty."""
        return {name: value for name, value in self._as_submitted(self.cleaned_data).items() if value not in ("", [])}

    def _as_submitted(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """Return the form's content as a submission file would give it; what is empty is left out."""
        owner = cleaned.get("owner")
        source = {"connection": cleaned["source"], "object": cleaned["source_object"]}
        source |= {name: cleaned[name] for name in _SOURCE_OPTIONS} | {"columns": _names(cleaned["columns"])}
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


def spoken(field: str) -> str:
    """Return a field's name as people say it."""
    return field.removesuffix("_id").replace("_", " ")


def fingerprint(task: Task) -> str:
    """Change whenever what a form asks about has changed, and by nothing else that happens to `task`."""
    text = json.dumps(as_submitted(task), sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=12).hexdigest()


def changed_fields(task: Task, plan: TaskPlan) -> list[str]:
    """Return which fields of `task`, as stored, differ from `plan`."""
    changed = [name for name, value in columns_of(plan).items() if getattr(task, name) != value]
    return [*changed, "tags"] if tags_of(task) != plan.tags else changed


class ChangedMeanwhile(Exception):
    """The task is another than the one that the form was checked against; nothing was written."""


@transaction.atomic
def save_task(task: Task, plan: TaskPlan, actor_name: str, *, seen: str = "") -> list[str]:
    """Make the stored `task` what `plan` says; return which fields changed. Raises ChangedMeanwhile.

    `seen` is the fingerprint of the task that the form was checked against.
    """
    stored = Task.objects.select_for_update().get(pk=task.pk)
    names = changed_fields(stored, plan)
    for name, value in columns_of(plan).items():
        setattr(task, name, value)
    if not names:
        return []
    # Looked at again under the row's lock: an operator may have run the task, or somebody saved theirs, in between.
    if stored.status != task.status or (seen and seen != fingerprint(stored)):
        raise ChangedMeanwhile(f"{task.name} was changed or run at this moment; nothing was saved. Look at it again.")
    task.updated_at = timezone.now()
    columns = {name: getattr(task, name) for name in names if name != "tags"}
    Task.objects.filter(pk=task.pk).update(**columns, updated_at=task.updated_at)
    write_tags(task, plan.tags)
    if task.submitted_at:
        status = Status(task.status)
        write_history(task, status, status, actor_name=actor_name, reason=f"Changed: {', '.join(names)}")
    return names


@transaction.atomic
def save_draft(task: Task, plan: TaskPlan) -> None:
    """Write a new `task` that nobody sees before it is submitted."""
    for name, value in columns_of(plan).items():
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
