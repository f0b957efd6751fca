"""Tasks that answer a question with no index in the order of the list, out of a million as out of a hundred.

Which they are is looked up by an index of the question's own, up to a limit. Of those a few are sorted. Of more the
list is walked in its order until a page is full, each task looked up among them: measured with a million tasks this
takes 2 ms for 10,000 of them, sorting those 20 to 90, and 0.1 s where they all stand at the list's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b
from operator import or_
from typing import Final

from django.core.cache import caches
from django.db import connection
from django.db.models import BooleanField, Case, Q, QuerySet, Value, When
from django.db.models.expressions import RawSQL

from tasks.models import Task

#: Up to so many are sorted: a walk meets them too seldom. Measured with a million tasks: here both take as long.
FEW: Final = 2_000
#: Up to so many are looked up, which is where counts end.
MOST: Final = 10_000
#: Seconds for which a question is not asked again: page, counts and facets all ask it, and the polls of others.
_FRESH: Final = 1


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of tasks, as the text that they are sent as: thousands of numbers took longer to write than to look up."""

    count: int
    listed: str

    def __add__(self, other: Keys) -> Keys:
        return Keys(self.count + other.count, ",".join(filter(None, (self.listed, other.listed))))

    def query(self) -> RawSQL:
        if connection.vendor == "sqlite":
            return RawSQL("SELECT value FROM json_each(%s)", [f"[{self.listed}]"])
        return RawSQL("SELECT unnest(%s::bigint[])", [f"{{{self.listed}}}"])


NONE: Final = Keys(0, "")


def known(question: str, look_up: Callable[[int], Iterable[int]]) -> Keys | None:
    """Return all that answer `question`; None where they are more than MOST. `look_up(n)` returns n of them at most."""

    def read() -> tuple[Keys | None]:
        keys = list(look_up(MOST + 1))
        return (Keys(len(keys), ",".join(map(str, keys))) if len(keys) <= MOST else None,)

    name = f"shortlist:{blake2b(question.encode(), digest_size=12).hexdigest()}"
    found: tuple[Keys | None] = caches["answers"].get_or_set(name, read, _FRESH)
    return found[0]


def among(tasks: QuerySet[Task], keys: Keys, *, in_order: bool) -> QuerySet[Task]:
    """Return those of `tasks` that are among `keys`. `in_order`: will the first of them be wanted, or just any?"""
    if in_order and keys.count > FEW:
        return walked(tasks, Q(pk__in=keys.query()))
    return tasks.filter(pk__in=keys.query())


def walked(tasks: QuerySet[Task], *conditions: Q) -> QuerySet[Task]:
    """Return those of `tasks` that meet any of `conditions`, found by looking at each.

    A CASE is no condition to find an index for: a database leaves the list's order for one, and PostgreSQL took 5 ms to
    see that so many conditions have none.
    """
    met = When(reduce(or_, conditions), then=Value(True))
    return tasks.filter(Case(met, default=Value(False), output_field=BooleanField()))
