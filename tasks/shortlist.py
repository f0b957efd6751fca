"""Tasks that answer a question with no index in the order of the list, out of a million as out of a hundred.

Few that match are found by an index of their own and then sorted. Where many do, walking the list in its order soon
meets fifty, while sorting all would be slow. How many there are is known only after asking: so the index is asked
first, up to a limit, and what it answers decides.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final

from django.core.cache import caches
from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from tasks.models import Task

#: Up to so many are sorted. Measured with a million tasks, of which so many match: a walk takes about as long.
FEW: Final = 5_000
#: Up to so many are looked up, which is where counts end.
_MOST: Final = 10_000
#: Seconds for which a question is not asked again: page, counts and facets all ask it, and the polls of others.
_FRESH: Final = 1


def narrow(
    tasks: QuerySet[Task],
    question: str,
    look_up: Callable[[int], Iterable[int]],
    walk: Callable[[QuerySet[Task]], QuerySet[Task]],
    *,
    in_order: bool,
) -> QuerySet[Task]:
    """Return those of `tasks` that answer `question`.

    `look_up(most)` returns the keys of `most` of them at most; `walk` filters by looking at each. `in_order`: will the
    first of them be wanted, in the list's order, or just any?
    """
    name = f"shortlist:{blake2b(question.encode(), digest_size=12).hexdigest()}"
    keys: array[int] = caches["answers"].get_or_set(name, lambda: array("q", look_up(_MOST + 1)), _FRESH)
    return walk(tasks) if len(keys) > (FEW if in_order else _MOST) else tasks.filter(pk__in=_listed(keys))


def _listed(keys: array[int]) -> RawSQL:
    """One parameter, however many keys there are."""
    if connection.vendor == "sqlite":
        return RawSQL("SELECT value FROM json_each(%s)", [json.dumps(keys.tolist())])
    return RawSQL("SELECT unnest(%s::bigint[])", [keys.tolist()])
