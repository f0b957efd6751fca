"""What happened, to read: nothing here can be added, changed or deleted."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from tasks.models import OperationRequest, Run, Snapshot, StatusChange, WorkerHeartbeat


class ReadOnlyAdmin(admin.ModelAdmin):
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(StatusChange)
class StatusChangeAdmin(ReadOnlyAdmin):
    list_display = ("at", "task", "from_status", "to_status", "actor_name", "reason")
    list_filter = ("to_status",)
    list_select_related = ("task",)
    search_fields = ("task__name", "actor_name", "reason")


@admin.register(OperationRequest)
class OperationRequestAdmin(ReadOnlyAdmin):
    list_display = ("requested_at", "task", "operation", "actor_name", "channel", "outcome", "message")
    list_filter = ("operation", "outcome", "channel")
    list_select_related = ("task",)
    search_fields = ("task__name", "actor_name", "reason", "message")


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = ("taken_at", "task", "kind", "epoch", "offset_text", "position", "unusable")
    list_filter = ("kind",)
    list_select_related = ("task",)
    search_fields = ("task__name",)


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ("task", "number", "epoch", "engine", "started_at", "started_by", "ended_at", "end_reason")
    list_select_related = ("task",)
    search_fields = ("task__name",)


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("name", "pid", "started_at", "beat_at")
