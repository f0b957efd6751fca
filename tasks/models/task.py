"""A configured synchronisation and what its engine last showed of it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from tasks.models.connection import Connection
from tasks.models.fields import name_validator, one_of
from tasks.models.resource_group import ResourceGroup
from tasks.statuses import PausedHow, Status

#: Statuses in which a task holds one of its group's places.
OCCUPYING = (Status.RUNNING, Status.OPERATING)
#: The time of what has not happened yet, where an order needs one.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class WriteMode(models.TextChoices):
    APPEND = "append", "Append"
    UPSERT = "upsert", "Upsert"


class StartPosition(models.TextChoices):
    EARLIEST = "earliest", "Earliest"
    LATEST = "latest", "Latest"


def by_name(to: type[models.Model], related_name: str) -> models.ForeignKey[Any, Any]:
    """Refer to `to` by its name, which stays when the object is deleted: that is a Detection exception.

    Null is never stored (see the constraints); it makes Django join LEFT, so that such tasks stay in the lists.
    """
    return models.ForeignKey(
        to,
        to_field="name",
        db_constraint=False,
        null=True,
        on_delete=models.DO_NOTHING,
        related_name=related_name,
        db_index=False,  # see the indexes of Task, that begin with it
    )


class TaskQuerySet(models.QuerySet["Task"]):
    def submitted(self) -> TaskQuerySet:
        return self.filter(submitted_at__isnull=False)


class Task(models.Model):
    """Only `tasks.transitions.move` writes `status`; only the worker writes what the engine showed."""

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    description = models.TextField(blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="owned_tasks",
        db_index=False,
    )
    submitted_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    # What to do.
    group = by_name(ResourceGroup, "tasks")
    source_connection = by_name(Connection, "read_by")
    source_object = models.CharField(max_length=255)
    source_options = models.JSONField(default=dict, blank=True)
    target_connection = by_name(Connection, "written_by")
    target_object = models.CharField(max_length=255)
    write_mode = models.CharField(max_length=10, choices=WriteMode.choices, default=WriteMode.APPEND)
    target_key = models.JSONField(default=list, blank=True)
    start_position = models.CharField(max_length=10, choices=StartPosition.choices, default=StartPosition.EARLIEST)
    snapshot_interval = models.PositiveIntegerField(
        default=5, validators=[MinValueValidator(1), MaxValueValidator(86_400)], help_text="Seconds."
    )
    exactly_once = models.BooleanField(
        default=False,
        help_text="Continue from the target's own ledger instead of the snapshot, where the target has one.",
    )
    dirty_limit = models.PositiveIntegerField(
        default=100, help_text="More rows than this that can't be written end the run."
    )
    restart_limit = models.PositiveIntegerField(
        default=5, help_text="Automatic restarts in a row before the task is a Failure."
    )

    time_limits = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text='Seconds an operation may take, where the console\'s own limit does not suit: {"pause": 600}.',
    )

    # Where it stands: written by tasks.transitions alone.
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.INITIALIZE, editable=False)
    status_since = models.DateTimeField(auto_now_add=True)
    status_reason = models.TextField(blank=True, editable=False)
    paused_how = models.CharField(max_length=10, choices=PausedHow.choices, blank=True, editable=False)
    status_before = models.CharField(
        max_length=20, choices=Status.choices, blank=True, editable=False
    )  # of a Detection exception: what Re-detect returns to
    run = models.OneToOneField("Run", null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    last_request = models.ForeignKey(
        "OperationRequest", null=True, on_delete=models.SET_NULL, related_name="+", editable=False, db_index=False
    )

    # Asked for beside the operations: neither changes the status.
    snapshot_asked_at = models.DateTimeField(null=True, editable=False)

    # Which worker has it in hand. The number grows with each new lease: whoever lost one can't write under it.
    lease_owner = models.CharField(max_length=100, blank=True, editable=False)
    lease_number = models.BigIntegerField(default=0, db_default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    # Why it does not run as it should, and when it will be tried again.
    fault_code = models.CharField(max_length=50, blank=True, editable=False)
    fault_cause = models.TextField(blank=True, editable=False)
    fault_advice = models.TextField(blank=True, editable=False)
    fault_subject = models.TextField(blank=True, editable=False)
    missing_since = models.DateTimeField(null=True, editable=False)  # a configured object was first seen missing
    checked_at = models.DateTimeField(default=NEVER, db_default=NEVER, editable=False)  # its objects were looked for
    restart_at = models.DateTimeField(null=True, editable=False)
    restarts = models.PositiveIntegerField(default=0, editable=False)  # of this run
    restarts_in_row = models.PositiveIntegerField(default=0, editable=False)  # counts against restart_limit

    # What the engine last showed of the current run; nothing of it outlives Run or Stop.
    engine_state = models.CharField(max_length=20, blank=True, editable=False)
    observed_at = models.DateTimeField(null=True, editable=False)
    rows_read = models.BigIntegerField(default=0, editable=False)
    rows_written = models.BigIntegerField(default=0, editable=False)
    rows_dirty = models.BigIntegerField(default=0, editable=False)
    rows_replayed = models.BigIntegerField(default=0, editable=False)
    position = models.BigIntegerField(default=0, editable=False)
    high_water = models.BigIntegerField(default=0, editable=False)
    bytes_read = models.BigIntegerField(default=0, editable=False)
    bytes_written = models.BigIntegerField(default=0, editable=False)
    bytes_dirty = models.BigIntegerField(default=0, db_default=0, editable=False)
    offset_text = models.TextField(blank=True, editable=False)
    lag_seconds = models.FloatField(null=True, editable=False)
    lag_rows = models.BigIntegerField(null=True, editable=False)
    last_write_at = models.DateTimeField(null=True, editable=False)
    log_n = models.BigIntegerField(default=0, db_default=0, editable=False)  # the newest line that the engine has
    delivery_ms = models.FloatField(null=True, editable=False)  # the slowest lately, from read to committed
    event_lag_ms = models.FloatField(null=True, editable=False)  # the same from the event itself
    phase = models.JSONField(null=True, editable=False)  # name, done, total, unit, began_at, ended_at (epoch seconds)
    snapshot_at = models.DateTimeField(null=True, editable=False)  # the newest snapshot of the run
    snapshot_ms = models.FloatField(null=True, editable=False)
    snapshot_bytes = models.BigIntegerField(null=True, editable=False)
    snapshot_overdue_at = models.DateTimeField(null=True, editable=False)  # of one that writes until then without

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        permissions = [
            ("operate_task", "Can run, pause, force-pause, continue and re-detect tasks"),
            ("stop_task", "Can stop tasks, which discards their snapshots"),
        ]
        constraints = [
            one_of("status", Status, name="task_status_known"),
            one_of("status_before", Status, name="task_status_before_known", blank=True),
            one_of("paused_how", PausedHow, name="task_paused_how_known", blank=True),
            one_of("write_mode", WriteMode, name="task_write_mode_known"),
            one_of("start_position", StartPosition, name="task_start_position_known"),
            models.CheckConstraint(
                condition=(Q(status=Status.PAUSED) & ~Q(paused_how="")) | (~Q(status=Status.PAUSED) & Q(paused_how="")),
                name="task_paused_how_iff_paused",
            ),
            models.CheckConstraint(
                condition=(Q(status=Status.DETECTION_EXCEPTION) & ~Q(status_before=""))
                | (~Q(status=Status.DETECTION_EXCEPTION)),
                name="task_status_before_kept",
            ),
            models.CheckConstraint(
                condition=Q(status=Status.INITIALIZE) | Q(submitted_at__isnull=False), name="task_draft_never_ran"
            ),
            models.CheckConstraint(
                condition=Q(group__isnull=False)
                & Q(source_connection__isnull=False)
                & Q(target_connection__isnull=False),
                name="task_objects_named",
            ),
            models.CheckConstraint(condition=Q(snapshot_interval__gte=1), name="task_snapshot_interval_positive"),
            models.CheckConstraint(condition=Q(high_water__gte=F("position")), name="task_high_water_is_highest"),
            models.CheckConstraint(condition=~Q(name=""), name="task_name_given"),
        ]
        indexes = [
            # One for each order of the list (tasks.tables): its first page costs the same however many there are.
            models.Index(fields=["name", "id"], condition=Q(submitted_at__isnull=False), name="task_by_name"),
            models.Index(fields=["status", "name"], name="task_by_status"),
            models.Index(fields=["status", "status_since", "id"], name="task_in_need"),  # the overview's order
            models.Index(fields=["group", "name"], name="task_by_group"),
            models.Index(fields=["-status_since", "name", "id"], name="task_by_age"),
            models.Index(fields=["owner", "name"], name="task_by_owner"),
            models.Index(fields=["source_connection", "source_object", "name"], name="task_by_source"),
            models.Index(fields=["target_connection", "target_object", "name"], name="task_by_target"),
            models.Index(fields=["write_mode", "name"], name="task_by_mode"),
            models.Index(fields=["rows_read", "name"], name="task_by_rows_read"),
            models.Index(fields=["rows_written", "name"], name="task_by_rows_written"),
            models.Index(fields=["lag_seconds", "lag_rows", "name"], name="task_by_lag"),
            models.Index(fields=["last_request", "name"], name="task_by_last_request"),
            models.Index(
                fields=["name"],
                condition=Q(status=Status.INITIALIZE, submitted_at__isnull=False),
                name="task_never_run",
            ),
            models.Index(fields=["id"], condition=Q(status=Status.OPERATING), name="task_operating"),
            models.Index(fields=["id"], condition=Q(status=Status.RUNNING), name="task_running"),
            models.Index(fields=["restart_at"], condition=Q(restart_at__isnull=False), name="task_restart_due"),
            # Not a partial one: SQLite can't use those for a condition whose values are parameters.
            models.Index(fields=["group", "status"], name="task_places"),
            models.Index(
                fields=["checked_at", "id"],
                condition=~Q(status__in=OCCUPYING) & Q(submitted_at__isnull=False),
                name="task_check_due",
            ),
            models.Index(
                fields=["snapshot_asked_at"],
                condition=Q(snapshot_asked_at__isnull=False),
                name="task_snapshot_asked",
            ),
            models.Index(
                fields=["missing_since"],
                condition=Q(missing_since__isnull=False) & ~Q(status=Status.DETECTION_EXCEPTION),
                name="task_suspected",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("tasks:detail", args=[self.pk])
