"""Tasks: create as a draft, edit while not running, submit. Status is the engine's to say, never a form's."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from tasks.alerts import life
from tasks.models import Connection, ResourceGroup, Task
from tasks.statuses import Status
from tasks.submission import Change, TaskPlan, check_task, write_task
from tasks.submission.writing import why_unchangeable
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
_DELETABLE: Final = (Status.INITIALIZE, Status.STOPPED)


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
            self.fields[field].choices = [*gone, *choices]  # type: ignore[attr-defined]
            self.fields[field].initial = now
        self._set_initial("cursor", task.source_options.get("cursor", ""))
        self._set_initial("tie", task.source_options.get("tie", ""))
        self._set_initial("settle", task.source_options.get("settle"))
        self._set_initial("format", task.source_options.get("format", ""))
        self._set_initial("columns", ", ".join(task.source_options.get("columns", [])))
        self._set_initial("key", ", ".join(task.target_key))

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
    return {**values, "owner": get_user_model().objects.filter(username=owner).first() if owner else None}


def changed_fields(task: Task, plan: TaskPlan) -> list[str]:
    """Return which fields of `task`, as stored, differ from `plan`."""
    return [name for name, value in _values(plan).items() if getattr(task, name) != value]


@admin.register(Task)
class TaskAdmin(admin.ModelAdmin):
    form = TaskForm
    list_display = ("name", "shown_status", "group_id", "source", "target", "owner", "in_console")
    list_filter = ("status", "write_mode")
    list_select_related = ("owner",)
    search_fields = ("name", "source_object", "target_object")
    show_full_result_count = False
    list_per_page = 50
    actions = ("submit_tasks",)
    fieldsets = (
        (None, {"fields": ("name", "description", "owner", "group_name")}),
        ("Source", {"fields": ("source", "source_object", "cursor", "tie", "settle", "format", "columns")}),
        ("Target", {"fields": ("target", "target_object", "write_mode", "key")}),
        (
            "Run",
            {
                "fields": (
                    "start_position",
                    "snapshot_interval",
                    "exactly_once",
                    "dirty_limit",
                    "restart_limit",
                    "time_limits",
                )
            },
        ),
        ("Now", {"fields": ("shown_status", "status_reason", "in_console")}),
    )

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "group__name" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def get_readonly_fields(self, request: HttpRequest, obj: Task | None = None) -> list[str]:
        return [*(["name"] if obj else []), "shown_status", "status_reason", "in_console"]

    @admin.display(description="status", ordering="status")
    def shown_status(self, task: Task) -> str:
        if not task.submitted_at:
            return "Draft"
        how = f" ({task.get_paused_how_display()})" if task.paused_how else ""
        return f"{task.get_status_display()}{how}"

    @admin.display(description="source")
    def source(self, task: Task) -> str:
        return f"{task.source_connection_id}: {task.source_object}"

    @admin.display(description="target")
    def target(self, task: Task) -> str:
        return f"{task.target_connection_id}: {task.target_object} ({task.write_mode})"

    @admin.display(description="operate")
    def in_console(self, task: Task) -> str:
        if not task.pk or not task.submitted_at:
            return "after submission"
        return format_html('<a href="{}">open in the console</a>', task.get_absolute_url())

    def save_model(self, request: HttpRequest, obj: Task, form: Any, change: bool) -> None:
        plan: TaskPlan = form.cleaned_data["plan"]
        names = changed_fields(Task.objects.get(pk=obj.pk), plan) if change else []
        for name, value in _values(plan).items():
            setattr(obj, name, value)
        if not change:
            obj.save()
            return
        obj.updated_at = timezone.now()
        # The status is compared again: an operator may have run the task while the form was open.
        unchanged = Task.objects.filter(pk=obj.pk, status=obj.status)
        if names and unchanged.update(**{name: getattr(obj, name) for name in names}, updated_at=obj.updated_at) != 1:
            self.message_user(request, f"{obj.name} changed its status meanwhile; nothing was saved.", messages.ERROR)
        elif names and obj.submitted_at:
            status = Status(obj.status)
            write_history(
                obj, status, status, actor_name=request.user.get_username(), reason=f"Changed: {', '.join(names)}"
            )

    @admin.action(description="Submit the selected drafts", permissions=["change"])
    def submit_tasks(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        submitted = 0
        for task in tasks.order_by("pk")[:200]:
            if task.submitted_at:
                self.message_user(request, f"{task.name} is submitted already.", messages.WARNING)
                continue
            plan, problems = check_task(_as_submitted(task))
            for problem in problems:
                self.message_user(request, f"{task.name}: {problem}", messages.ERROR)
            if not problems:
                with transaction.atomic():
                    write_task(plan, Change("task", task.name, "created"), request.user.get_username())
                submitted += 1
        if submitted:
            self.message_user(
                request, f"{submitted} submitted; the console shows them as Initialize.", messages.SUCCESS
            )

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Task) -> None:
        life.end_alerts_of_tasks([obj], "The task was deleted.", request.user.get_username())
        obj.delete()

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        life.end_alerts_of_tasks(queryset, "The task was deleted.", request.user.get_username())
        queryset.delete()

    def has_delete_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        deletable = obj is None or obj.status in _DELETABLE
        return deletable and super().has_delete_permission(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        to_delete, count, _, protected = super().get_deleted_objects(objs, request)
        # A task's history goes with it: the right to delete the task decides, not the history's read-only pages.
        lacking = set() if self.has_delete_permission(request) else {"task"}
        kept = [
            f"{task.name} is {task.get_status_display()}; Stop it first"
            for task in objs
            if task.status not in _DELETABLE
        ]
        return to_delete, count, lacking, [*protected, *kept]


def _as_submitted(task: Task) -> dict[str, Any]:
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
        **{
            name: getattr(task, name)
            for name in ("description", "snapshot_interval", "exactly_once", "dirty_limit", "restart_limit")
        },
        **({"time_limits": task.time_limits} if task.time_limits else {}),
    }
