"""One operation for many tasks: what it would do, its record, and what people may do about one under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, Subquery
from django.utils import timezone

from tasks.guards import Refusal, load_facts, refusal
from tasks.impact import duplicates
from tasks.matrix import MATRIX
from tasks.models import Batch, BatchItem, ItemState, Snapshot, Task, WriteMode
from tasks.operations import Actor
from tasks.statuses import Operation
from tasks.wakeup import wake_workers

#: Tasks of one batch.
MOST: Final = 10_000
_CHUNK: Final = 1_000


@dataclass(slots=True)
class Forecast:
    """What an operation would do to many tasks, as far as it is known now."""

    allowed: list[Task] = field(default_factory=list)
    refused: list[tuple[Task, Refusal]] = field(default_factory=list)
    replayed: int = 0  # rows written a second time by a later Continue, or by this one
    doubled: int = 0  # of those: duplicates in append targets
    snapshots: int = 0  # discarded
    without_snapshot: int = 0  # tasks that could not be continued afterwards

    @property
    def reasons(self) -> list[tuple[str, int, list[Task]]]:
        """Why how many are refused, the most frequent first, with some of them."""
        counted = Counter(_reason(why) for _, why in self.refused)
        return [
            (reason, count, [task for task, why in self.refused if _reason(why) == reason][:5])
            for reason, count in counted.most_common(10)
        ]


def _reason(why: Refusal) -> str:
    return f"{why.sentence} {f'Wait for {why.wait_for}.' if why.wait_for else ''}".strip()


def forecast(operation: Operation, tasks: Sequence[Task], may: Callable[[str], bool]) -> Forecast:
    """Split `tasks` into those that allow `operation` now and those that don't, and add up what it means."""
    found = Forecast()
    taken: Counter[str] = Counter()  # places that those before take in each group
    for begin in range(0, len(tasks), _CHUNK):
        chunk = tasks[begin : begin + _CHUNK]
        facts = load_facts(chunk, may)
        for task in chunk:
            its = facts[task.pk]
            if its.places is not None:
                its = replace(its, places=its.places._replace(used=its.places.used + taken[its.group_name]))
            refused = refusal(operation, its)
            if refused is None:
                found.allowed.append(task)
                taken[its.group_name] += MATRIX[operation].starts
            else:
                found.refused.append((task, refused))
        _add_up(operation, [task for task in found.allowed if task.pk in facts], found)
    return found


def _add_up(operation: Operation, tasks: list[Task], found: Forecast) -> None:
    if operation in (Operation.FORCED_PAUSE, Operation.CONTINUE):
        newest = Snapshot.objects.filter(task=OuterRef("pk")).continuable()
        positions = Task.objects.filter(pk__in=[task.pk for task in tasks]).order_by()
        at = dict(positions.annotate(at=Subquery(newest.values("position")[:1])).values_list("pk", "at"))
        for task in tasks:
            if at.get(task.pk) is None:
                found.without_snapshot += 1
            elif not task.exactly_once:
                rows = max(0, task.high_water - at[task.pk])
                found.replayed += rows
                found.doubled += duplicates(task, rows) if task.write_mode == WriteMode.APPEND else 0
    elif operation in (Operation.STOP, Operation.RUN):
        found.snapshots += Snapshot.objects.filter(task__in=[task.pk for task in tasks]).count()


class BatchRefused(Exception):
    """Nothing was written down; the sentence says why, and what to do."""


def create(
    operation: Operation,
    tasks: Iterable[Task],
    *,
    actor: Actor,
    key: str,
    refused: Iterable[tuple[Task, Refusal]] = (),
    reason: str = "",
    start_position: str = "",
    concurrency: int = 10,
    stop_on_error: bool = False,
    retry_of: Batch | None = None,
) -> Batch:
    """Write a batch down; a worker takes it from there. The same `key` of the same person is the same batch.

    `refused` are on record with their reason from the start, and not asked for. Raises BatchRefused.
    """
    now = timezone.now()
    earlier = earlier_batch(operation, actor, key)
    if earlier is not None:
        return earlier
    try:
        with transaction.atomic():
            batch = Batch.objects.create(
                operation=operation,
                actor_id=actor.user_id,
                actor_name=actor.name,
                reason=reason,
                start_position=start_position,
                key=key,
                concurrency=concurrency,
                stop_on_error=stop_on_error,
                retry_of=retry_of,
                created_at=now,
            )
            items = [BatchItem(batch=batch, task=task, task_name=task.name) for task in tasks]
            for task, why in refused:
                told = {"state": ItemState.REFUSED, "message": why.sentence, "settled_at": now}
                items.append(BatchItem(batch=batch, task=task, task_name=task.name, **told))
            BatchItem.objects.bulk_create(items, batch_size=_CHUNK)
            wake_workers()
    except IntegrityError:
        earlier = earlier_batch(operation, actor, key)
        if earlier is not None:
            return earlier  # a double click: the other one was first
        raise BatchRefused("A task was deleted at this moment. Nothing was asked for yet: look again.") from None
    return batch


def earlier_batch(operation: Operation, actor: Actor, key: str) -> Batch | None:
    """Return the batch that a form has made already. Raises BatchRefused where it was for another operation."""
    earlier = Batch.objects.filter(actor_id=actor.user_id, key=key).first()
    if earlier is not None and earlier.operation != operation:
        raise BatchRefused(f"This form was used for {earlier.get_operation_display()} already. Open it anew.")
    return earlier


def cancel(batch: Batch, actor_name: str) -> int:
    """Leave out what has not begun; what has goes on to its end. Return how many were left out."""
    now = timezone.now()
    with transaction.atomic():
        Batch.objects.filter(pk=batch.pk, finished_at__isnull=True, cancelled_at__isnull=True).update(
            cancelled_at=now, cancelled_by=actor_name
        )
        return leave_out(batch, f"Cancelled by {actor_name}.", now)


def leave_out(batch: Batch, why: str, now: Any) -> int:
    """Give up the items that wait. Each that a worker took meanwhile is no longer among them."""
    waiting = batch.items.filter(state=ItemState.WAITING)
    return waiting.update(state=ItemState.CANCELLED, message=why, settled_at=now)


def counts_of_many(found: Iterable[Batch]) -> dict[int, dict[ItemState, int]]:
    """Return for each batch, by key, how many of its items stand where, in one query."""
    keys = [batch.pk for batch in found]
    rows = BatchItem.objects.filter(batch__in=keys).order_by().values_list("batch", "state")
    counted = {(key, state): n for key, state, n in rows.annotate(n=Count("pk"))}
    return {key: {state: counted.get((key, state.value), 0) for state in ItemState} for key in keys}


def counts(batch: Batch) -> dict[ItemState, int]:
    """Return how many items stand where, in the order in which they come."""
    return counts_of_many([batch])[batch.pk]
