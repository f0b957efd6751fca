"""Lines of runs' logs: record, find, prune.

A search is words that have to be in a line, joined by AND (which may be left out), OR and NOT, with parentheses, and
with quotes around what holds spaces: `timeout AND NOT "trying again"`. Case does not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from tasks.models import LogLine, Run

MOST_WORDS: Final = 20
_TOKEN: Final = re.compile(r'\s*(?:"([^"]*)"|([()])|([^\s()"]+))')


@transaction.atomic
def record(run: Run, lines: Sequence[LogLine]) -> None:
    """Keep `lines` of `run`, oldest first; again is no harm. Of a run that has ended nothing is kept."""
    if not lines:
        return
    newest = lines[-1].n
    if Run.objects.filter(pk=run.pk, ended_at__isnull=True, log_n__lt=newest).update(log_n=newest) != 1:
        return
    LogLine.objects.bulk_create(lines, ignore_conflicts=True)
    _delete(LogLine.objects.filter(run=run, n__lte=newest - settings.OPS_LOG_LINES))


def discard(run: Run) -> None:
    """Delete the lines of `run`."""
    _delete(LogLine.objects.filter(run=run))


def prune() -> None:
    """Delete the lines that are older than they are kept."""
    _delete(LogLine.objects.filter(at__lt=timezone.now() - timedelta(days=settings.OPS_LOG_DAYS)))


def _delete(lines: QuerySet[Any]) -> None:
    lines._raw_delete(lines.db)


def find(
    run: Run, *, levels: Iterable[str] = (), search: str = "", begin: Any = None, end: Any = None
) -> QuerySet[LogLine]:
    """Return the lines of `run` that match, unordered. Raises ValueError, whose text says what is wrong."""
    lines = LogLine.objects.filter(run=run)
    if levels := list(levels):
        lines = lines.filter(level__in=levels)
    if begin is not None:
        lines = lines.filter(at__gte=begin)
    if end is not None:
        lines = lines.filter(at__lte=end)
    return lines.filter(condition(search))


def condition(search: str) -> Q:
    """Return what a line has to be for `search`. Raises ValueError."""
    tokens = _tokens(search)
    if not tokens:
        return Q()
    found, rest = _any_of(tokens)
    if rest:
        raise ValueError(f"There is a {rest[0][1]} too many.")
    return found


_Token = tuple[str, str]  # (kind, text): a word, or one of ( ) AND OR NOT


def _tokens(search: str) -> list[_Token]:
    search = search.strip()
    if search.count('"') % 2:
        raise ValueError("A quotation mark is not closed.")
    tokens: list[_Token] = []
    for quoted, parenthesis, word in _TOKEN.findall(search):
        if parenthesis or word in ("AND", "OR", "NOT"):
            tokens.append((parenthesis or word, parenthesis or word))
        elif quoted or word:
            tokens.append(("word", quoted or word))
    if len(tokens) > MOST_WORDS:
        raise ValueError(f"A search has {MOST_WORDS} words at most.")
    return tokens


def _any_of(tokens: list[_Token]) -> tuple[Q, list[_Token]]:
    found, rest = _all_of(tokens)
    while rest and rest[0][0] == "OR":
        other, rest = _all_of(rest[1:])
        found |= other
    return found, rest


def _all_of(tokens: list[_Token]) -> tuple[Q, list[_Token]]:
    found, rest = _one_of(tokens)
    while rest and rest[0][0] not in ("OR", ")"):
        other, rest = _one_of(rest[1:] if rest[0][0] == "AND" else rest)
        found &= other
    return found, rest


def _one_of(tokens: list[_Token]) -> tuple[Q, list[_Token]]:
    if not tokens:
        raise ValueError("A word is missing at the end.")
    (kind, text), rest = tokens[0], tokens[1:]
    if kind == "NOT":
        found, rest = _one_of(rest)
        return ~found, rest
    if kind == "(":
        found, rest = _any_of(rest)
        if not rest or rest[0][0] != ")":
            raise ValueError("A ( is not closed.")
        return found, rest[1:]
    if kind != "word":
        raise ValueError(f"A word is missing before {text}.")
    return Q(text__icontains=text), rest
