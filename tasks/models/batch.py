"""One operation for many tasks: asked for at once, carried out a few at a time by the worker."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse

from tasks.models.fields import one_of
from tasks.models.operation import OperationRequest
from tasks.models.task import StartPosition, Task
from tasks.statuses import Operation, Tone


class Batch(models.Model):
    """Unfinished until each of its items has an outcome. The actor's rights are looked at again for each task."""

    operation = models.CharField(max_length=20, choices=Operation.choices)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=150)
    reason = models.TextField(blank=True)
    start_position = models.CharField(max_length=10, blank=True)  # of Runs that override the tasks' own
    key = models.CharField(max_length=100)  # of the form: sent twice, it is one batch
    concurrency = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(200)], help_text="Tasks in progress at once."
    )
    stop_on_error = models.BooleanField(default=False)
    retry_of = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="retries")
    created_at = models.DateTimeField()
    cancelled_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(max_length=150, blank=True)
    stopped_because = models.TextField(blank=True)  # what made stop_on_error leave out the rest
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "batches"
        constraints = [
            one_of("operation", Operation, name="batch_operation_known"),
            one_of("start_position", StartPosition, name="batch_start_position_known", blank=True),
            models.UniqueConstraint(fields=["actor", "key"], name="batch_once_a_form"),
            models.CheckConstraint(condition=Q(concurrency__gte=1), name="batch_concurrency_positive"),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(finished_at__isnull=True), name="batch_unfinished")]

    def __str__(self) -> str:
        return f"{self.get_operation_display()} of many by {self.actor_name}"

    def get_absolute_url(self) -> str:
        return reverse("tasks:batch", args=[self.pk])


class ItemState(models.TextChoices):
    """Where one task of a batch stands."""

    WAITING = "waiting", "waiting"
    ASKED = "asked", "in progress"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    REFUSED = "refused", "refused"
    UNKNOWN = "unknown", "unknown"  # its engine did not answer by the deadline; it may still change
    CANCELLED = "cancelled", "not begun"

    @property
    def tone(self) -> Tone:
        return _TONES[self]


_TONES = {
    ItemState.WAITING: Tone.NEUTRAL,
    ItemState.ASKED: Tone.PROGRESS,
    ItemState.SUCCEEDED: Tone.GOOD,
    ItemState.FAILED: Tone.BAD,
    ItemState.REFUSED: Tone.HELD,
    ItemState.UNKNOWN: Tone.BAD,
    ItemState.CANCELLED: Tone.NEUTRAL,
}
#: What "retry the failed" asks for again.
RETRIED = (ItemState.FAILED, ItemState.REFUSED, ItemState.CANCELLED)


class BatchItem(models.Model):
    """One task of a batch. `task` is null once it was deleted; its name stays."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="items", db_index=False)
    task = models.ForeignKey(Task, null=True, on_delete=models.SET_NULL, related_name="+")
    task_name = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.WAITING)
    request = models.ForeignKey(OperationRequest, null=True, on_delete=models.SET_NULL, related_name="+")
    message = models.TextField(blank=True)
    asked_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "task"], name="batch_item_once"),
            one_of("state", ItemState, name="batch_item_state_known"),
        ]
        indexes = [models.Index(fields=["batch", "state", "id"], name="batch_item_by_state")]

    def __str__(self) -> str:
        return f"{self.task_name}: {self.state}"
