"""accept(): the one door through which every operation comes, whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from tasks import guards
from tasks.guards import Refusal
from tasks.models import OperationRequest, ResourceGroup, Task
from tasks.statuses import Channel, Operation, Outcome, Status
from tasks.transitions import MovedOn, move
from tasks.wakeup import wake_workers


class OperationRefused(Exception):
    """The operation was not accepted. `refusal` says why; `request` is its record in the history, if any."""

    def __init__(self, refusal: Refusal, request: OperationRequest | None = None) -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal
        self.request = request


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, and what they may do."""

    name: str
    user_id: int | None = None
    may: Callable[[str], bool] = lambda permission: True

    @classmethod
    def of(cls, user: Any) -> Actor:
        """Return the actor for a signed-in user."""
        return cls(name=user.get_username(), user_id=user.pk, may=user.has_perm)


SYSTEM = Actor(name="system")


def accept(
    *,
    task_id: int,
    operation: Operation,
    actor: Actor,
    channel: Channel,
    reason: str = "",
    key: str = "",
    start_position: str = "",
    from_snapshot: str = "",
) -> OperationRequest:
    """Accept `operation` on a task: its status becomes Operating at once, and a worker takes it from there.

    The same `key` again returns the first answer again, refusals included; a key that was used for another operation
    on this task is refused ("key_reused"). Raises OperationRefused, and Task.DoesNotExist for an unknown task.
    """
    asked = {
        "operation": operation,
        "actor_id": actor.user_id,
        "actor_name": actor.name,
        "channel": channel,
        "reason": reason.strip(),
        "key": key,
        "start_position": start_position,
        "from_snapshot": from_snapshot,
    }
    try:
        with transaction.atomic():
            task = Task.objects.select_for_update(of=("self",)).select_related("run").get(pk=task_id)
            request = _earlier(task, key) or _decide(task, operation, actor, asked)
    except (MovedOn, IntegrityError):
        # Another process was first between the look and the write (a database without row locks): look again.
        request = _second_look(task_id, operation, actor, asked)
    if request.operation != operation:
        earlier = Operation(request.operation).label
        raise OperationRefused(Refusal("key_reused", f"This key was used for {earlier} before: give each its own."))
    if request.outcome == Outcome.REFUSED:
        raise OperationRefused(_refusal_of(request), request)
    return request


def _second_look(task_id: int, operation: Operation, actor: Actor, asked: dict[str, Any]) -> OperationRequest:
    with transaction.atomic():
        task = Task.objects.select_for_update(of=("self",)).select_related("run").get(pk=task_id)
        return _earlier(task, asked["key"]) or _decide(task, operation, actor, asked)


def _earlier(task: Task, key: str) -> OperationRequest | None:
    return OperationRequest.objects.filter(task=task, key=key).first() if key else None


def _decide(task: Task, operation: Operation, actor: Actor, asked: dict[str, Any]) -> OperationRequest:
    # Two tasks may race for the last place of a group: its row is the lock.
    ResourceGroup.objects.select_for_update().filter(name=task.group_id).first()
    facts = guards.load_facts([task], actor.may)[task.pk]
    refused = guards.refusal(operation, facts) or guards.wrong_snapshot(operation, task, asked["from_snapshot"])
    if refused is None and actor.name != SYSTEM.name:
        refused = guards.without_reason(operation, asked["reason"])
    now = timezone.now()
    asked |= {"task": task, "from_status": task.status, "from_paused_how": task.paused_how, "requested_at": now}
    if refused is not None:
        return OperationRequest.objects.create(
            **asked,
            deadline_at=now,
            settled_at=now,
            outcome=Outcome.REFUSED,
            code=refused.code,
            message=refused.sentence,
            allowed=[allowed.value for allowed in refused.allowed],
            wait_for=refused.wait_for,
        )
    seconds = task.time_limits.get(operation.value) or settings.OPS_DEADLINES[operation.value]
    request = OperationRequest.objects.create(**asked, deadline_at=now + timedelta(seconds=seconds))
    move(
        task,
        expected=Status(task.status),
        to=Status.OPERATING,
        actor_name=actor.name,
        reason=f"{operation.label} requested" + (f": {request.reason}" if request.reason else ""),
        request=request,
        last_request=request,
    )
    wake_workers()
    return request


def _refusal_of(request: OperationRequest) -> Refusal:
    allowed = tuple(Operation(value) for value in request.allowed)
    return Refusal(request.code, request.message, allowed, request.wait_for)
