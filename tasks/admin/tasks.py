"""Tasks: create as a draft, edit while not running, submit. Status is the engine's to say, never a form's."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from tasks.alerts import life
from tasks.models import Task
from tasks.statuses import Status
from tasks.submission import Change, SubmissionInvalid, TaskPlan, check_task, write_task
from tasks.task_forms import ChangedMeanwhile, TaskForm, as_submitted, save_draft, save_task

_DELETABLE: Final = (Status.INITIALIZE, Status.STOPPED)


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
        (None, {"fields": ("name", "description", "owner", "tags", "group_name", "seen")}),
        (
            "Source",
            {
                "fields": (
                    "source",
                    "source_object",
                    "cursor",
                    "tie",
                    "settle",
                    "settle_limit",
                    "format",
                    "columns",
                    "event_time",
                )
            },
        ),
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
        if not change:
            save_draft(obj, plan)
            return
        try:
            save_task(obj, plan, request.user.get_username(), seen=form.cleaned_data["seen"])
        except ChangedMeanwhile as error:
            self.message_user(request, str(error), messages.ERROR)

    @admin.action(description="Submit the selected drafts", permissions=["change"])
    def submit_tasks(self, request: HttpRequest, tasks: QuerySet[Task]) -> None:
        submitted = 0
        for task in tasks.order_by("pk")[:200]:
            if task.submitted_at:
                self.message_user(request, f"{task.name} is submitted already.", messages.WARNING)
                continue
            plan, problems = check_task(as_submitted(task))
            for problem in problems:
                self.message_user(request, f"{task.name}: {problem}", messages.ERROR)
            if not problems:
                try:
                    with transaction.atomic():
                        write_task(plan, Change("task", task.name, "created"), request.user.get_username())
                except SubmissionInvalid as error:  # somebody else was first
                    self.message_user(request, f"{task.name}: {error}", messages.ERROR)
                else:
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
