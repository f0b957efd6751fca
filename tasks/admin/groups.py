"""Resource groups: where tasks run."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from tasks.admin.affected import affected
from tasks.models import ResourceGroup, Task
from tasks.models.task import OCCUPYING


def _count(which: Q) -> Any:
    """Count the tasks of each group in a subquery: they refer to it by name."""
    counted = Task.objects.filter(which, group_id=OuterRef("name")).order_by().values("group_id")
    return Coalesce(Subquery(counted.annotate(n=Count("pk")).values("n"), output_field=IntegerField()), 0)


@admin.register(ResourceGroup)
class ResourceGroupAdmin(admin.ModelAdmin):
    list_display = ("name", "kind", "use", "enabled", "health", "tasks")
    list_filter = ("kind", "enabled")
    search_fields = ("name", "description")
    list_per_page = 50
    fieldsets = (
        (None, {"fields": ("name", "kind", "capacity", "enabled", "description")}),
        ("Now", {"fields": ("use", "health", "tasks")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ResourceGroup]:
        groups = super().get_queryset(request)
        return groups.annotate(used=_count(Q(status__in=OCCUPYING)), all_tasks=_count(Q()))

    def get_readonly_fields(self, request: HttpRequest, obj: ResourceGroup | None = None) -> list[str]:
        # Tasks refer to a group by its name: another name would be another group.
        return [*(["name", "kind"] if obj else []), "use", "health", "tasks"]

    @admin.display(description="in use")
    def use(self, group: ResourceGroup) -> str:
        return f"{getattr(group, 'used', 0)} of {group.capacity}" if group.pk else "-"

    @admin.display(description="engine")
    def health(self, group: ResourceGroup) -> str:
        if group.reachable is None:
            return "not looked at yet"
        if group.reachable:
            return f"answers ({group.answered_at:%Y-%m-%d %H:%M:%S} UTC)" if group.answered_at else "answers"
        seen = f" Last answer {group.answered_at:%Y-%m-%d %H:%M:%S} UTC." if group.answered_at else ""
        return f"does not answer: {group.problem}{seen}"

    @admin.display(description="tasks")
    def tasks(self, group: ResourceGroup) -> str:
        if not group.pk:
            return "-"
        address = reverse("admin:tasks_task_changelist") + f"?group__name={group.name}"
        return format_html('<a href="{}">{}</a>', address, getattr(group, "all_tasks", 0))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        to_delete, count, permissions, protected = super().get_deleted_objects(objs, request)
        names = [group.name for group in objs]
        return [*to_delete, *affected(Q(group__name__in=names))], count, permissions, protected
