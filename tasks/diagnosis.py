"""Known causes, as the lines of a log tell them, and what to do: one table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tasks.models import LogLine


@dataclass(frozen=True, slots=True)
class Cause:
    code: str
    label: str
    advice: str
    pattern: re.Pattern[str]


def _cause(code: str, label: str, advice: str, pattern: str) -> Cause:
    return Cause(code, label, advice, re.compile(pattern, re.IGNORECASE))


#: The first that matches a line is its cause: the more exact ones stand first.
CAUSES: Final = (
    _cause(
        "offset_expired",
        "The source no longer has the rows after the offset",
        "Continue can't succeed. Run starts anew from a position that you choose; have the source keep its log longer.",
        r"rotated away|offset.{0,20}(expired|out of range)|log (was )?purged|wal.{0,30}removed|no longer available",
    ),
    _cause(
        "source_truncated",
        "The source was truncated or rewritten",
        "Rows may be lost. Run reads it anew from a position that you choose.",
        r"truncated or rewritten|header_changed|begins with other columns",
    ),
    _cause(
        "disk_full",
        "A disk is full",
        "Make room on the disk that the line names; the task continues by itself, or by Continue.",
        r"disk (of .{1,100} )?is full|no space left|database or disk is full|disk quota",
    ),
    _cause(
        "permission",
        "A right is lacking",
        "Grant it to the user of the connection, then Continue.",
        r"permission denied|lacks the right|the right to use|access denied|read-?only|not permitted",
    ),
    _cause(
        "login",
        "The server does not let the user in",
        "Correct user, password or the server's rules in the connection, then Continue.",
        r"does not let (user|the user)|authentication failed|login_refused|password authentication",
    ),
    _cause(
        "missing",
        "An object does not exist",
        "Create it or correct its name, then Re-detect.",
        r"does not exist|no such (table|file|database)|was not found",
    ),
    _cause(
        "schema_change",
        "Source and target no longer have the same columns",
        "Add the column to the target, or correct the task, then Continue.",
        r"has no column|lacks a column|unknown field|column .{1,100} does not|fields instead of",
    ),
    _cause(
        "key",
        "The target has no unique key on the key columns",
        "Make the index that the line names, then Continue.",
        r"no unique index|no key column|can't be told apart|no (integer primary|whole-number) key",
    ),
    _cause(
        "constraint",
        "Rows break a constraint of the target",
        "Mend the rows or the constraint; dirty_limit says how many are let pass.",
        r"constraint failed|violates .{1,60} constraint|rows could not be written|duplicate key",
    ),
    _cause(
        "deadlock",
        "Transactions are in each other's way",
        "It is tried again by itself. If it goes on: does another program lock the table for long?",
        r"deadlock|is locked|conflict with another transaction|lock timeout|could not serialize",
    ),
    _cause(
        "unreachable",
        "A server does not answer",
        "Is it up, and is the address right? The task is restarted by itself while its limit lasts.",
        r"does not answer|connection (refused|reset|to .{1,100} broke)|timed? ?out|took too long|ended the connection",
    ),
    _cause(
        "superseded",
        "A newer attempt has taken over",
        "Nothing has to be done: the older attempt was refused by the target, as it should be.",
        r"superseded|newer attempt|fenced",
    ),
    _cause(
        "unexpected",
        "Something unforeseen",
        "The lines after it hold the details; they help whoever looks after this console.",
        r"traceback|unforeseen",
    ),
)


@dataclass(slots=True)
class Finding:
    """`newest` is the newest of the `count` lines that tell this cause."""

    cause: Cause
    count: int
    newest: LogLine


def diagnose(lines: Iterable[LogLine]) -> list[Finding]:
    """Return the known causes in `lines`, which come newest first, that of the newest line first."""
    found: dict[str, Finding] = {}
    for line in lines:
        cause = next((cause for cause in CAUSES if cause.pattern.search(line.text)), None)
        if cause is None:
            continue
        if cause.code in found:
            found[cause.code].count += 1
        else:
            found[cause.code] = Finding(cause, 1, line)
    return list(found.values())
