"""Which tasks share an object: those that a missing one concerns, too."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from tasks.models import Task
from tasks.statuses import Status


def sharing(task: Task) -> QuerySet[Task]:
    """Return the other submitted tasks that need what `task` found missing, by name; none where nothing is missing."""
    if task.status != Status.DETECTION_EXCEPTION:
        return Task.objects.none()
    return Task.objects.submitted().filter(_needing(task)).exclude(pk=task.pk).order_by("name", "pk")


def _needing(task: Task) -> Q:
    if task.fault_code == "group_missing":
        return Q(group=task.group_id)
    subject = task.fault_subject.lower()
    for name in (task.source_connection_id, task.target_connection_id):
        if subject == f"connection {name}".lower():
            return Q(source_connection=name) | Q(target_connection=name)
    ends = (
        (task.source_connection_id, task.source_object),
        (task.target_connection_id, task.target_object),
    )
    for connection, name in ends:
        if name.lower() in subject and str(connection).lower() in subject:
            return Q(source_connection=connection, source_object=name) | Q(
                target_connection=connection, target_object=name
            )
    return Q(pk__in=[])
