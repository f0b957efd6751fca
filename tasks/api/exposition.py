"""/metrics: what Prometheus reads. Needs a token, or a session, of somebody who may view tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from tasks.alerts.finding import open_by_severity
from tasks.api.auth import api
from tasks.models import (
    NoticeState,
    Notification,
    OperationRequest,
    OperationTotal,
    ResourceGroup,
    Severity,
    Task,
    WorkerHeartbeat,
)
from tasks.statuses import Outcome, Status

#: Tasks of which each is told; those with the longest names of all would still fit in what Prometheus takes.
MOST_TASKS: Final = 5_000

#: Columns of a task -> (name, what it is, counter or gauge).
_OF_A_TASK: Final = (
    ("rows_read", "rows_read", "Rows read by the present run, replays counted.", CounterMetricFamily),
    ("rows_written", "rows_written", "Rows written by the present run, replays counted.", CounterMetricFamily),
    ("rows_dirty", "dirty_rows", "Rows of the present run that could not be written.", CounterMetricFamily),
    ("rows_replayed", "replayed_rows", "Rows that the present run processed again.", CounterMetricFamily),
    ("bytes_read", "read_bytes", "Bytes read by the present run.", CounterMetricFamily),
    ("bytes_written", "written_bytes", "Bytes written by the present run.", CounterMetricFamily),
    ("restarts", "restarts", "Automatic restarts of the present run.", CounterMetricFamily),
    ("lag_seconds", "lag_seconds", "How long it has been behind its source.", GaugeMetricFamily),
    ("lag_rows", "lag_rows", "Rows waiting in the source, at most 100,001 counted.", GaugeMetricFamily),
)


class Console:
    """A collector of what the database shows at this moment; a constant number of queries."""

    def collect(self) -> Iterator[Metric]:
        yield from _tasks_by_status()
        yield from _operations()
        yield from _workers()
        yield from _engines()
        yield from _alerts()
        if settings.OPS_METRICS_TASKS:
            yield from _each_task()


@api("GET")
def metrics(request: HttpRequest) -> HttpResponse:
    registry = CollectorRegistry()
    registry.register(Console())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _tasks_by_status() -> Iterator[Metric]:
    counted = dict(Task.objects.submitted().order_by("status").values_list("status").annotate(n=Count("pk")))
    family = GaugeMetricFamily("opsconsole_tasks", "Submitted tasks by status.", labels=["status"])
    for status in Status:
        family.add_metric([status.value], counted.get(status.value, 0))
    yield family


def _operations() -> Iterator[Metric]:
    ended = CounterMetricFamily(
        "opsconsole_operations", "Requests for an operation, by how they ended.", labels=["operation", "outcome"]
    )
    took = HistogramMetricFamily(
        "opsconsole_operation_seconds",
        "From the request for an operation to its end, refusals left out.",
        labels=["operation", "outcome"],
    )
    for total in OperationTotal.objects.order_by("operation", "outcome"):
        labels = [total.operation, total.outcome]
        ended.add_metric(labels, total.count)
        if total.outcome != Outcome.REFUSED:
            buckets = sorted((float(most), n) for most, n in total.within.items())
            named = [(f"{most:g}", n) for most, n in buckets]
            took.add_metric(labels, [*named, ("+Inf", total.count)], total.seconds)
    now = timezone.now()
    unsettled = OperationRequest.objects.filter(outcome__in=(Outcome.OPEN, Outcome.UNKNOWN)).aggregate(
        open=Count("pk", filter=Q(outcome=Outcome.OPEN)),
        overdue=Count("pk", filter=Q(outcome=Outcome.OPEN, deadline_at__lt=now)),
        unknown=Count("pk", filter=Q(outcome=Outcome.UNKNOWN)),
    )
    family = GaugeMetricFamily(
        "opsconsole_operations_unsettled", "Operations in progress, past their limit, or unknown.", labels=["state"]
    )
    for state, count in unsettled.items():
        family.add_metric([state], count)
    yield from (ended, took, family)


def _workers() -> Iterator[Metric]:
    now = timezone.now()
    beats = WorkerHeartbeat.objects.aggregate(n=Count("pk"), newest=Max("beat_at"))
    yield GaugeMetricFamily("opsconsole_workers", "Workers on record, silent ones too.", value=beats["n"])
    labels = ["worker"]
    age = GaugeMetricFamily("opsconsole_worker_beat_age_seconds", "Since the worker's last beat.", labels=labels)
    loop = GaugeMetricFamily(
        "opsconsole_worker_pass_seconds", "The slowest pass of the loop between its last two beats.", labels=labels
    )
    in_hand = GaugeMetricFamily("opsconsole_worker_tasks", "Tasks that the worker has in hand.", labels=labels)
    for worker in WorkerHeartbeat.objects.order_by("-beat_at", "pk")[:100]:
        name = [worker.name]
        age.add_metric(name, (now - worker.beat_at).total_seconds())
        if worker.pass_ms is not None:
            loop.add_metric(name, worker.pass_ms / 1000)
        if worker.in_hand is not None:
            in_hand.add_metric(name, worker.in_hand)
    yield from (age, loop, in_hand)


def _engines() -> Iterator[Metric]:
    labels = ["group"]
    answers = GaugeMetricFamily("opsconsole_engine_reachable", "1: the group's engine answers.", labels=labels)
    capacity = GaugeMetricFamily("opsconsole_group_capacity", "Tasks that may run at once.", labels=labels)
    used = GaugeMetricFamily("opsconsole_group_tasks", "Tasks that hold a place of the group.", labels=labels)
    groups = list(ResourceGroup.objects.order_by("name", "pk")[:1_000])
    occupying = Task.objects.filter(status__in=(Status.RUNNING, Status.OPERATING)).order_by("group")
    counted = dict(occupying.values_list("group").annotate(n=Count("pk")))
    for group in groups:
        if group.reachable is not None:
            answers.add_metric([group.name], int(group.reachable))
        capacity.add_metric([group.name], group.capacity)
        used.add_metric([group.name], counted.get(group.name, 0))
    yield from (answers, capacity, used)


def _alerts() -> Iterator[Metric]:
    counted = open_by_severity()
    family = GaugeMetricFamily("opsconsole_alerts_open", "Open alerts by severity.", labels=["severity"])
    for severity in Severity:
        family.add_metric([severity.value], counted.get(severity, 0))
    yield family
    known = dict(Notification.objects.order_by().values_list("state").annotate(n=Count("pk")))
    messages = GaugeMetricFamily("opsconsole_messages", "Messages of alerts on record, by state.", labels=["state"])
    for state in NoticeState:
        messages.add_metric([state.value], known.get(state.value, 0))
    yield messages


def _each_task() -> Iterator[Metric]:
    tasks: list[dict[str, Any]] = list(
        Task.objects.submitted()
        .filter(run__isnull=False)
        .order_by("name", "pk")
        .values("name", "group_id", "snapshot_at", *(column for column, *_ in _OF_A_TASK))[: MOST_TASKS + 1]
    )
    left_out = GaugeMetricFamily("opsconsole_tasks_left_out", "1: there are more tasks than are told of one by one.")
    left_out.add_metric([], int(len(tasks) > MOST_TASKS))
    yield left_out
    labels = ["task", "group"]
    for column, name, words, kind in _OF_A_TASK:
        family = kind(f"opsconsole_task_{name}", words, labels=labels)
        for task in tasks[:MOST_TASKS]:
            if task[column] is not None:
                family.add_metric([task["name"], task["group_id"]], task[column])
        yield family
    now = timezone.now()
    age = GaugeMetricFamily("opsconsole_task_snapshot_age_seconds", "Age of the newest snapshot.", labels=labels)
    for task in tasks[:MOST_TASKS]:
        if task["snapshot_at"] is not None:
            age.add_metric([task["name"], task["group_id"]], (now - task["snapshot_at"]).total_seconds())
    yield age
