"""Which tasks a bulk dialog is about: as the list chose them, and then as somebody saw and agreed to them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from django.http import QueryDict

from tasks import batches
from tasks.filters import TaskFilter
from tasks.models import Batch, BatchItem, Task
from tasks.models.batch import RETRIED
from tasks.views.addresses import whole_number

#: Tasks that an address may name one by one; more are chosen by the list's query.
NAMED: Final = 500
_RANGES: Final = re.compile(r"\d{1,18}(-\d{1,18})?(,\d{1,18}(-\d{1,18})?)*", re.ASCII)
_CHUNK: Final = 1_000


def chosen(query: QueryDict) -> tuple[list[Task], bool]:
    """Return the tasks that `query` means, and whether there are more than one batch holds.

    Those named by `task` (repeated); those of the batch `again` that failed, were refused or left out; else all that
    the list's filter finds.
    """
    if "again" in query:
        items = BatchItem.objects.filter(batch=batch_again(query), state__in=RETRIED)
        return by_keys(items.values_list("task", flat=True)), False
    if "task" in query and not query.get("all"):
        # What can't be read names nothing: it must not mean everything.
        named = [pk for text in query.getlist("task") if (pk := whole_number(text)) is not None]
        return by_keys(named[:NAMED]), len(named) > NAMED
    if query.get("selected") and not query.get("all"):
        return [], False  # the list's form was sent without a tick
    tasks = TaskFilter.read(query).apply(Task.objects.submitted().select_related("group")).order_by("name", "pk")
    found = list(tasks.defer("source_options", "phase")[: batches.MOST + 1])
    return found[: batches.MOST], len(found) > batches.MOST


def batch_again(query: QueryDict) -> Batch | None:
    """Return the batch whose failed ones are to be asked for again."""
    return Batch.objects.filter(pk=whole_number(query.get("again", ""))).first()


def packed(tasks: Collection[Task]) -> str:
    """Write the keys of `tasks` for a form: "1-4,7". Ten thousand of them in a row are a dozen letters."""
    ranges: list[list[int]] = []
    for key in sorted(task.pk for task in tasks):
        if ranges and key == ranges[-1][1] + 1:
            ranges[-1][1] = key
        else:
            ranges.append([key, key])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)


def unpacked(text: str) -> list[int]:
    """Return the keys in `text`, none where it can't be read or holds more than a batch does."""
    if not _RANGES.fullmatch(text):
        return []
    keys: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) - int(first) + len(keys) >= batches.MOST:
            return []
        keys += range(int(first), int(last or first) + 1)
    return keys


def by_keys(keys: Collection[int | None]) -> list[Task]:
    """Return those of the tasks that are there, by name."""
    tasks = Task.objects.submitted().select_related("group")
    found = [task for chunk in _chunks(sorted({key for key in keys if key})) for task in tasks.filter(pk__in=chunk)]
    return sorted(found, key=lambda task: (task.name, task.pk))


def _chunks(keys: list[int]) -> Iterator[list[int]]:
    for begin in range(0, len(keys), _CHUNK):
        yield keys[begin : begin + _CHUNK]
