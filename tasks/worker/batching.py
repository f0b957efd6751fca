"""Carry batches on: ask for the next tasks, a few at once, and write down what became of each.

Several workers may do so at once, and each may die at any moment. Items are taken under the batch's lock and asked for
under a key of their own, so that accept() gives the first answer again to whoever asks a second time.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from tasks import batches
from tasks.models import Batch, BatchItem, ItemState, OperationRequest, Task
from tasks.operations import Actor, OperationRefused, accept
from tasks.statuses import Channel, Operation, Outcome

log = logging.getLogger(__name__)

#: An item that was taken and has no request after this long was left behind by a worker that died.
FORGOTTEN_AFTER: Final = timedelta(seconds=10)
#: Unfinished batches looked at in one pass; the next looks at those after them.
MOST: Final = 20
_SETTLED: Final = {
    Outcome.SUCCEEDED: ItemState.SUCCEEDED,
    Outcome.FAILED: ItemState.FAILED,
    Outcome.REFUSED: ItemState.REFUSED,
    Outcome.UNKNOWN: ItemState.UNKNOWN,
}
_WRONG: Final = (ItemState.FAILED, ItemState.REFUSED, ItemState.UNKNOWN)


#: The key of the last batch that this process looked at: long ones must not keep the others waiting.
_looked_up_to = 0


def carry_on() -> None:
    """Take one step of the unfinished batches, of each in turn where there are many."""
    global _looked_up_to
    unfinished = Batch.objects.filter(finished_at__isnull=True, pk__gt=_looked_up_to)
    found = list(unfinished.select_related("actor").order_by("pk")[:MOST])
    _looked_up_to = found[-1].pk if len(found) == MOST else 0
    for batch in found:
        _step(batch, timezone.now())


def _step(batch: Batch, now: datetime) -> None:
    _settle(batch, now)
    if batch.stop_on_error and not batch.stopped_because:
        _stop_on_error(batch, now)
    _ask(batch, now)
    open_items = batch.items.filter(state__in=(ItemState.WAITING, ItemState.ASKED))
    if not open_items.exists():
        Batch.objects.filter(pk=batch.pk, finished_at__isnull=True).update(finished_at=now)


def _settle(batch: Batch, now: datetime) -> None:
    """Write down what became of the items in progress. Each outcome is the request's: nothing is guessed."""
    asked = batch.items.filter(state=ItemState.ASKED, request__isnull=False).exclude(request__outcome=Outcome.OPEN)
    for item in asked.select_related("request").order_by("pk"):
        assert item.request is not None
        BatchItem.objects.filter(pk=item.pk, state=ItemState.ASKED).update(
            state=_SETTLED[Outcome(item.request.outcome)],
            message=item.request.message,
            settled_at=item.request.settled_at or now,
        )
    # A task that was deleted while it was in progress takes its request with it.
    lost = Q(asked_at__lt=now - FORGOTTEN_AFTER, task__isnull=True)
    batch.items.filter(lost, state=ItemState.ASKED).update(
        state=ItemState.FAILED, message="The task was deleted meanwhile.", settled_at=now
    )


def _stop_on_error(batch: Batch, now: datetime) -> None:
    # What was known to be refused before the batch began is no surprise.
    wrong = batch.items.filter(state__in=_WRONG, asked_at__isnull=False).order_by("settled_at", "pk").first()
    if wrong is None:
        return
    batch.stopped_because = f"{wrong.task_name}: {wrong.message}".strip()
    Batch.objects.filter(pk=batch.pk).update(stopped_because=batch.stopped_because)
    batches.leave_out(batch, f"Left out after {wrong.task_name} went wrong.", now)


def _ask(batch: Batch, now: datetime) -> None:
    """Ask for as many more as may be in progress at once."""
    forgotten = batch.items.filter(state=ItemState.ASKED, request__isnull=True, asked_at__lt=now - FORGOTTEN_AFTER)
    for item in forgotten.select_related("task").order_by("pk"):
        _ask_for(batch, item)
    for item in _take(batch):
        _ask_for(batch, item)


def _take(batch: Batch) -> list[BatchItem]:
    """Take as many of those that wait as may be begun. One worker at a time: two would count the same free places."""
    waiting = batch.items.filter(state=ItemState.WAITING)
    if not waiting.exists():
        return []
    with transaction.atomic():
        Batch.objects.select_for_update().get(pk=batch.pk)
        free = max(0, batch.concurrency - batch.items.filter(state=ItemState.ASKED).count())
        found = list(waiting.select_related("task").order_by("pk")[:free])
        # By compare-and-set all the same: whoever cancels does not ask for the lock.
        return [
            item for item in found if waiting.filter(pk=item.pk).update(state=ItemState.ASKED, asked_at=timezone.now())
        ]


def _ask_for(batch: Batch, item: BatchItem) -> None:
    if item.task is None:
        _close(item, ItemState.FAILED, "The task was deleted meanwhile.", None)
        return
    actor = batch.actor
    if actor is None or not actor.is_active:
        _close(item, ItemState.REFUSED, f"{batch.actor_name} may no longer sign in.", None)
        return
    try:
        request = accept(
            task_id=item.task.pk,
            operation=Operation(batch.operation),
            actor=Actor.of(actor),
            channel=Channel.PAGE,
            reason=batch.reason,
            key=f"batch-{batch.pk}-{item.pk}",
            start_position=batch.start_position if batch.operation == Operation.RUN else "",
        )
    except OperationRefused as refused:
        _close(item, ItemState.REFUSED, refused.refusal.sentence, refused.request)
    except Task.DoesNotExist:
        _close(item, ItemState.FAILED, "The task was deleted meanwhile.", None)
    else:
        BatchItem.objects.filter(pk=item.pk).update(request=request)


def _close(item: BatchItem, state: ItemState, message: str, request: OperationRequest | None) -> None:
    BatchItem.objects.filter(pk=item.pk, state=ItemState.ASKED).update(
        state=state, message=message, request=request, settled_at=timezone.now()
    )
